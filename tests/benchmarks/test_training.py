"""Tests of benchmarks/training.py."""

import json

import pytest

from benchmarks import training
from tests.helpers.launching import benchmark


@pytest.mark.slow
def test_runs_the_smallest_workload(tmp_path):
    """A fraction of a second: checks the program, not the speed."""
    path = tmp_path / 'out.json'
    tiny = ['--workloads=linear', '--programs=ours,stock', '--repetitions=1']
    printed = benchmark('training', *tiny, '--seconds=0.2', f'--json={path}')
    report = json.loads(path.read_text())
    assert [run['program'] for run in report['runs']] == ['ours', 'stock']
    for run in report['runs']:
        assert run['steps'] > 0
        per_second = run['steps'] * 100 / run['seconds']
        assert run['images_per_second'] == pytest.approx(per_second)
    limits = report['limits']
    assert limits['tflops']['convolution, float32'] > 0
    assert limits['memory_gb_per_second'] > 0
    assert 'ours / peer' in printed


def test_flop_per_image_are_those_of_the_network():
    """From the network's graph, forward; twice that for two gradients."""
    import tensorflow as tf

    from model_fns import registry
    from model_fns.layers.layer_builder import LayerBuilder

    with tf.Graph().as_default() as graph:
        registry.get('airbench')(LayerBuilder(False), tf.zeros((1, 32, 32, 3)), 10)
        forward = []
        for op in graph.get_operations():
            if op.type == 'Conv2D':
                kernel = op.inputs[1].shape.as_list()
                _, height, width, _ = op.outputs[0].shape
                forward.append(
                    2 * height * width * kernel[0] * kernel[1] * kernel[2] * kernel[3]
                )
    # The first is not trained; the second has a filter gradient only.
    expected = 3 * sum(forward[1:]) - forward[1]
    assert expected == training.FLOP_PER_IMAGE
