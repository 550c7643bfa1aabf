"""The error that a person's mistake raises, and its wording for a misspelt name."""

import contextlib
from collections.abc import Iterable

from estimator_clf.registry import suggest


class SettingError(ValueError):
    """A setting cannot be used. The message says what must hold, and what came."""


def unknown(flag: str, what: str, name: object, known: Iterable[str]) -> SettingError:
    """Words the error for a name that does not exist.

    Args:
        flag: the flag or argument that carried it, such as `'--network'`.
        what: what it should name, in one word: `'network'`.
        name: what came.
        known: what there is: names, or `name=default`, of which the name counts.

    Returns:
        The error, for the caller to raise, so that the traceback ends there.
    """
    known = list(known)
    near = suggest(name, [item.partition('=')[0] for item in known]) or '.'
    listed = ', '.join(known) or 'none'
    return SettingError(f'{flag}: no {what} {name!r}{near} There are: {listed}')


@contextlib.contextmanager
def about(flag: str):
    """Words errors about `--network` and its settings for another network's flag."""
    try:
        yield
    except SettingError as error:
        raise SettingError(str(error).replace('--network', flag)) from None
