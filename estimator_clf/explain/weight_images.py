"""Weights of the first layer as images: dense units, or convolution filters."""

from typing import Any

import numpy as np

from estimator_clf.core.errors import ConfigError
from estimator_clf.explain.explainer import Explainer
from estimator_clf.explain.layers import Layer, common_scope, scope_of


def first_weights(explainer: Explainer) -> tuple[Any, Layer | None]:
    """Finds the weights of the first layer.

    Returns:
      (variable, its layer): [H * W * C, units] or [kernel, kernel, C, filters].
    """
    root = common_scope(explainer.variables)
    for variable in explainer.variables:
        if variable.shape.rank in (2, 4):
            name = scope_of(variable).removeprefix(root).lstrip('/')
            return variable, explainer.layers.get(name)
    raise ConfigError('`what=weights,filters`: the network has no layer with weights')


def pixel_weights(
    explainer: Explainer, max_units: int = 100
) -> tuple[Layer, np.ndarray]:
    """Computes the contribution of each pixel to each unit of a first dense layer.

    This is the gradient times 255: the change of the output when the pixel changes
    from black to white, normalization included.

    Args:
      explainer: restored network.
      max_units: maximum number of units.

    Returns:
      (layer, float32 [units, H, W, C]).

    Raises:
      ConfigError: the first layer is not a dense layer on all pixels.
    """
    variable, layer = first_weights(explainer)
    if variable.shape.rank != 2 or layer is None:
        raise ConfigError(
            '`what=weights` needs a network whose first layer weighs every pixel, such '
            'as linear and mlp; this network begins with a convolution: use '
            '`what=filters`'
        )
    units = np.arange(min(layer.units, max_units))
    # The layer is linear: the gradient is the same for any image.
    images = np.broadcast_to(explainer.mean, (len(units), *explainer.shape))
    _, gradients = explainer.gradients(explainer.objective(layer.tensor), images, units)
    return layer, gradients * 255.0


def first_filters(explainer: Explainer) -> tuple[Layer | None, np.ndarray]:
    """Returns the filters of a first convolution.

    Returns:
      (layer, float32 [filters, kernel, kernel, C]).

    Raises:
      ConfigError: the first layer is not a convolution.
    """
    variable, layer = first_weights(explainer)
    if variable.shape.rank != 4:
        raise ConfigError(
            '`what=filters` needs a network that begins with a convolution; the first '
            'layer of this network weighs every pixel: use `what=weights`'
        )
    return layer, np.moveaxis(explainer.value(variable), -1, 0)
