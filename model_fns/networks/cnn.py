"""A small convolutional network."""

from estimator_clf.core import errors
from model_fns.registry import register


@register('cnn')
def cnn(
    net,
    images,
    num_classes,
    *,
    filters=(),
    kernel=5,
    hidden=(1024,),
    dropout=0.5,
    activation='relu',
    batch_norm=False,
):
    """[conv, relu, pool] x n, dense, relu, dropout, dense; n by the size of images.

    Each pooling halves the image. The first dense layer holds most of the weights,
    3.2 million at 28x28; so larger images have more convolutions, that no more than
    8x8 pixels reach it: two at 28x28 and 32x32, three at 64x64, five at 224x224.

    Args:
        net: `layers.LayerBuilder`.
        images: float32 [B, H, W, C], standardized; H and W at least 2 ** len(filters).
        num_classes: classes to tell apart.
        filters: output channels of each convolution; none given: 32, and 64 of each
            further one.
        kernel: height and width of the convolutions in pixels.
        hidden: units of each dense layer.
        dropout: share of each dense layer's outputs that training drops.
        activation: after each layer but the last.
        batch_norm: whether each convolution is followed by batch normalization.

    Returns:
        logits [B, num_classes].

    Raises:
        SettingError: the image is too small for so many poolings.
    """
    _, height, width, _ = images.shape
    filters = filters or _filters(height, width)
    least = 2 ** len(filters)
    if min(height, width) < least:
        raise errors.SettingError(
            f"`network`: 'cnn' with {len(filters)} poolings needs images of at least "
            f'{least}x{least} pixels, got {height}x{width}; give it fewer filters in '
            f'`network_args`, or larger images'
        )
    activate = net.activation(activation)
    initializer = net.initializer_for(activation)
    x = images
    for i, channels in enumerate(filters, 1):
        x = net.conv(
            f'conv{i}',
            x,
            channels,
            kernel,
            use_bias=not batch_norm,
            kernel_initializer=initializer,
        )
        if batch_norm:
            x = net.batch_norm(f'norm{i}', x)
        x = net.max_pool(activate(x))
    x = net.flatten(x)
    for i, units in enumerate(hidden, 1):
        name = f'dense{i}'
        x = activate(net.dense(name, x, units, kernel_initializer=initializer))
        x = net.dropout(name, x, dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')


def _filters(height, width):
    """So many convolutions that at most 8 pixels are left, and at least two."""
    filters = [32, 64]
    while max(height, width) >> len(filters) > 8:
        if not min(height, width) >> (len(filters) + 1):
            break
        filters.append(64)
    return filters
