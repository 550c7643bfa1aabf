"""SqueezeNet 1.1 with the layer names of its Keras weights."""

from collections.abc import Iterator

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers import torchvision_layout
from model_fns.layers.classifier import classify
from model_fns.layers.keras_functional import KerasLayer
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.normalize import affine_rgb
from model_fns.layers.published import Published, TorchLayout
from model_fns.registry import register

#: Means of ImageNet's blue, green and red pixels, which Caffe's models subtract.
CAFFE_BGR_MEAN = (103.939, 116.779, 123.68)

#: Name of the file of its Keras weights.
FILE_NAME = 'squeezenet1.1_imagenet_notop.h5'

# (number, outputs of the 1x1 convolution that squeezes, outputs of each that expands).
_FIRES = (
    (2, 16, 64),
    (3, 16, 64),
    (4, 32, 128),
    (5, 32, 128),
    (6, 48, 192),
    (7, 48, 192),
    (8, 64, 256),
    (9, 64, 256),
)
# Fire modules after which the image is halved.
_POOLED = (3, 5)
# The least size for which every pooling has an output.
_LEAST = 31


@register('squeezenet', pixels='raw', published=True)
def squeezenet(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    weights: str = 'none',
    pooling: str = 'avg',
    hidden: tuple[int, ...] = (),
    dropout: float = 0.2,
) -> tf.Tensor:
    """SqueezeNet 1.1: eight fire modules, 722,496 weights before the classifier.

    Iandola et al., 2016, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters
    and <0.5MB model size"; version 1.1 is of the authors' repository. Its variables
    have the names of its Keras weights, `squeezenet/fire2/squeeze1x1/kernel`. The
    preprocessing is that of its training: BGR, minus the mean. It was trained with 227
    pixels; others are possible. With `train_only=logits` it is a feature extractor.

    Args:
      net: the layers.
      images: float32 [B, H, W, 1 or 3], in pixel units 0..255; H and W at least 31.
      num_classes: number of classes.
      weights: initial weights of a run without `warm_start`: a file of its weights
        (Keras's or torchvision's), 'auto' (a file of the published name) or 'none'.
        The network itself does not depend on it.
      pooling: avg, max, avg+max or none: how the last feature map becomes a vector.
      hidden: units of new dense layers with ReLU before the logits.
      dropout: share of the inputs of each dense layer that training drops.

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: images that are too small, or neither gray nor color.
    """
    del weights  # Read by `registry.weights`.
    *_, x = stages(net, images)
    return classify(net, x[1], num_classes, pooling, hidden, dropout)


def stages(net: LayerBuilder, images: tf.Tensor) -> Iterator[tuple[str, tf.Tensor]]:
    """Builds the backbone.

    Args:
      net: the layers.
      images: as for `squeezenet`.

    Yields:
      (name of a layer or module, its output, [B, H', W', C]): 'conv1', 'fire2' to
      'fire9'.

    Raises:
      SettingError: images that are too small, or neither gray nor color.
    """
    _, height, width, _ = images.shape
    if min(height, width) < _LEAST:
        raise errors.SettingError(
            f"`network`: 'squeezenet' requires images of at least {_LEAST}x{_LEAST} "
            f'pixels, got {height}x{width}; use larger images by `image_size`'
        )
    offset = [-mean for mean in CAFFE_BGR_MEAN]
    x = affine_rgb(images, [2, 1, 0], [1.0] * 3, offset)
    x = tf.nn.relu(net.conv('conv1', x, 64, 3, strides=2, padding='VALID'))
    yield 'conv1', x
    x = net.max_pool(x, 3, 2)
    for number, squeezed, expanded in _FIRES:
        x = _fire(net, f'fire{number}', x, squeezed, expanded)
        yield f'fire{number}', x
        if number in _POOLED:
            x = net.max_pool(x, 3, 2)


def published(**options: object) -> Published:
    """Returns the layers of this network in its weight files, see `pretrained`."""
    del options
    names = ['conv1']
    for number, _, _ in _FIRES:
        names += [
            f'fire{number}/{part}' for part in ('squeeze1x1', 'expand1x1', 'expand3x3')
        ]
    weights = ('kernel', 'bias')
    return Published(
        [KerasLayer(name, 'Conv2D', weights) for name in names],
        lambda find: find(FILE_NAME, None, None),
        TorchLayout(torchvision_layout.squeezenet_modules(), _adapt),
    )


def _adapt(layers):
    # Exact, because the first convolution has no padding.
    layers['conv1'] = list(
        torchvision_layout.fold_preprocessing(*layers['conv1'], CAFFE_BGR_MEAN)
    )


def _fire(net, name, x, squeezed, expanded):
    x = tf.nn.relu(net.conv(f'{name}/squeeze1x1', x, squeezed, 1))
    # One tensor for both: `net.split` compares inputs by identity.
    parts = (
        net.conv(f'{name}/expand1x1', x, expanded, 1),
        net.conv(f'{name}/expand3x3', x, expanded, 3),
    )
    return tf.nn.relu(tf.concat(parts, axis=-1))
