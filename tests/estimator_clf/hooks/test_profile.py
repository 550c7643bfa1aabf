"""Profiles that TensorBoard's profile plugin can read."""

from estimator_clf.compat import estimator

import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from estimator_clf.hooks.base import StepHook
from estimator_clf.hooks.profile import ProfileHook
from tests.helpers.small_run import bare_estimator, line_input_fn


def train(directory, first, last, steps, *hooks):
    messages = []
    hook = ProfileHook(str(directory), first, last, messages.append)
    bare_estimator(directory).train(
        line_input_fn(), hooks=[hook, *hooks], max_steps=steps
    )
    return messages


def recordings(directory):
    return sorted((directory / 'plugins' / 'profile').glob('*/*.xplane.pb'))


def steps_in(path):
    """Returns the steps in a recording."""
    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    return sorted(
        {
            stat.int64_value
            for plane in space.planes
            for line in plane.lines
            for event in line.events
            if plane.event_metadata[event.metadata_id].name == 'train'
            for stat in event.stats
            if plane.stat_metadata[stat.metadata_id].name == 'step_num'
        }
    )


def test_records_the_steps(tmp_path):
    (message,) = train(tmp_path, 3, 5, 8)
    (path,) = recordings(tmp_path)
    assert steps_in(path) == [3, 4, 5]
    assert 'xprof' in message and str(tmp_path) in message


def test_run_that_ends_first_writes_a_recording(tmp_path):
    (message,) = train(tmp_path, 3, 50, 4)
    (path,) = recordings(tmp_path)
    assert steps_in(path) == [3, 4] and 'recorded' in message


def test_resumed_run_records_the_rest(tmp_path):
    saver = estimator.CheckpointSaverHook(str(tmp_path), save_steps=1000)
    assert train(tmp_path, 9, 12, 4, saver) == []
    assert not recordings(tmp_path)
    (message,) = train(tmp_path, 3, 6, 8, saver)
    (path,) = recordings(tmp_path)
    assert steps_in(path) == [5, 6]
    (message,) = train(tmp_path, 3, 6, 9, saver)
    assert 'no recording' in message and recordings(tmp_path) == [path]


def test_after_an_error_while_recording(tmp_path):
    class Failing(StepHook):
        def after_step(self, run_context, results):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(tmp_path / 'a', 1, 9, 9, Failing())
    train(tmp_path / 'b', 1, 2, 2)
    (path,) = recordings(tmp_path / 'b')
    assert steps_in(path) == [1, 2]
