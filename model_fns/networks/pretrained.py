"""The published architectures of Keras, to be used with their weights."""

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers import keras_applications, keras_functional
from model_fns.registry import register

# Some can be made of few pixels only, and what the layers are does not depend on them.
_USUAL = (224, 224, 3)


@register('pretrained', pixels='raw', published=True)
def pretrained(
    net,
    images,
    num_classes,
    *,
    name='MobileNetV2',
    weights='imagenet',
    alpha=1.0,
    top=False,
    pooling='avg',
    hidden=(),
    dropout=0.2,
):
    """Any network of tf_keras.applications, with its own preprocessing.

    Its variables are called as in Keras: `pretrained/block1_conv1/kernel`; those of the
    classifier behind it `pretrained/hidden1/…` and `pretrained/logits/…`.
    `train_only=logits`,hidden` makes a feature extractor of it.

    Args:
        net: `layers.LayerBuilder`.
        images: float32 [B, H, W, 1 or 3], in pixel units 0..255.
        num_classes: classes to tell apart.
        name: one of `applications.names()`, such as VGG16.
        weights: what a run begins with, unless `warm_start` says so: a Keras file,
            'imagenet' or 'none'. The network itself only asks whether it is
            'imagenet': EfficientNet is another one then.
        alpha: width of the MobileNets.
        top: keep the dense layers of its own classifier, all but the last.
        pooling: avg, max or none: how the last feature map becomes a vector.
        hidden: units of dense layers with ReLU of its own in front of the logits.
        dropout: share of the inputs of each dense layer that training drops.

    Returns:
        logits [B, num_classes].

    Raises:
        SettingError: no such architecture, or images that it cannot take.
    """
    channels = images.shape[-1]
    if channels not in (1, 3):
        raise errors.SettingError(f'images must have 1 or 3 channels, got {channels}')
    shape = (*images.shape[1:3].as_list(), 3)
    config = keras_applications.config(name, shape, alpha, top, weights == 'imagenet')
    x = keras_functional.run(net, config, preprocessed(images, name))
    if x.shape.rank == 4:
        x = _pooled(net, x, pooling)
    for i, units in enumerate(hidden, 1):
        x = net.dropout(f'hidden{i}', x, dropout)
        x = tf.nn.relu(net.dense(f'hidden{i}', x, units))
    x = net.dropout('logits', x, dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


def preprocessed(images, name):
    """Pixels as an architecture wants them; see `applications.preprocessing`.

    Args:
        images: float32 [B, H, W, 1 or 3], 0..255; gray is taken for three alike.
        name: of the architecture.

    Returns:
        float32 [B, H, W, 3].
    """
    order, scale, offset = keras_applications.preprocessing(name)
    if images.shape[-1] == 1:
        images = tf.repeat(images, 3, axis=-1)
    elif order != [0, 1, 2]:
        images = tf.gather(images, order, axis=-1)
    return images * tf.constant(scale, tf.float32) + tf.constant(offset, tf.float32)


def published(
    *, name='MobileNetV2', weights='imagenet', alpha=1.0, top=False, **others
):
    """Tells what Keras's files call what this network has; see `registry.published`.

    Returns:
        tuple of `functional.KerasLayer`, and a function without arguments that returns
        the weights for ImageNet, dict layer -> list of arrays.
    """
    del others
    config = keras_applications.config(name, _USUAL, alpha, top, weights == 'imagenet')

    def fetch():
        return keras_applications.imagenet_weights(name, alpha, top)

    return keras_functional.layers_of(config), fetch


def _pooled(net, x, pooling):
    if pooling == 'avg':
        return net.global_average_pool(x)
    if pooling == 'max':
        return tf.reduce_max(x, axis=(1, 2))
    if pooling == 'none':
        return net.flatten(x)
    known = ('avg', 'max', 'none')
    raise errors.unknown('pooling', 'pooling', pooling, known)
