"""Weights of classes in the loss: by name, or balanced."""

from collections.abc import Sequence

from estimator_clf.core.call_syntax import parse_mapping, quote
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.registry import suggest


def parse(text: str) -> dict[str, float] | None:
    """Parses `class_weights`: `cat=1, "big dog"=2.5`; None for '' and 'balanced'.

    Raises:
      ConfigError: another syntax, or a weight that is not a number of at least 0.
    """
    if text in ('', 'balanced'):
        return None
    if _is_list_of_numbers(text):
        raise ConfigError(
            '`class_weights` must name the classes, cat=1, dog=2.5, or be balanced, '
            f'got {text!r}'
        )
    found = {}
    for name, weight in parse_mapping(text, 'class_weights').items():
        try:
            found[name] = float(weight)
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] < float('inf'):
            raise ConfigError(
                f'`class_weights`: the weight of {name!r} must be a number of at least '
                f'0, got {weight!r}'
            )
    return found


def in_order(text: str, class_names: Sequence[str]) -> tuple[float, ...] | None:
    """Returns the weights in the order of the classes; classes not named have 1.

    Raises:
      ConfigError: a name that is not a class.
    """
    weights = parse(text)
    if weights is None:
        return None
    for name in weights:
        if name not in class_names:
            raise ConfigError(
                f'`class_weights`: there is no class {name!r}'
                f'{suggest(name, class_names)} There are: {", ".join(class_names)}'
            )
    return tuple(weights.get(name, 1.0) for name in class_names)


def balanced(counts: Sequence[int], class_names: Sequence[str]) -> str:
    """Returns weights under which all classes count the same, with a mean of 1.

    `examples / (classes * examples of the class)`, as scikit-learn's
    `compute_class_weight('balanced')`.

    Args:
      counts: number of training examples of each class.
      class_names: their names, in the same order.

    Returns:
      The weights as `parse` reads them.

    Raises:
      ConfigError: a class has no example.
    """
    for name, count in zip(class_names, counts, strict=True):
        if not count:
            raise ConfigError(
                f'`class_weights=balanced`: the class {name!r} has no training '
                f'example; omit it with `exclude_classes={quote(name)}`, or give the '
                'weights as numbers'
            )
    total = float(sum(counts))
    return ', '.join(
        f'{quote(name)}={total / (len(counts) * float(count)):.6g}'
        for name, count in zip(class_names, counts, strict=True)
    )


def _is_list_of_numbers(text):
    parts = text.split(',')
    return all(part.strip().replace('.', '', 1).isdigit() for part in parts)
