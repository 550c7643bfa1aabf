"""The warm start of a run, as its settings say."""

import dataclasses
import json
import os

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.config.warm_start_rules import WarmStartRules
from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from estimator_clf.warm_start.assignment import make_plan, model_variables
from estimator_clf.warm_start.hook import WarmStartHook
from estimator_clf.warm_start.keras_file import KerasFile
from estimator_clf.warm_start.keras_layer_mapping import by_layer
from estimator_clf.warm_start.report import table_of
from estimator_clf.warm_start.sources import open_source

FILE_NAME = 'warm_start.json'

#: As `warm_start`: the weights that Keras has published for the architecture.
IMAGENET = 'imagenet'


def warm_start_of(config, model_fn, input_fn, say, published=None):
    """Makes the hook that a run needs, and finds out now whether it will work.

    Args:
      config: `Config`.
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      input_fn: that of the training.
      say: function that is given the table, as text, when it has been done; all of it
        goes into `warm_start.json` in the model_dir.
      published: function without arguments that returns the network's layers as Keras's
        files know them, see `by_layer`, and a function that returns the weights for
        ImageNet, dict layer -> arrays; or None for a network of our own.

    Returns:
      `WarmStartHook`; None without `warm_start`, and for a run that goes on: its
      checkpoints have what it began with.

    Raises:
      ConfigError: no such source, or nothing in it that the network takes.
    """
    if not config.warm_start or tf.train.latest_checkpoint(config.model_dir):
        return None
    rules = WarmStartRules.of(config.model)
    known = published() if published else None
    source = _source(config.warm_start, known)
    variables = model_variables(model_fn, input_fn)
    if isinstance(source, KerasFile) and known and not rules.renames:
        source = by_layer(source.path, source.layers, known[0], variables)
    elif source is None:
        source = by_layer(IMAGENET, known[1](), known[0], variables)
    make_plan(source, variables, rules)

    def on_plan(plan):
        facts = {'source': plan.path, 'counts': plan.counts()}
        rows = [dataclasses.asdict(row) for row in plan.rows]
        text = json.dumps({**facts, 'variables': rows}, indent=1)
        write_atomically(os.path.join(config.model_dir, FILE_NAME), text + '\n')
        say(table_of(plan))

    return WarmStartHook(source, rules, variables, on_plan)


def _source(path, known):
    """Opens a source; None: the published weights."""
    if path != IMAGENET or os.path.exists(path):
        return open_source(path, known[0] if known else ())
    if known is None:
        raise ConfigError(
            f'`warm_start={IMAGENET}` is for `network=pretrained`; a directory of that '
            f'name would be {os.path.join(".", IMAGENET)}, and there is none'
        )
    return None
