"""TensorBoard's HParams: a table of runs, their settings and what they reached."""

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

from estimator_clf.config.fields import FIELDS, TYPES
from tensorboard.plugins.hparams import api_pb2, summary

# Metrics that get a column, of each of these sets.
_CLASSIFICATION = ('accuracy', 'macro_f1', 'loss')
_REGRESSION = ('root_mean_squared_error', 'mean_absolute_error', 'loss')
_SETS = ('validation', 'test')

# TensorBoard sorts the settings by name and shows the first five, but those that are
# marked as differing before the others.
_FIRST = ('batch_size', 'learning_rate', 'network', 'optimizer', 'steps')

# Settings that do not change results.
_EXCLUDED = ('log_every',)

_TYPES = {
    str: api_pb2.DATA_TYPE_STRING,
    bool: api_pb2.DATA_TYPE_BOOL,
    int: api_pb2.DATA_TYPE_FLOAT64,
    float: api_pb2.DATA_TYPE_FLOAT64,
}


def write_start(writer, config, total_steps, regression=False):
    """Writes the settings of a run that starts, or goes on.

    Args:
      writer: `tf.compat.v1.summary.FileWriter` of the model_dir.
      config: `Config`; its settings that are not `free` are written.
      total_steps: length of the run.
      regression: whether it predicts numbers, not classes.
    """
    flat = config.to_flat()
    types = {name: _TYPES[TYPES[name]] for name in _names()}
    types['steps'] = api_pb2.DATA_TYPE_FLOAT64
    values = {name: flat[name] for name in types if flat.get(name) is not None}
    # All settings, those at their defaults too: TensorBoard takes the columns from one
    # of the runs, whichever it finds first, and that one cannot know the others.
    infos = [
        api_pb2.HParamInfo(name=name, type=kind, differs=name in _FIRST)
        for name, kind in types.items()
    ]
    # Left to itself it would make a column of every scalar in every directory.
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


def write_end(writer):
    """Writes that the run has come to its end.

    Args:
      writer: `tf.compat.v1.summary.FileWriter` of the model_dir.
    """
    writer.add_summary(summary.session_end_pb(api_pb2.STATUS_SUCCESS))
    writer.flush()


def _names():
    """Settings that may differ between runs and change their results."""
    return [
        name
        for name, field in FIELDS.items()
        if not field.metadata['changeable'] and name not in _EXCLUDED
    ]
