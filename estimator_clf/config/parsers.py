"""Parsers of structured settings of the optimizer and of evaluation."""

from estimator_clf.core.call_syntax import parse_calls, parse_list, parse_mapping
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.variable_patterns import check_multipliers, check_patterns


def parse_patterns(text: str, argument: str) -> tuple[str, ...]:
    """Parses patterns of variable names: `conv1, "norm|bias"`.

    Raises:
      ConfigError: another syntax.
      SettingError: an invalid regular expression.
    """
    patterns = parse_list(text, argument)
    check_patterns(argument, patterns)
    return patterns


def parse_multipliers(text: str, argument: str) -> tuple[tuple[str, float], ...]:
    """Parses factors by pattern: `conv1=0.1, logits=10`.

    Raises:
      ConfigError: another syntax.
      SettingError: an invalid regular expression, or a number that is not above 0.
    """
    pairs = []
    for pattern, number in parse_mapping(text, argument).items():
        try:
            pairs.append((pattern, float(number)))
        except ValueError:
            raise ConfigError(
                f'`{argument}` must be PATTERN=NUMBER, as in conv1=0.1, got '
                f'{pattern}={number}'
            ) from None
    check_multipliers(argument, pairs)
    return tuple(pairs)


def parse_lookahead(text: str) -> tuple[int, float] | None:
    """Parses `every=5, decay=0.95` to (every, decay); '' and 'none' are None.

    Raises:
      ConfigError: another syntax.
    """
    if text in ('', 'none'):
        return None
    options = parse_mapping(text, 'lookahead')
    try:
        if set(options) != {'every', 'decay'}:
            raise ValueError
        return int(options['every']), float(options['decay'])
    except ValueError:
        raise ConfigError(
            f'`lookahead` must be every=STEPS, decay=NUMBER, got {text!r}'
        ) from None


def parse_eval_tta(text: str) -> tuple[bool, int] | None:
    """Parses `mirror, shift(1)` to (mirror, shift in pixels); '' and 'none' are None.

    Raises:
      ConfigError: another syntax.
    """
    if text in ('', 'none'):
        return None
    mirror, shift = False, 0
    for call in parse_calls(text, 'eval_tta'):
        pixels = call.args[0] if len(call.args) == 1 else None
        if call.name == 'mirror' and not (call.args or call.kwargs or mirror):
            mirror = True
        elif (
            call.name == 'shift'
            and not (call.kwargs or shift)
            and type(pixels) is int
            and pixels >= 1
        ):
            shift = pixels
        else:
            raise ConfigError(
                '`eval_tta` must be mirror and shift(PIXELS), each at most once, as in '
                f'mirror, shift(1), got {text!r}'
            )
    return mirror, shift
