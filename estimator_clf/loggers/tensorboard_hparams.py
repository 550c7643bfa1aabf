"""TensorBoard HParams: a table of runs with their settings and metrics."""

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf
from tensorboard.plugins.hparams import api_pb2, summary

from estimator_clf.config.config import Config
from estimator_clf.config.fields import FIELDS, TYPES

# Metrics that have a column, for each of these sets.
_CLASSIFICATION = ('accuracy', 'macro_f1', 'loss')
_REGRESSION = ('root_mean_squared_error', 'mean_absolute_error', 'loss')
_SETS = ('validation', 'test')

# TensorBoard shows five settings, sorted by name, those marked as differing before the
# others.
_FIRST = ('batch_size', 'learning_rate', 'network', 'optimizer', 'steps')

# Settings that do not change results.
_EXCLUDED = ('log_every',)

_TYPES = {
    str: api_pb2.DATA_TYPE_STRING,
    bool: api_pb2.DATA_TYPE_BOOL,
    int: api_pb2.DATA_TYPE_FLOAT64,
    float: api_pb2.DATA_TYPE_FLOAT64,
}


def write_start(
    writer: tf.compat.v1.summary.FileWriter,
    config: Config,
    total_steps: int,
    regression: bool = False,
) -> None:
    """Writes the settings of a run that starts or resumes.

    Args:
      writer: of the model_dir.
      config: settings; those that may change during a run are excluded.
      total_steps: length of the run.
      regression: whether it predicts numbers, not classes.
    """
    flat = config.to_flat()
    types = {name: _TYPES[TYPES[name]] for name in _names()}
    types['steps'] = api_pb2.DATA_TYPE_FLOAT64
    values = {name: flat[name] for name in types if flat.get(name) is not None}
    # Settings at their defaults, too: TensorBoard takes the columns from the first run
    # that it finds.
    infos = [
        api_pb2.HParamInfo(name=name, type=kind, differs=name in _FIRST)
        for name, kind in types.items()
    ]
    # By default TensorBoard makes a column for every scalar in every directory.
    metrics = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(group=split, tag=tag),
            display_name=f'{split} {tag}',
        )
        for split in _SETS
        for tag in (_REGRESSION if regression else _CLASSIFICATION)
    ]
    writer.add_summary(summary.experiment_pb(infos, metrics))
    writer.add_summary(summary.session_start_pb({**values, 'steps': total_steps}))
    writer.flush()


def write_end(writer: tf.compat.v1.summary.FileWriter) -> None:
    """Writes to a model_dir's writer that the run has ended."""
    writer.add_summary(summary.session_end_pb(api_pb2.STATUS_SUCCESS))
    writer.flush()


def _names():
    """Settings that may differ between runs and change their results."""
    return [
        name
        for name, field in FIELDS.items()
        if not field.metadata['changeable'] and name not in _EXCLUDED
    ]
