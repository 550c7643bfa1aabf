"""Parses durations (steps, epochs, share of the run), and when an interval is due."""

import re
from typing import Any

from estimator_clf.core.errors import ConfigError

_FORM = re.compile(r'(\d+(?:\.\d+)?)\s*(steps?|epochs?|%)?$')


def parse(text: Any, argument: str) -> tuple[float, str]:
    """Parses a duration: '500', '500steps', '2epochs', '0.5epochs', '10%'.

    Args:
      text: the duration; a bare number is in steps.
      argument: name of the argument, for the message.

    Returns:
      (number, unit), unit one of 'steps', 'epochs', '%'.

    Raises:
      ConfigError: invalid.
    """
    match = _FORM.match(str(text).strip().lower())
    if not match:
        raise ConfigError(
            f'`{argument}` must be a number of steps (500), of epochs (2epochs) or a '
            f'share of the run (10%), got {text!r}'
        )
    number, unit = float(match[1]), match[2] or 'steps'
    unit = {'step': 'steps', 'epoch': 'epochs'}.get(unit, unit)
    if unit == 'steps' and number != int(number):
        raise ConfigError(f'`{argument}` must be a whole number of steps, got {text!r}')
    return number, unit


def interval(
    text: Any, argument: str, steps_per_epoch: float, total_steps: int
) -> float:
    """Converts a duration to an interval for `due`.

    Args:
      text: see `parse`.
      argument: name of the argument, for the message.
      steps_per_epoch: need not be whole.
      total_steps: length of the run.

    Returns:
      The interval in steps, not necessarily whole; at least 1 unless it is 0.
    """
    number, unit = parse(text, argument)
    if number == 0:
        return 0
    if unit == 'epochs':
        number *= steps_per_epoch
    elif unit == '%':
        number *= total_steps / 100
    return max(1.0, number)


def in_steps(text: Any, argument: str, steps_per_epoch: float, total_steps: int) -> int:
    """Converts a duration to whole steps; the arguments are those of `interval`."""
    return round(interval(text, argument, steps_per_epoch, total_steps))


def step_range(text: str, argument: str) -> tuple[int, int] | None:
    """Parses an inclusive range of steps: '100:120'.

    Args:
      text: the range.
      argument: name of the argument, for the message.

    Returns:
      (first, last), counted from 1; None for an empty text.

    Raises:
      ConfigError: invalid.
    """
    if not text:
        return None
    match = re.fullmatch(r'\s*(\d+)\s*:\s*(\d+)\s*', text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(
            f'`{argument}` must be the first and the last step, 100:120, counted from '
            f'1, got {text!r}'
        )
    return int(match[1]), int(match[2])


def due(step: int, every: float) -> bool:
    """Returns whether an interval ends with a step.

    It depends on the step alone, not on where a run was resumed.

    Args:
      step: number of steps taken.
      every: interval in steps, not necessarily whole; 0 is never.
    """
    return bool(every) and step > 0 and int(step / every) > int((step - 1) / every)


def next_due(step: int, every: float) -> int:
    """Returns the first step after `step` at which `due` is true.

    Args:
      step: number of steps taken.
      every: interval in steps, not necessarily whole, at least 1.
    """
    # Starts one step early, since the product may be rounded up.
    found = max(step + 1, int((int(step / every) + 1) * every) - 1)
    while not due(found, every):
        found += 1
    return found
