"""Makes the warm start of a run from its settings."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.config.warm_start_rules import WarmStartRules
from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from estimator_clf.warm_start.assignment import make_assignment, model_variables
from estimator_clf.warm_start.hook import WarmStartHook
from estimator_clf.warm_start.keras_file import KerasFile
from estimator_clf.warm_start.keras_layer_mapping import map_by_layer
from estimator_clf.warm_start.report import table_of
from estimator_clf.warm_start.sources import open_source

FILE_NAME = 'warm_start.json'

#: Value of `warm_start` for the weights that Keras published for an architecture.
IMAGENET = 'imagenet'


#: Layers as in Keras's files, see `map_by_layer`, and a function that returns the
#: published weights: dict layer -> arrays.
Published = tuple[Sequence[Any], Callable[[], Mapping[str, Sequence[Any]]]]


def warm_start_of(
    config: Config,
    model_fn: Callable,
    input_fn: Callable[[], tf.data.Dataset],
    log: Callable[[str], None],
    published: Callable[[], Published | None] | None = None,
) -> WarmStartHook | None:
    """Makes the warm-start hook of a run, and checks that it can be carried out.

    Args:
      config: settings of the run.
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      input_fn: that of the training.
      log: function of a text; receives the table once it is carried out. The complete
        table is written to `warm_start.json` in the model_dir.
      published: returns layers and weights of a published architecture, or None for a
        network of this project.

    Returns:
      The hook; None without `warm_start`, and for a run that resumes: its checkpoints
      contain the weights.

    Raises:
      ConfigError: no such source, or nothing in it matches the network.
    """
    path = config.model.warm_start
    if not path or tf.train.latest_checkpoint(config.run.model_dir):
        return None
    rules = WarmStartRules.of(config.model)
    known = published() if published else None
    source = _source(path, known)
    variables = model_variables(model_fn, input_fn)
    if isinstance(source, KerasFile) and known and not rules.renames:
        source = map_by_layer(source.path, source.layers, known[0], variables)
    elif source is None and known:
        source = map_by_layer(IMAGENET, known[1](), known[0], variables)
    make_assignment(source, variables, rules)

    def on_restored(assignment):
        facts = {'source': assignment.path, 'counts': assignment.counts()}
        rows = [dataclasses.asdict(row) for row in assignment.rows]
        text = json.dumps({**facts, 'variables': rows}, indent=1)
        write_atomically(os.path.join(config.run.model_dir, FILE_NAME), text + '\n')
        log(table_of(assignment))

    return WarmStartHook(source, rules, variables, on_restored)


def _source(path, known):
    """Opens a source; returns None for the published weights."""
    if path != IMAGENET or os.path.exists(path):
        return open_source(path, known[0] if known else ())
    if known is None:
        raise ConfigError(
            f'`warm_start={IMAGENET}` needs `network=pretrained`; a directory of that '
            f'name would be {os.path.join(".", IMAGENET)}, and there is none'
        )
    return None
