"""Makes the warm start of a run from its settings."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.config.warm_start_rules import WarmStartRules
from estimator_clf.core.atomic_files import write_atomically
from estimator_clf.core.errors import ConfigError
from estimator_clf.warm_start import torch_file
from estimator_clf.warm_start.assignment import make_assignment, model_variables
from estimator_clf.warm_start.hook import WarmStartHook
from estimator_clf.warm_start.keras_file import KerasFile
from estimator_clf.warm_start.keras_layer_mapping import map_by_layer
from estimator_clf.warm_start.report import table_of
from estimator_clf.warm_start.sources import open_source
from estimator_clf.warm_start.weight_files import WeightFiles
from model_fns.layers.published import Published

FILE_NAME = 'warm_start.json'

#: Values of `warm_start` for the published weights of an architecture.
PUBLISHED = ('auto', 'imagenet')


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
      published: returns the network in weight files, or None if it is not published.

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
    files = WeightFiles(config.model.weights_dir, log)
    # Checked before the network is built, which takes seconds.
    source = _source(path, known, files)
    variables = model_variables(model_fn, input_fn)
    if known and isinstance(source, KerasFile) and not rules.renames:
        source = map_by_layer(source.path, source.layers, known.layers, variables)
    elif known and isinstance(source, _Layers):
        source = map_by_layer(source.path, source.arrays, known.layers, variables)
    make_assignment(source, variables, rules)

    def on_restored(assignment):
        facts = {'source': assignment.path, 'counts': assignment.counts()}
        rows = [dataclasses.asdict(row) for row in assignment.rows]
        text = json.dumps({**facts, 'variables': rows}, indent=1)
        write_atomically(os.path.join(config.run.model_dir, FILE_NAME), text + '\n')
        log(table_of(assignment))

    return WarmStartHook(source, rules, variables, on_restored)


class _Layers(NamedTuple):
    """Arrays by name of the Keras layer."""

    path: str
    arrays: Mapping[str, Sequence[Any]]


def _source(path, known, files):
    """Opens a source: a checkpoint, or weights by layer."""
    if path in PUBLISHED and not os.path.exists(path):
        if known is None:
            raise ConfigError(
                f'`warm_start={path}` needs a published network: '
                '`network=pretrained` or `network=squeezenet`; a directory of that '
                f'name would be {os.path.join(".", path)}, and there is none'
            )
        found = known.fetch(files)
        if not isinstance(found, str):
            return _Layers(path, found)
        path = found
    path = files.local(path)
    if path.lower().endswith(torch_file.EXTENSIONS):
        if known is None or known.torch is None:
            hint = known.torch_hint if known else ''
            raise ConfigError(
                f'`warm_start={path}` is a file of PyTorch, which can be read for '
                "torchvision's architectures only"
                + (f'; {hint}' if hint else ', such as `network=squeezenet`')
            )
        return _Layers(path, torch_file.read_layers(path, known.torch))
    return open_source(path, known.layers if known else ())
