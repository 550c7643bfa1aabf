"""What of a source goes into which variable of a network, as a table."""

import collections
import dataclasses

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.config.warm_start_rules import WarmStartRules, listed
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.variable_patterns import name_of
from model_fns.optimizers.ema import SUFFIX as AVERAGE

v1 = tf.compat.v1

STATES = ('restored', 'shape mismatch', 'fresh', 'unused')

# Of optimizers and Savers, beside what hangs below a variable's name.
_NO_WEIGHTS = ('global_step', 'beta1_power', 'beta2_power', 'save_counter')


@dataclasses.dataclass(frozen=True)
class Row:
    """A variable of the network, or of the source alone.

    Attributes:
      name: of the variable; of an unused one, as it would be called here.
      state: one of `STATES`.
      shape: tuple of int.
      source: its name in the source, or why it has none; may be empty.
    """

    name: str
    state: str
    shape: tuple
    source: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done.

    Attributes:
      path: of the source.
      rows: list of `Row`.
      assignments: dict name of a variable -> name in the source.
    """

    path: str
    rows: list
    assignments: dict

    def counts(self):
        """dict state -> number of variables."""
        counts = collections.Counter(row.state for row in self.rows)
        return {state: counts[state] for state in STATES}


def make_plan(source, variables, rules=None):
    """Decides what of a source goes into which variable.

    Where the source has an exponential moving average of a variable, that is taken for
    the variable: it is what the source's own evaluation and export use. What belongs
    to an optimizer is left out.

    Args:
      source: of `sources.open_source`.
      variables: dict name -> shape (tuple of int) of the network's variables.
      rules: `WarmStartRules`.

    Returns:
      `Plan`.

    Raises:
      ConfigError: nothing would be restored; a pattern that no variable has; two
        variables of the source for one here.
    """
    rules = rules or WarmStartRules()
    there = _weights(source)
    rules.check_found(variables, there)
    named = {}
    for name, key in there.items():
        new = rules.renamed(name)
        if new in named:
            raise ConfigError(
                f'`warm_start_map` calls both {named[new]} and {key} of {source.path} '
                f'{new}; make it tell them apart'
            )
        named[new] = key
    rows, assignments = [], {}
    for name, shape in sorted(variables.items()):
        key = named.get(name)
        if not rules.wants(name):
            rows.append(Row(name, 'fresh', shape, '(left out)'))
        elif key is None:
            rows.append(Row(name, 'fresh', shape, ''))
        elif source.shapes[key] != tuple(shape):
            there_is = f'{key} {list(source.shapes[key])}'
            rows.append(Row(name, 'shape mismatch', shape, there_is))
        else:
            rows.append(Row(name, 'restored', shape, key))
            assignments[name] = key
    for name, key in sorted(named.items()):
        if name not in variables:
            rows.append(Row(name, 'unused', source.shapes[key], key))
    plan = Plan(source.path, rows, assignments)
    if not assignments:
        raise ConfigError(_nothing(plan, variables, named))
    return plan


def model_variables(model_fn, input_fn):
    """Finds the variables of a network without those of its training.

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      input_fn: function that returns a tf.data.Dataset of (features, labels).

    Returns:
      dict name -> shape.
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
            # Built for reading averages, each is called as its average.
            name_of(v).removesuffix(AVERAGE): tuple(v.shape.as_list())
            for v in v1.global_variables()
            if name_of(v) not in _NO_WEIGHTS
        }


def weights_in_graph():
    """Finds the variables of the network in a graph of training, as far as can be told.

    Those that are trained, and those in the same outermost scope that do not hang below
    a variable, as slots of optimizers do.

    Returns:
      dict name -> shape.
    """
    shapes = {name_of(v): tuple(v.shape.as_list()) for v in v1.global_variables()}
    trained = {name_of(v) for v in v1.trainable_variables()}
    scopes = {name.partition('/')[0] for name in trained if '/' in name}
    return {
        name: shape
        for name, shape in shapes.items()
        if name in trained
        or name.partition('/')[0] in scopes
        and not _hangs_below(name, shapes)
    }


def _weights(source):
    """dict name of a variable -> its key in the source, or its average's."""
    names = source.shapes
    if not source.has_slots:
        return {name: name for name in names}
    keys = {n.removesuffix(AVERAGE): n for n in names if n.endswith(AVERAGE)}
    everything = {**dict.fromkeys(names), **keys}
    for name in names:
        wanted = name not in _NO_WEIGHTS and not name.endswith(AVERAGE)
        if wanted and not _hangs_below(name, everything):
            keys.setdefault(name, name)
    return keys


def _hangs_below(name, names):
    parts = name.split('/')
    return any('/'.join(parts[:n]) in names for n in range(1, len(parts)))


def _nothing(plan, variables, named):
    wrong = [row for row in plan.rows if row.state == 'shape mismatch']
    text = f'`warm_start={plan.path}` has nothing that this network takes'
    if wrong:
        row = wrong[0]
        text += f': all that has the same name has another shape, such as {row.name} '
        text += f'{list(row.shape)}, there {row.source}'
    return (
        f'{text}.\n  The network has: {listed(sorted(variables))}\n  The source has: '
        f'{listed(sorted(named))}\nNames can be changed with `warm_start_map=FROM=TO`'
    )
