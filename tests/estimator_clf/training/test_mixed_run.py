"""Tests of a run with mixed labels and balanced classes."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.launching import lines
from tests.helpers.small_run import Recorder, run, weights

_SETTINGS = {
    'augment': 'randaugment(3, ops=1), cutout(2), mixup(0.4), cutmix',
    'sampling': 'sqrt',
    'eval_every': '0',
}


@pytest.mark.extended
def test_a_killed_and_resumed_run_is_the_same_run(tmp_path):
    run(tmp_path / 'whole', **_SETTINGS)
    with pytest.raises(Recorder.Killed):
        run(tmp_path / 'parts', Recorder(kill_after=8), **_SETTINGS)
    run(tmp_path / 'parts', **_SETTINGS)
    one, other = (
        weights(tf.train.latest_checkpoint(str(tmp_path / name)))
        for name in ('whole', 'parts')
    )
    assert one == other
    for line in lines(tmp_path / 'whole' / 'metrics.jsonl'):
        assert np.isfinite(line['loss']) and 0 <= line['accuracy'] <= 1
