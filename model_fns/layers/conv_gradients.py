"""Convolution whose gradients are made of what a CPU does fast.

On a CPU oneDNN's backward convolutions run at a fraction of the speed of the forward
one. The gradient by the filter sums over all pixels of all images, and oneDNN takes
that sum row by row: a row of 7 pixels fills a fifth of a register for 32 products
(AMX), and with 3 it is worse. Here that gradient is a matrix product, which sums over
pixels of many rows at a time; the gradient by the input is a forward convolution with
the kernel turned around.
"""

import tensorflow as tf

# How many pixels a matrix product sums over at the most: few enough that both factors
# stay in a core's cache.
_BLOCK = 2048

# A gradient by a filter is a product where what comes out is at most so wide and has so
# many channels: for each of these a matrix of neighbours is read, for none it is
# written. In bfloat16 on 2 cores with avx512_bf16 (TensorFlow 2.21, batches
# of 128 to 256, CPU time) that took, with 256 channels, 8.6 ms instead of 14.8 at 3x3
# pixels, 45 instead of 51 at 7x7 and 53 instead of 53 at 15x15; with 64 channels 4.2
# instead of 3.9 at 8x8 and 21 instead of 14 at 15x15. Filters of 2x2,
# batches of 512, beside other work: 10 instead of 26 for 160 to 192 channels at 3x3, 26
# instead of 45 for 128 to 160 at 6x6, 44 instead of 51 for 96 to 128 at 10x10 and 60
# instead of 56 for 64 to 96 at 16x16. AMX, for which 'products' is meant, was not at
# hand: see benchmarks/convolution.py.
WIDEST = {'tensorflow': 0, 'small': 8, 'products': 16}
LEAST_FILTERS = 128


def conv2d(
    x: tf.Tensor, kernel: tf.Tensor, gradients: str, padding: str = 'SAME'
) -> tf.Tensor:
    """What `tf.nn.conv2d(x, kernel, 1, padding)` computes; its gradients in other ways.

    Those are the same within the rounding of their type.

    Args:
        x: floating [B, H, W, C], with H, W and C known.
        kernel: [M, N, C, F], of the type of `x`.
        gradients: one of `settings.CONV_GRADIENTS`: 'tensorflow'; 'products': as above,
            the product where `is_product`; 'small': that product only,
            TensorFlow's own gradient by the input.
        padding: 'SAME' or 'VALID'.

    Returns:
        [B, H, W, F], or [B, H - M + 1, W - N + 1, F].
    """
    sizes = kernel.shape[:2].as_list()
    margins = [_margins(size, padding) for size in sizes]
    width = x.shape[2] + sum(margins[1]) - sizes[1] + 1
    turned = gradients == 'products'
    product = is_product(gradients, width, kernel.shape[3])
    if not turned and not product:
        return tf.nn.conv2d(x, kernel, 1, padding)

    @tf.custom_gradient
    def convolution(x, kernel):
        y = tf.nn.conv2d(x, kernel, 1, padding)

        def gradient(dy):
            dy.set_shape(y.shape)  # What made it may not know.
            usual = {'strides': [1] * 4, 'padding': padding}
            if turned:
                dx = input_gradient(kernel, dy, margins)
            else:
                dx = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **usual
                )
            if product:
                return dx, filter_gradient(x, dy, margins)
            return dx, tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=tf.shape(kernel), out_backprop=dy, **usual
            )

        return y, gradient

    return convolution(x, kernel)


def is_product(gradients: str, width: int, filters: int) -> bool:
    """Whether the gradient by a filter is a product, see above."""
    return width <= WIDEST[gradients] and filters >= LEAST_FILTERS


def _margins(size, padding):
    """Pixels of 0 before and behind an axis, as TensorFlow puts them."""
    return ((size - 1) // 2, size // 2) if padding == 'SAME' else (0, 0)


def input_gradient(kernel: tf.Tensor, dy: tf.Tensor, margins) -> tf.Tensor:
    """The gradient by the input, [B, H, W, C], from that by the output.

    Args:
        kernel: [M, N, C, F].
        dy: the gradient by what came out, [B, H', W', F], of its type.
        margins: two pairs: pixels of 0 above and below, left and right of the input.
    """
    turned = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
    pads = [
        (size - 1 - before, size - 1 - behind)
        for size, (before, behind) in zip(kernel.shape[:2], margins, strict=True)
    ]
    return tf.nn.conv2d(dy, turned, 1, ((0, 0), *pads, (0, 0)))


def filter_gradient(x: tf.Tensor, dy: tf.Tensor, margins) -> tf.Tensor:
    """The gradient by a filter of M by N pixels, [M, N, C, F].

    A pixel's neighbours lie side by side in a row of a matrix, which takes M * N times
    the memory of `x` for a moment.

    Args:
        x: what the filter was applied to, [B, H, W, C].
        dy: the gradient by what came out, [B, H', W', F], of its type.
        margins: see `input_gradient`.
    """
    batch, height, width, filters = dy.shape
    channels = x.shape[-1]
    together = _together(batch, height * width)
    if batch is None or batch % together:
        # Images of zeros, which add nothing.
        missing = -tf.shape(x)[0] % together
        x, dy = (tf.pad(t, ((0, missing), *[(0, 0)] * 3)) for t in (x, dy))
    x = tf.pad(x, ((0, 0), *margins, (0, 0)))
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    neighbours = [
        x[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)
    ]
    block = together * height * width
    products = tf.matmul(
        tf.reshape(tf.concat(neighbours, -1), (-1, block, rows * columns * channels)),
        tf.reshape(dy, (-1, block, filters)),
        transpose_a=True,
    )
    # In float32, as the sum over a block was.
    total = tf.reduce_sum(tf.cast(products, tf.float32), axis=0)
    return tf.cast(tf.reshape(total, (rows, columns, channels, filters)), x.dtype)


def _together(batch, pixels):
    """How many images are a block: as many as fit, if possible without a rest."""
    most = max(1, _BLOCK // pixels)
    for count in range(most, most // 2, -1):
        if batch is not None and batch % count == 0:
            return count
    return most
