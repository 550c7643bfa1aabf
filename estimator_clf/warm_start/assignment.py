"""Maps the weights of a source to the variables of a network."""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.config.warm_start_rules import WarmStartRules, listed
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.variable_patterns import name_of
from model_fns.optimizers.ema import SUFFIX as EMA_SUFFIX

v1 = tf.compat.v1

Shape = tuple[int | None, ...]

STATES = ('restored', 'shape mismatch', 'fresh', 'unused')

# Variables of optimizers and Savers, besides those below another variable's name.
_NO_WEIGHTS = ('global_step', 'beta1_power', 'beta2_power', 'save_counter')


class WeightSource(Protocol):
    """Named weights, as `sources.open_source` returns them.

    Attributes:
      path: for messages.
      shapes: shapes by name.
      has_slots: whether variables of optimizers may be among them.
    """

    path: str
    shapes: Mapping[str, Shape]
    has_slots: bool

    def read(self, name: str) -> np.ndarray:
        """Returns the value of a weight."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A variable of the network, or an unused one of the source.

    Attributes:
      name: of the variable; of an unused one, after renaming.
      state: one of `STATES`.
      shape: of the variable.
      source: its name in the source, or why it has none; may be empty.
    """

    name: str
    state: str
    shape: Shape
    source: str


@dataclasses.dataclass(frozen=True)
class Assignment:
    """Which weights of a source are restored into which variables.

    Attributes:
      path: of the source.
      rows: every variable, sorted by name, the unused ones of the source last.
      source_names: name in the source by name of the variable.
    """

    path: str
    rows: list[Row]
    source_names: dict[str, str]

    def counts(self) -> dict[str, int]:
        """Returns the number of variables by state."""
        counts = collections.Counter(row.state for row in self.rows)
        return {state: counts[state] for state in STATES}


def make_assignment(
    source: WeightSource,
    variables: Mapping[str, Shape],
    rules: WarmStartRules | None = None,
) -> Assignment:
    """Assigns the weights of a source to variables by name.

    If the source has an exponential moving average of a variable, it is used for the
    variable, as in the source's own evaluation and export. Variables of optimizers are
    excluded.

    Args:
      source: the weights.
      variables: shapes of the network's variables by name.
      rules: inclusion, exclusion and renaming.

    Raises:
      ConfigError: nothing would be restored; a pattern that matches no variable; two
        weights of the source for one variable.
    """
    rules = rules or WarmStartRules()
    keys = _weights(source)
    rules.check_found(list(variables), list(keys))
    named: dict[str, str] = {}
    for name, key in keys.items():
        new = rules.renamed(name)
        if new in named:
            raise ConfigError(
                f'`warm_start_map` renames both {named[new]} and {key} of '
                f'{source.path} to {new}; make it distinguish them'
            )
        named[new] = key
    rows: list[Row] = []
    source_names: dict[str, str] = {}
    for name, shape in sorted(variables.items()):
        source_name = named.get(name)
        if not rules.includes(name):
            rows.append(Row(name, 'fresh', shape, '(excluded)'))
        elif source_name is None:
            rows.append(Row(name, 'fresh', shape, ''))
        elif source.shapes[source_name] != tuple(shape):
            text = f'{source_name} {list(source.shapes[source_name])}'
            rows.append(Row(name, 'shape mismatch', shape, text))
        else:
            rows.append(Row(name, 'restored', shape, source_name))
            source_names[name] = source_name
    for name, key in sorted(named.items()):
        if name not in variables:
            rows.append(Row(name, 'unused', source.shapes[key], key))
    assignment = Assignment(source.path, rows, source_names)
    if not source_names:
        raise ConfigError(_no_match_message(assignment, variables, named))
    return assignment


def model_variables(
    model_fn: Callable, input_fn: Callable[[], tf.data.Dataset]
) -> dict[str, Shape]:
    """Returns the shapes of a network's variables by name, without those of training.

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      input_fn: returns a dataset of (features, labels).
    """
    with tf.Graph().as_default():
        spec = input_fn().element_spec[0]
        features = tf.nest.map_structure(
            lambda s: v1.placeholder(s.dtype, s.shape), spec
        )
        if isinstance(features, dict):
            features.pop('input_wait', None)
        model_fn(features, None, mode=estimator.ModeKeys.PREDICT)
        return {
            # A prediction graph that reads averages has their names.
            name_of(v).removesuffix(EMA_SUFFIX): tuple(v.shape.as_list())
            for v in v1.global_variables()
            if name_of(v) not in _NO_WEIGHTS
        }


def weights_in_graph() -> dict[str, Shape]:
    """Returns the shapes of the network's variables in a training graph, a heuristic.

    Those that are trained, and those in the same outermost scope whose names are not
    below that of a variable, as slots of optimizers are.
    """
    shapes = {name_of(v): tuple(v.shape.as_list()) for v in v1.global_variables()}
    trained = {name_of(v) for v in v1.trainable_variables()}
    scopes = {name.partition('/')[0] for name in trained if '/' in name}
    return {
        name: shape
        for name, shape in shapes.items()
        if name in trained
        or name.partition('/')[0] in scopes
        and not _is_below(name, shapes)
    }


def _weights(source: WeightSource) -> dict[str, str]:
    """Returns dict variable -> its key in the source, or that of its average."""
    names = source.shapes
    if not source.has_slots:
        return {name: name for name in names}
    keys = {n.removesuffix(EMA_SUFFIX): n for n in names if n.endswith(EMA_SUFFIX)}
    everything: dict[str, Any] = {**dict.fromkeys(names), **keys}
    for name in names:
        is_weight = name not in _NO_WEIGHTS and not name.endswith(EMA_SUFFIX)
        if is_weight and not _is_below(name, everything):
            keys.setdefault(name, name)
    return keys


def _is_below(name: str, names: Iterable[str]) -> bool:
    parts = name.split('/')
    return any('/'.join(parts[:n]) in names for n in range(1, len(parts)))


def _no_match_message(assignment, variables, named):
    wrong = [row for row in assignment.rows if row.state == 'shape mismatch']
    text = f'`warm_start={assignment.path}` has no weights for this network'
    if wrong:
        row = wrong[0]
        text += f': all of the same name have another shape, such as {row.name} '
        text += f'{list(row.shape)}, in the source {row.source}'
    return (
        f'{text}.\n  The network has: {listed(sorted(variables))}\n  The source has: '
        f'{listed(sorted(named))}\nNames can be changed with `warm_start_map=FROM=TO`'
    )
