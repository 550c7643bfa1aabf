"""Translates TensorFlow's errors about data and checkpoints to sentences for users."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.errors import (
    RunError,
    is_out_of_memory,
    restore_error_message,
)


class _Explains(Protocol):
    def explain(self, error: Exception) -> str | None: ...


@contextlib.contextmanager
def translate_tf_errors(sources: Iterable[_Explains]) -> Iterator[None]:
    """Raises RunError for errors of a session that data or a checkpoint caused.

    Args:
      sources: `input.sources.base.DataSource`s that are read from, to find what is
        wrong on disk; a list may grow inside the block.

    Raises:
      RunError: the translated error; errors with another cause pass unchanged.
    """
    try:
        yield
    except ValueError as error:  # `Saver` raises it for a missing file.
        text = restore_error_message(error)
        if text is None:
            raise
        raise RunError(text) from None
    except tf.errors.OpError as error:
        if is_out_of_memory(error):  # Whatever the op: it has its own translation.
            raise
        text = _message_in_graph(error) or restore_error_message(error)
        text = text or next(filter(None, (s.explain(error) for s in sources)), None)
        if text is None:
            raise
        raise RunError(text) from None


def _message_in_graph(error):
    """The message of an assertion of ours in the graph, or of XLA; else None."""
    match = re.search(r'unsupported operations when .*?: (\w+)', str(error), re.DOTALL)
    if match and 'compile' in match[0]:
        return (
            f'`xla`: XLA cannot compile {match[1]}, which this network contains; omit '
            'the setting'
        )
    if 'those of `cache_features` any more' in str(error):
        return (
            'the images are not those of `cache_features` any more: some can be '
            'decoded that could not before, or the reverse. Remove the directory '
            'features in `model_dir` and start again'
        )
    match = re.search(
        r'(?:bad|corrupt) example <(.*?)>: ([^\]"]*)', str(error), re.DOTALL
    )
    return f'{match[1]}: {match[2].strip()}' if match else None
