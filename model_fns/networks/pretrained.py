"""The architectures of Keras with their pretrained weights."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from model_fns.layers import keras_applications, keras_functional
from model_fns.layers.classifier import classify
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.normalize import affine_rgb
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
      weights: initial weights of a run without `warm_start`: a Keras file, 'imagenet'
        or 'none'. The network itself depends on whether it is 'imagenet' only, with
        which EfficientNet has another layer.
      alpha: width multiplier of the MobileNets.
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
    config = keras_applications.config(name, shape, alpha, top, weights == 'imagenet')
    x = keras_functional.run(net, config, preprocessed(images, name))
    return classify(net, x, num_classes, pooling, hidden, dropout)


def preprocessed(images: tf.Tensor, name: str) -> tf.Tensor:
    """Applies the preprocessing of an architecture.

    Args:
      images: float32 [B, H, W, 1 or 3], 0..255; gray is repeated for all channels.
      name: of the architecture.

    Returns:
      float32 [B, H, W, 3].
    """
    return affine_rgb(images, *keras_applications.preprocessing(name))


def published(
    *,
    name: str = 'MobileNetV2',
    weights: str = 'imagenet',
    alpha: float = 1.0,
    top: bool = False,
    **others: object,
) -> tuple[
    tuple[keras_functional.KerasLayer, ...], Callable[[], dict[str, list[np.ndarray]]]
]:
    """Returns the layers of this network in Keras's weight files.

    Returns:
      The layers, and a function that loads the ImageNet weights: dict layer -> list of
      arrays.
    """
    del others
    config = keras_applications.config(
        name, _DEFAULT_SHAPE, alpha, top, weights == 'imagenet'
    )

    def fetch():
        return keras_applications.imagenet_weights(name, alpha, top)

    return keras_functional.layers_of(config), fetch
