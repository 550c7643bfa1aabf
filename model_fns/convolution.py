"""Convolution whose gradients are made of what a CPU does fast.

On a CPU oneDNN's backward convolutions run at a fraction of the speed of the forward
one. The gradient by the filter sums over all pixels of all pictures, and oneDNN takes
that sum row by row: a row of 7 pixels fills a fifth of a register for 32 products
(AMX), and with 3 it is worse. Here that gradient is a matrix product, which sums over
pixels of many rows at a time; the gradient by the input is a forward convolution with
the kernel turned around.
"""

import tensorflow as tf

# How many pixels a matrix product sums over at the most: few enough that both factors
# stay in a core's cache.
_BLOCK = 2048

# A gradient by a filter is a product for pictures that are at most so wide, and have so
# many channels behind the filter: for each of these a matrix of neighbours is read, for
# none it is written. In bfloat16 on 2 cores with avx512_bf16 (TensorFlow 2.21, batches
# of 128 to 256, CPU time) that took, with 256 channels, 8.6 ms instead of 14.8 at 3x3
# pixels, 45 instead of 51 at 7x7 and 53 instead of 53 at 15x15; with 64 channels 4.2
# instead of 3.9 at 8x8 and 21 instead of 14 at 15x15. AMX, for which 'products' is
# meant, was not at hand: see benchmarks/convolution.py.
WIDEST = {'tensorflow': 0, 'small': 8, 'products': 16}
LEAST_FILTERS = 128


def conv2d(x: tf.Tensor, kernel: tf.Tensor, gradients: str) -> tf.Tensor:
    """What `tf.nn.conv2d(x, kernel, 1, 'SAME')` computes; its gradients in other ways.

    Those are the same within the rounding of their type.

    Args:
        x: floating [B, H, W, C], with H, W and C known.
        kernel: [K, K, C, F], K odd, of the type of `x`.
        gradients: one of `settings.CONV_GRADIENTS`: 'tensorflow'; 'products': as above,
            the product where `is_product`; 'small': that product only,
            TensorFlow's own gradient by the input.

    Returns:
        [B, H, W, F].

    Raises:
        ValueError: a kernel that is not square or of an even size.
    """
    size, width, _, _ = kernel.shape
    if size != width or not size % 2:
        raise ValueError(f'the kernel must be square and odd, got {kernel.shape}')
    turned = gradients == 'products'
    product = is_product(gradients, x.shape[2], kernel.shape[3])
    if not turned and not product:
        return tf.nn.conv2d(x, kernel, 1, 'SAME')

    @tf.custom_gradient
    def convolution(x, kernel):
        def gradient(dy):
            usual = {'strides': [1] * 4, 'padding': 'SAME'}
            if turned:
                dx = input_gradient(kernel, dy)
            else:
                dx = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **usual
                )
            if product:
                return dx, filter_gradient(x, dy, size)
            return dx, tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=tf.shape(kernel), out_backprop=dy, **usual
            )

        return tf.nn.conv2d(x, kernel, 1, 'SAME'), gradient

    return convolution(x, kernel)


def is_product(gradients: str, width: int, filters: int) -> bool:
    """Whether the gradient by a filter is a product, see above."""
    return width <= WIDEST[gradients] and filters >= LEAST_FILTERS


def input_gradient(kernel: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """The gradient by the input, [B, H, W, C], from that by the output."""
    turned = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
    return tf.nn.conv2d(dy, turned, 1, 'SAME')


def filter_gradient(x: tf.Tensor, dy: tf.Tensor, size: int) -> tf.Tensor:
    """The gradient by a filter of `size` by `size`, [size, size, C, F].

    A pixel's neighbours lie side by side in a row of a matrix, which takes size * size
    times the memory of `x` for a moment.

    Args:
        x: what the filter was applied to, [B, H, W, C].
        dy: the gradient by what came out, [B, H, W, F], of its type.
        size: odd.
    """
    batch, height, width, channels = x.shape
    filters, margin = dy.shape[-1], size // 2
    together = _together(batch, height * width)
    if batch is None or batch % together:
        # Pictures of zeros, which add nothing.
        missing = -tf.shape(x)[0] % together
        x, dy = (tf.pad(t, ((0, missing), *[(0, 0)] * 3)) for t in (x, dy))
    around = tf.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    neighbours = [
        around[:, i : i + height, j : j + width]
        for i in range(size)
        for j in range(size)
    ]
    block = together * height * width
    products = tf.matmul(
        tf.reshape(tf.concat(neighbours, -1), (-1, block, size * size * channels)),
        tf.reshape(dy, (-1, block, filters)),
        transpose_a=True,
    )
    # In float32, as the sum over a block was.
    total = tf.reduce_sum(tf.cast(products, tf.float32), axis=0)
    return tf.cast(tf.reshape(total, (size, size, channels, filters)), x.dtype)


def _together(batch, pixels):
    """How many pictures are a block: as many as fit, if possible without a rest."""
    most = max(1, _BLOCK // pixels)
    for count in range(most, most // 2, -1):
        if batch is not None and batch % count == 0:
            return count
    return most
