"""TensorBoard's HParams: a table of runs, their settings and what they reached."""

import dataclasses

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

from tensorboard.plugins.hparams import api_pb2, summary

#: Metrics that get a column, of each of these sets.
METRICS = ('accuracy', 'macro_f1', 'root_mean_squared_error', 'loss')
SETS = ('validation', 'test')

# What people compare first comes first; the other settings follow in their own order.
_FIRST = (
    'network',
    'network_args',
    'optimizer',
    'learning_rate',
    'batch_size',
    'augment',
    'schedule',
)

_TYPES = {
    str: api_pb2.DATA_TYPE_STRING,
    bool: api_pb2.DATA_TYPE_BOOL,
    int: api_pb2.DATA_TYPE_FLOAT64,
    float: api_pb2.DATA_TYPE_FLOAT64,
}


def write_start(writer, config, total_steps, metric_names=METRICS):
    """Writes the settings of a run that starts, or goes on.

    Args:
      writer: `tf.compat.v1.summary.FileWriter` of the model_dir.
      config: `Config`; of its settings those in which one run cannot be the
        continuation of another.
      total_steps: length of the run.
      metric_names: of what its evaluations have.
    """
    values = _settings(config)
    # All settings, those at their defaults too: TensorBoard takes the columns from one
    # of the runs, whichever it finds first, and that one cannot know the others.
    infos = [
        api_pb2.HParamInfo(name=field.name, type=_TYPES[field.type])
        for field in _fields(config)
    ]
    infos.append(api_pb2.HParamInfo(name='steps', type=api_pb2.DATA_TYPE_FLOAT64))
    # Left to itself it would make a column of every scalar in every folder.
    metrics = [
        api_pb2.MetricInfo(
            name=api_pb2.MetricName(group=split, tag=tag),
            display_name=f'{split} {tag}',
        )
        for split in SETS
        for tag in METRICS
        if tag in metric_names
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


def _settings(config):
    values = {field.name: getattr(config, field.name) for field in _fields(config)}
    return {name: value for name, value in values.items() if value is not None}


def _fields(config):
    fields = [f for f in dataclasses.fields(config) if not f.metadata['free']]
    rank = {name: number for number, name in enumerate(_FIRST)}
    return sorted(fields, key=lambda field: rank.get(field.name, len(rank)))
