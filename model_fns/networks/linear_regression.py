"""Linear regression."""

from model_fns.registry import register


@register('linear_regression', head='regression')
def linear_regression(net, x, num_outputs):
    """Linear regression: y = Wx + b on a vector of numbers.

    Args:
        net: `layers.LayerBuilder`.
        x: float32 [B, D], or [B] for one number each.
        num_outputs: outputs, 1 for the head of `head.regression`.

    Returns:
        [B, num_outputs].
    """
    if x.shape.rank == 1:
        x = x[:, None]
    return net.dense('y', net.flatten(x), num_outputs, kernel_initializer='zeros')
