"""Device selection; tests of logical devices start a process."""

import json
import pathlib
import subprocess
import sys
import textwrap

import pytest
import tensorflow as tf

from estimator_clf.core.errors import ConfigError
from estimator_clf.core.hardware import devices

ROOT = pathlib.Path(__file__).resolve().parents[4]


def test_one_cpu_needs_no_strategy():
    assert devices.set_up('cpu') == 1
    assert devices.set_up('cpu', 1) == 1
    assert devices.strategy(1) is None


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices('GPU')), reason='there is a GPU here'
)
def test_missing_gpu_is_an_error_unless_auto():
    with pytest.raises(ConfigError, match='`device=gpu` needs a GPU .* it finds none'):
        devices.set_up('gpu')
    assert devices.set_up('auto') == 1


def test_more_gpus_than_there_are(monkeypatch):
    fake = [tf.config.PhysicalDevice('/physical_device:GPU:0', 'GPU')]
    monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: fake)
    with pytest.raises(ConfigError, match='at most the 1 GPUs there are, got 2'):
        devices.set_up('auto', 2)


def test_all_gpus_are_replicas_with_memory_growth(monkeypatch):
    fake = [
        tf.config.PhysicalDevice(f'/physical_device:GPU:{n}', 'GPU') for n in range(3)
    ]
    visible, grown = [], []
    config = tf.config
    monkeypatch.setattr(config, 'list_physical_devices', lambda kind: fake)
    monkeypatch.setattr(config, 'set_visible_devices', lambda d, k: visible.append(d))
    monkeypatch.setattr(
        config.experimental, 'set_memory_growth', lambda d, on: grown.append(d)
    )
    assert devices.set_up('gpu') == 3
    assert devices.set_up('auto', 2) == 2
    assert visible == [fake, fake[:2]] and grown == fake + fake[:2]


def test_session_config():
    reading = devices.session_config(rewrite=False, intra_op_parallelism_threads=1)
    for config in (devices.session_config(), reading):
        assert config.allow_soft_placement and config.gpu_options.allow_growth
    assert reading.intra_op_parallelism_threads == 1
    with tf.Graph().as_default():
        value = tf.reduce_sum(tf.range(4) + 0)
        for config in (devices.session_config(), reading):
            with tf.compat.v1.Session(config=config) as session:
                assert session.run(value) == 6


SCRIPT = """
    import json
    from estimator_clf.core.hardware import devices
    from estimator_clf.core.errors import ConfigError
    import tensorflow as tf

    result = {'replicas': devices.set_up('cpu', 2)}
    strategy = devices.strategy(2)
    result['in_sync'] = strategy.num_replicas_in_sync
    result['devices'] = len(tf.config.list_logical_devices('CPU'))
    result['again'] = devices.set_up('cpu', 2)
    try:
        devices.set_up('cpu', 3)
    except ConfigError as error:
        result['error'] = str(error)
    print(json.dumps(result))
"""


def test_two_logical_cpus():
    done = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(SCRIPT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    error = result.pop('error')
    assert result == {'replicas': 2, 'in_sync': 2, 'devices': 2, 'again': 2}
    assert error.startswith('`replicas=3` on the CPU must be set up before any other')
