"""The architectures of Keras with their pretrained weights."""

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers import keras_applications, keras_functional, torchvision_layout
from model_fns.layers.classifier import classify
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.normalize import affine_rgb
from model_fns.layers.published import Published, TorchLayout
from model_fns.registry import register

# Not all architectures support every size; the layers do not depend on it.
_DEFAULT_SHAPE = (224, 224, 3)


@register('pretrained', pixels='raw', published=True)
def pretrained(
    net: LayerBuilder,
    images: tf.Tensor,
    num_classes: int,
    *,
    name: str = 'MobileNetV2',
    weights: str = 'imagenet',
    alpha: float = 1.0,
    layout: str = 'keras',
    top: bool = False,
    pooling: str = 'avg',
    hidden: tuple[int, ...] = (),
    dropout: float = 0.2,
) -> tf.Tensor:
    """Any network of tf_keras.applications, with its own preprocessing.

    Its variables have the names of Keras, `pretrained/block1_conv1/kernel`; those of
    the classifier after it are `pretrained/hidden1/…` and `pretrained/logits/…`. With
    `train_only` of logits and hidden it is a feature extractor.

    Args:
      net: the layers.
      images: float32 [B, H, W, 1 or 3], in pixel units 0..255.
      num_classes: number of classes.
      name: one of `keras_applications.names()`, such as VGG16.
      weights: initial weights of a run without `warm_start`: a file, 'none', or
        'imagenet', also called 'auto': those that Keras publishes. The network itself
        depends only on whether it is these, with which EfficientNet has another layer.
      alpha: width multiplier of the MobileNets.
      layout: keras, or torchvision: the variant (padding, strides, preprocessing) of
        torchvision's weights, for MobileNetV2 and ResNet50.
      top: include the dense layers of its original classifier except the last.
      pooling: avg, max, avg+max or none: how the last feature map becomes a vector.
      hidden: units of new dense layers with ReLU before the logits.
      dropout: share of the inputs of each dense layer that training drops.

    Returns:
      logits [B, num_classes].

    Raises:
      SettingError: an unknown architecture, or images that it does not support.
    """
    shape = (*images.shape[1:3].as_list(), 3)
    config = _config(name, shape, weights, alpha, layout, top)
    x = keras_functional.run(net, config, preprocessed(images, name, layout))
    return classify(net, x, num_classes, pooling, hidden, dropout)


def preprocessed(images: tf.Tensor, name: str, layout: str = 'keras') -> tf.Tensor:
    """Applies the preprocessing of an architecture.

    Args:
      images: float32 [B, H, W, 1 or 3], 0..255; gray is repeated for all channels.
      name: of the architecture.
      layout: see `pretrained`.

    Returns:
      float32 [B, H, W, 3].
    """
    if layout == 'torchvision':
        return affine_rgb(images, *torchvision_layout.preprocessing())
    return affine_rgb(images, *keras_applications.preprocessing(name))


def published(
    *,
    name: str = 'MobileNetV2',
    weights: str = 'imagenet',
    alpha: float = 1.0,
    layout: str = 'keras',
    top: bool = False,
    **others: object,
) -> Published:
    """Returns the layers of this network in weight files, and how to find them."""
    del others
    config = _config(name, _DEFAULT_SHAPE, weights, alpha, layout, top)
    layers = keras_functional.layers_of(config)
    if layout == 'torchvision':
        torch = TorchLayout(torchvision_layout.modules(name))
        return Published(layers, _no_address, torch)

    def fetch(find):
        return keras_applications.imagenet_weights(name, alpha, top, find)

    hint = "torchvision's weights need another network than Keras's"
    if name in torchvision_layout.ARCHITECTURES:
        hint += f': pretrained(name={name}, layout=torchvision)'
    else:
        hint += f', which exists for {", ".join(torchvision_layout.ARCHITECTURES)} only'
    return Published(layers, fetch, None, hint)


def _no_address(find):
    raise errors.SettingError(
        '`network`: with layout=torchvision the weights must be a file of torchvision, '
        'weights=PATH, or none'
    )


def _config(name, shape, weights, alpha, layout, top):
    if layout not in ('keras', 'torchvision'):
        raise errors.unknown('network', 'layout', layout, ('keras', 'torchvision'))
    imagenet = weights in ('imagenet', 'auto')
    config = keras_applications.config(name, shape, alpha, top, imagenet)
    if layout == 'keras':
        return config
    if name not in torchvision_layout.ARCHITECTURES or top:
        raise errors.SettingError(
            'layout=torchvision is for '
            f'{", ".join(torchvision_layout.ARCHITECTURES)} without top, got {name}'
        )
    return torchvision_layout.as_torchvision(config, name)
