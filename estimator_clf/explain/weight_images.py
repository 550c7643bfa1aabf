"""Weights as images: of classes or units that see all pixels, and of filters."""

import numpy as np

from estimator_clf.core.errors import ConfigError
from estimator_clf.explain.layers import common_scope, scope_of


def first_weights(explainer):
    """Finds the weights that meet the pixels.

    Returns:
      (`tf.Variable`, `Layer` or None): [H * W * C, units] or [kernel, kernel, C,
      filters], and the layer that they belong to.
    """
    root = common_scope(explainer.variables)
    for variable in explainer.variables:
        if variable.shape.rank in (2, 4):
            name = scope_of(variable).removeprefix(root).lstrip('/')
            return variable, explainer.layers.get(name)
    raise ConfigError('`what=weights,filters`: the network has no layer with weights')


def pixel_weights(explainer, most=100):
    """Returns what each pixel adds to each output of a first dense layer.

    As the gradient, times 255: what a pixel adds when it turns from black to white.
    Standardizing is in it.

    Args:
      explainer: `Explainer`.
      most: how many units to take.

    Returns:
      (`Layer`, float32 [units, H, W, C]).

    Raises:
      ConfigError: the first layer is no dense layer on all pixels.
    """
    variable, layer = first_weights(explainer)
    if variable.shape.rank != 2 or layer is None:
        raise ConfigError(
            '`what=weights` is for networks whose first layer weighs every pixel, such '
            'as linear and mlp; this one begins with a convolution: take `what=filters`'
        )
    units = np.arange(min(layer.units, most))
    # It is linear: any image will do.
    images = np.broadcast_to(explainer.mean, (len(units), *explainer.shape))
    _, gradients = explainer.gradients(explainer.goal(layer.tensor), images, units)
    return layer, gradients * 255.0


def first_filters(explainer):
    """Returns the filters of a first convolution.

    Returns:
      (`Layer` or None, float32 [filters, kernel, kernel, C]).

    Raises:
      ConfigError: the first layer is no convolution.
    """
    variable, layer = first_weights(explainer)
    if variable.shape.rank != 4:
        raise ConfigError(
            '`what=filters` is for networks that begin with a convolution; the first '
            'layer of this one weighs every pixel: take `what=weights`'
        )
    return layer, np.moveaxis(explainer.value(variable), -1, 0)
