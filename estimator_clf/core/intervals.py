"""One helper for every length of time: steps, epochs or a share of the run."""

import re

from estimator_clf.core.errors import ConfigError

_FORM = re.compile(r'(\d+(?:\.\d+)?)\s*(steps?|epochs?|%)?$')


def parse(text, argument):
    """Reads a duration: '500', '500steps', '2epochs', '0.5epochs', '10%'.

    Args:
      text: what was given; a bare number counts steps.
      argument: name of the argument, for the message.

    Returns:
      (number, unit), unit one of 'steps', 'epochs', '%'.

    Raises:
      ConfigError: it is none of these.
    """
    match = _FORM.match(str(text).strip().lower())
    if not match:
        raise ConfigError(
            f'`{argument}` must be a number of steps (500), of epochs (2epochs) or a share '
            f'of the run (10%), got {text!r}'
        )
    number, unit = float(match[1]), match[2] or 'steps'
    unit = {'step': 'steps', 'epoch': 'epochs'}.get(unit, unit)
    if unit == 'steps' and number != int(number):
        raise ConfigError(f'`{argument}` must be a whole number of steps, got {text!r}')
    return number, unit


def interval(text, argument, steps_per_epoch, total_steps):
    """Turns a duration into an interval for `due`.

    Args:
      text: see `parse`.
      argument: name of the argument, for the message.
      steps_per_epoch: float.
      total_steps: int, of the whole run.

    Returns:
      float, in steps; at least 1 unless the duration is 0. An epoch need not be a
      whole number of steps.
    """
    number, unit = parse(text, argument)
    if number == 0:
        return 0
    if unit == 'epochs':
        number *= steps_per_epoch
    elif unit == '%':
        number *= total_steps / 100
    return max(1.0, number)


def in_steps(text, argument, steps_per_epoch, total_steps):
    """Turns a duration into a whole number of steps; the arguments are `interval`'s."""
    return round(interval(text, argument, steps_per_epoch, total_steps))


def step_range(text, argument):
    """Reads a range of steps: '100:120', both ends belong to it.

    Args:
      text: what was given.
      argument: name of the argument, for the message.

    Returns:
      (first, last), counted from 1; None for an empty text.

    Raises:
      ConfigError: it is not like this.
    """
    if not text:
        return None
    match = re.fullmatch(r'\s*(\d+)\s*:\s*(\d+)\s*', text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(
            f'`{argument}` must be the first and the last step, 100:120, counted from 1, '
            f'got {text!r}'
        )
    return int(match[1]), int(match[2])


def due(step, every):
    """Tells whether something that happens at an interval happens after a step.

    It depends on the step alone, not on where a run was resumed.

    Args:
      step: int, steps taken.
      every: interval in steps, not necessarily whole; 0 is never.
    """
    return bool(every) and step > 0 and int(step / every) > int((step - 1) / every)


def next_due(step, every):
    """Returns the first step behind `step` at which `due` is true.

    Args:
      step: int, steps taken.
      every: interval in steps, not necessarily whole, at least 1.
    """
    # One too early rather than one too late: the product may have been rounded.
    found = max(step + 1, int((int(step / every) + 1) * every) - 1)
    while not due(found, every):
        found += 1
    return found
