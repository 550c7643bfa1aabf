"""Softmax regression."""

from model_fns.registry import register


@register('linear')
def linear(net, images, num_classes):
    """Softmax regression: every class weighs every pixel.

    The weights start at 0. The loss is convex in them, so the start does not matter,
    and the first loss is log(num_classes) exactly, which makes mistakes easy to see.

    Args:
        net: `layers.LayerBuilder`.
        images: float32 [B, H, W, C], standardized.
        num_classes: classes to tell apart.

    Returns:
        logits [B, num_classes].
    """
    x = net.flatten(images)
    return net.dense('logits', x, num_classes, kernel_initializer='zeros')
