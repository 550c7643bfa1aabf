"""The layers of torchvision's networks, and how these differ from Keras's.

torchvision's ResNet50 and MobileNetV2 are not the functions that Keras's are: images
are padded on both sides before a stride, a bottleneck has its stride in the 3x3
convolution (v1.5), no convolution has a bias, and batch normalization another epsilon.
"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

#: Statistics of ImageNet's RGB pixels in 0..1, by which torchvision normalizes.
MEAN = (0.485, 0.456, 0.406)
STDDEV = (0.229, 0.224, 0.225)

_EPSILON = 1e-5

#: The architectures of Keras that can be built as torchvision's.
ARCHITECTURES = ('MobileNetV2', 'ResNet50')


def preprocessing() -> tuple[list[int], list[float], list[float]]:
    """Returns (order, scale, offset), as `keras_applications.preprocessing` does."""
    scale = [1.0 / (255.0 * stddev) for stddev in STDDEV]
    offset = [-mean / stddev for mean, stddev in zip(MEAN, STDDEV, strict=True)]
    return [0, 1, 2], scale, offset


def squeezenet_modules() -> dict[str, str]:
    """Returns dict prefix in `squeezenet1_1`'s files -> name of the layer."""
    modules = {'features.0': 'conv1'}
    for index, number in zip((3, 4, 6, 7, 9, 10, 11, 12), range(2, 10), strict=True):
        for part, name in (
            ('squeeze', 'squeeze1x1'),
            ('expand1x1', 'expand1x1'),
            ('expand3x3', 'expand3x3'),
        ):
            modules[f'features.{index}.{part}'] = f'fire{number}/{name}'
    return modules


def modules(architecture: str) -> dict[str, str]:
    """Returns dict prefix in torchvision's files -> name of Keras's layer.

    Args:
      architecture: one of `ARCHITECTURES`.
    """
    return _resnet50() if architecture == 'ResNet50' else _mobilenet_v2()


def as_torchvision(config: dict[str, Any], architecture: str) -> dict[str, Any]:
    """Returns the configuration of Keras's architecture, changed to torchvision's.

    Args:
      config: from `keras_applications.config`.
      architecture: one of `ARCHITECTURES`.
    """
    config = copy.deepcopy(config)
    for layer in config['layers']:
        kind, name, settings = layer['class_name'], layer['name'], layer['config']
        if kind == 'BatchNormalization':
            settings['epsilon'] = _EPSILON
        if kind == 'Conv2D':
            settings['use_bias'] = False
        if architecture == 'ResNet50' and name.endswith(('block1_1_conv', '_2_conv')):
            stage, block = name.split('_')[:2]
            strided = stage != 'conv2' and block == 'block1'
            if name.endswith('_1_conv'):
                settings['strides'] = [1, 1]
            elif strided:
                settings['strides'] = [2, 2]
        if kind == 'ZeroPadding2D' and architecture == 'MobileNetV2':
            settings['padding'] = [[1, 1], [1, 1]]
    return _pad_before_strides(config)


def fold_preprocessing(
    kernel: np.ndarray, bias: np.ndarray, bgr_mean: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Rewrites a first convolution without padding for BGR pixels minus a mean.

    Args:
      kernel: [H, W, 3, outputs], for RGB normalized as by torchvision.
      bias: [outputs].
      bgr_mean: means of blue, green and red, 0..255.

    Returns:
      (kernel, bias) with the same outputs for `pixels[..., ::-1] - bgr_mean`.
    """
    _, scale, offset = preprocessing()
    wide = kernel.astype(np.float64)
    # scale * pixel + offset = scale * (pixel - mean) + (scale * mean + offset).
    shift = np.multiply(scale, bgr_mean[::-1]) + offset
    bias = bias + np.einsum('hwio,i->o', wide, shift)
    wide = (wide * np.reshape(scale, (3, 1)))[:, :, ::-1]
    return wide.astype(np.float32), bias.astype(np.float32)


def _pad_before_strides(config):
    """Replaces SAME padding before strides, which is one-sided for even sizes."""
    layers = []
    for layer in config['layers']:
        settings = layer['config']
        convolution = layer['class_name'] in ('Conv2D', 'DepthwiseConv2D')
        if convolution and settings['padding'] == 'same':
            pad = [(size - 1) // 2 for size in settings['kernel_size']]
            if max(settings['strides']) > 1 and max(pad) > 0:
                name = f'{layer["name"]}_pad'
                layers.append(
                    {
                        'class_name': 'ZeroPadding2D',
                        'name': name,
                        'config': {'name': name, 'padding': [[p, p] for p in pad]},
                        'inbound_nodes': layer['inbound_nodes'],
                    }
                )
                settings['padding'] = 'valid'
                layer['inbound_nodes'] = [[[name, 0, 0, {}]]]
        layers.append(layer)
    return {**config, 'layers': layers}


def _resnet50():
    names = {'conv1': 'conv1_conv', 'bn1': 'conv1_bn'}
    for stage, blocks in enumerate((3, 4, 6, 3), 1):
        for block in range(blocks):
            torch = f'layer{stage}.{block}'
            keras = f'conv{stage + 1}_block{block + 1}'
            for part in (1, 2, 3):
                names[f'{torch}.conv{part}'] = f'{keras}_{part}_conv'
                names[f'{torch}.bn{part}'] = f'{keras}_{part}_bn'
            if block == 0:
                names[f'{torch}.downsample.0'] = f'{keras}_0_conv'
                names[f'{torch}.downsample.1'] = f'{keras}_0_bn'
    return names


def _mobilenet_v2():
    names = {
        'features.0.0': 'Conv1',
        'features.0.1': 'bn_Conv1',
        'features.18.0': 'Conv_1',
        'features.18.1': 'Conv_1_bn',
    }
    for index in range(1, 18):
        torch = f'features.{index}.conv'
        keras = 'expanded_conv' if index == 1 else f'block_{index - 1}'
        parts = ['depthwise'] if index == 1 else ['expand', 'depthwise']
        for i, part in enumerate(parts):
            names[f'{torch}.{i}.0'] = f'{keras}_{part}'
            names[f'{torch}.{i}.1'] = f'{keras}_{part}_BN'
        i = len(parts)
        names[f'{torch}.{i}'] = f'{keras}_project'
        names[f'{torch}.{i + 1}'] = f'{keras}_project_BN'
    return names
