"""Multi-layer perceptron."""

from model_fns.registry import register


@register('mlp')
def mlp(net, images, num_classes, *, hidden=(256, 128), activation='relu', dropout=0.0):
    """Multi-layer perceptron: dense layers on the pixels in a row.

    Args:
        net: `layers.LayerBuilder`.
        images: float32 [B, H, W, C], standardized.
        num_classes: classes to tell apart.
        hidden: units of each hidden layer.
        activation: after each hidden layer.
        dropout: share of each hidden layer's outputs that training drops.

    Returns:
        logits [B, num_classes].
    """
    activate = net.activation(activation)
    initializer = net.initializer_for(activation)
    x = net.flatten(images)
    for i, units in enumerate(hidden, 1):
        name = f'dense{i}'
        x = activate(net.dense(name, x, units, kernel_initializer=initializer))
        x = net.dropout(name, x, dropout)
    return net.dense('logits', x, num_classes, kernel_initializer='glorot_normal')
