"""Parses augmentation: `flip, crop(4), randaugment(9, ops=2)`."""

import math
from typing import Any

from estimator_clf.core.call_syntax import Call, parse_calls
from estimator_clf.core.errors import ConfigError, DataError
from estimator_clf.core.registry import suggest
from input.augment.mixup_cutmix import BLENDS
from input.augment.pipeline import OPS, WHOLE_PIXELS

# Number of RandAugment's ops: the default, and the maximum (it has 14).
_RANDAUGMENT_OPS, _MOST_RANDAUGMENT_OPS = 2, 14

_KNOWN = {**OPS, **BLENDS}


def parse(text: str | None) -> tuple[tuple[str, Any], ...]:
    """Parses augmentation.

    Args:
      text: names of `OPS`, each with an amount in parentheses where it is not the
        default, applied in this order. Those of `BLENDS` are applied last wherever
        they are named: a crop would change the shares of a mixed label.

    Returns:
      Tuple of (name, amount); the amount is a float, or a pair (ops, magnitude) of
      randaugment.

    Raises:
      DataError: another syntax, an unknown name, or an amount out of range.
    """
    try:
        calls = parse_calls(text or '', 'augment')
    except ConfigError as error:
        raise DataError(str(error)) from None
    steps: dict[str, Any] = {}
    for call in calls:
        name, colon, amount = call.name.partition(':')
        if name not in _KNOWN:
            raise DataError(
                f'`augment`: there is no {name!r}{suggest(name, _KNOWN)} There are: '
                + ', '.join(sorted(_KNOWN))
            )
        if colon:  # The syntax of version 0.1.
            raise DataError(f'`augment`: write {name}({amount}), got {call.name!r}')
        if name in steps:
            # It would use the same random numbers: two flips are none.
            raise DataError(f'`augment`: {name} must be named once only')
        steps[name] = _randaugment(call) if name == 'randaugment' else _amount(call)
    if {'flip', 'alternating_flip'} <= set(steps):
        raise DataError(
            '`augment`: flip and alternating_flip undo each other; give one'
        )
    return tuple(sorted(steps.items(), key=lambda step: step[0] in BLENDS))


def _amount(call: Call) -> float:
    name = call.name
    _, default, low, high = _KNOWN[name]
    if len(call.args) > 1 or (call.kwargs and name != 'randaugment'):
        raise DataError(f'`augment`: {name} takes one number, got {call}')
    amount = call.args[0] if call.args else default
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        valid = False
    else:
        valid = math.isfinite(amount) and low <= amount <= high
    if not valid:
        raise DataError(
            f'`augment`: the amount of {name} must be a number from {low:g} to '
            f'{high:g}, got {amount!r}'
        )
    if name in WHOLE_PIXELS and amount != int(amount):
        raise DataError(
            f'`augment`: the amount of {name} must be whole pixels, got {amount!r}'
        )
    return float(amount)


def _randaugment(call: Call) -> tuple[int, float]:
    ops: Any = call.kwargs.get('ops', _RANDAUGMENT_OPS)
    valid = type(ops) is int and 1 <= ops <= _MOST_RANDAUGMENT_OPS
    if not valid or set(call.kwargs) - {'ops'}:
        raise DataError(
            '`augment`: randaugment must be randaugment(MAGNITUDE, ops=N), with N from '
            f'1 to {_MOST_RANDAUGMENT_OPS} and MAGNITUDE from 0 to 30, got {call}'
        )
    return ops, _amount(call)
