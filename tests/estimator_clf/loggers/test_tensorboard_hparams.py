"""HParams: settings, metrics and state of a run."""

import pytest
from tensorboard.plugins.hparams import api_pb2, metadata

from estimator_clf.config.config import make_config
from estimator_clf.loggers import tensorboard_hparams
from estimator_clf.loggers.tensorboard_writer import event_writer
from tests.helpers.small_run import events


def written(directory):
    """Returns dict tag -> plugin content."""
    return {
        value.tag: value.metadata.plugin_data.content
        for event in events(directory)
        for value in event.summary.value
    }


@pytest.mark.parametrize('regression', [False, True])
def test_settings_and_columns(tmp_path, regression):
    config = make_config(
        network='mlp', learning_rate=0.25, channels=3, keep_checkpoints=9
    )
    writer = event_writer(str(tmp_path))
    tensorboard_hparams.write_start(writer, config, 1234, regression)
    found = written(tmp_path)
    start = metadata.parse_session_start_info_plugin_data(
        found[metadata.SESSION_START_INFO_TAG]
    )
    assert start.hparams['network'].string_value == 'mlp'
    assert start.hparams['learning_rate'].number_value == 0.25
    assert start.hparams['channels'].number_value == 3
    assert start.hparams['steps'].number_value == 1234
    assert start.hparams['label_smoothing'].number_value == 0
    # May change during a run: not a property of the run.
    assert 'keep_checkpoints' not in start.hparams and 'data_dir' not in start.hparams
    experiment = metadata.parse_experiment_plugin_data(found[metadata.EXPERIMENT_TAG])
    infos = {info.name: info for info in experiment.hparam_infos}
    assert set(start.hparams) <= set(infos)
    # Shown by default.
    assert {name for name, info in infos.items() if info.differs} == {
        'batch_size',
        'learning_rate',
        'network',
        'optimizer',
        'steps',
    }
    columns = {(m.name.group, m.name.tag) for m in experiment.metric_infos}
    usual = 'root_mean_squared_error' if regression else 'accuracy'
    assert {('validation', usual), ('test', usual), ('test', 'loss')} <= columns
    assert len(columns) == 6


def test_end(tmp_path):
    writer = event_writer(str(tmp_path))
    tensorboard_hparams.write_end(writer)
    end = metadata.parse_session_end_info_plugin_data(
        written(tmp_path)[metadata.SESSION_END_INFO_TAG]
    )
    assert end.status == api_pb2.STATUS_SUCCESS and end.end_time_secs > 1.7e9
