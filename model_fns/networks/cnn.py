"""A small convolutional network."""

from model_fns import errors
from model_fns.registry import register


@register('cnn')
def cnn(
    net,
    images,
    num_classes,
    *,
    filters=(32, 64),
    kernel=5,
    hidden=(1024,),
    dropout=0.5,
    activation='relu',
    batch_norm=False,
):
    """Convolutional network: [conv, relu, pool] x 2, dense, relu, dropout, dense.

    Each pooling halves the picture. The first dense layer holds most of the weights: at
    28x28x1 it has 3.2 million, at 128x128x3 67 million; give a larger
    picture more convolutions (`filters=32x64x64x64`) rather than more memory.

    Args:
        net: `layers.Layers`.
        images: float32 [B, H, W, C], standardised; H and W at least 2 ** len(filters).
        num_classes: classes to tell apart.
        filters: output channels of each convolution.
        kernel: height and width of the convolutions in pixels.
        hidden: units of each dense layer.
        dropout: share of each dense layer's outputs that training drops.
        activation: after each layer but the last.
        batch_norm: whether each convolution is followed by batch normalisation.

    Returns:
        logits [B, num_classes].

    Raises:
        SettingError: the picture is too small for so many poolings.
    """
    _, height, width, _ = images.shape
    least = 2 ** len(filters)
    if min(height, width) < least:
        raise errors.SettingError(
            f"--network: 'cnn' with {len(filters)} poolings needs pictures of at least "
            f'{least}x{least} pixels, got {height}x{width}; give it fewer filters in '
            f'--network_args, or larger pictures'
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
