"""Resolution of `precision=auto`."""

import pytest

from estimator_clf.core.hardware import mixed_precision


@pytest.mark.parametrize(
    'capability, name',
    [
        ((6, 1), 'float32'),
        ((7, 0), 'float16'),
        ((7, 5), 'float16'),
        ((8, 0), 'bfloat16'),
        ((12, 0), 'bfloat16'),
    ],
)
def test_gpus(capability, name):
    assert mixed_precision.for_gpu(capability) == name


def test_cpus():
    assert mixed_precision.for_cpu(['avx2', 'avx512f']) == 'float32'
    assert mixed_precision.for_cpu(['avx512f', 'avx512_bf16']) == 'bfloat16'
    assert mixed_precision.for_cpu(['amx_bf16']) == 'bfloat16'
    assert mixed_precision.for_cpu([]) == 'float32'


def test_oldest_of_several_gpus_decides(monkeypatch):
    capabilities = {'new': (9, 0), 'old': (7, 5)}
    monkeypatch.setattr(
        mixed_precision.tf.config,
        'get_visible_devices',
        lambda kind: list(capabilities),
    )
    monkeypatch.setattr(
        mixed_precision.tf.config.experimental,
        'get_device_details',
        lambda gpu: {'compute_capability': capabilities[gpu]},
    )
    assert mixed_precision.resolve('auto') == 'float16'


def test_named_precision_is_not_changed():
    for name in ('float32', 'bfloat16', 'float16'):
        assert mixed_precision.resolve(name) == name
    assert mixed_precision.resolve('auto') in ('float32', 'bfloat16')


def test_conv_gradients():
    kinds = mixed_precision.conv_gradients_for_cpu
    assert kinds(['avx512f', 'avx512_bf16', 'amx_bf16']) == 'products'
    assert kinds(['avx512_bf16']) == 'small'
    assert kinds([]) == 'tensorflow'
    assert mixed_precision.conv_gradients('auto', 'float32') == 'tensorflow'
    assert mixed_precision.conv_gradients('products', 'float32') == 'products'
