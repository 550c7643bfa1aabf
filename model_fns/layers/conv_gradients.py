"""Convolution with gradients made of ops that are fast on a CPU.

On a CPU oneDNN's backward convolutions run at a fraction of the speed of the forward
one. The gradient by the kernel sums over all pixels of all images, and oneDNN computes
that sum row by row: a row of 7 pixels fills a fifth of a register for 32 products
(AMX), and a row of 3 less. Here that gradient is a matrix product, which sums over
pixels of many rows at a time; the gradient by the input is a forward convolution with
the rotated kernel.
"""

from collections.abc import Sequence

import tensorflow as tf

# Maximum number of pixels that a matrix product sums over: few enough that both factors
# fit into the cache of a core.
_BLOCK = 2048

# The gradient by a kernel is a product where the output of the convolution has at most
# this width and at least this number of channels: the matrix of neighborhoods is read
# once per output channel, and written once. In bfloat16 on 2 cores with avx512_bf16
# (TensorFlow 2.21, batches of 128 to 256, CPU time) that took, with 256 channels, 8.6
# ms instead of 14.8 at 3x3 pixels, 45 instead of 51 at 7x7 and 53 instead of 53 at
# 15x15; with 64 channels 4.2 instead of 3.9 at 8x8 and 21 instead of 14 at 15x15.
# Kernels of 2x2, batches of 512, on a loaded machine: 10 instead of 26 for 160 to 192
# channels at 3x3, 26 instead of 45 for 128 to 160 at 6x6, 44 instead of 51 for 96 to
# 128 at 10x10 and 60 instead of 56 for 64 to 96 at 16x16. 'products', meant for AMX,
# was not measured on a CPU with AMX: see benchmarks/convolution.py.
WIDEST = {'tensorflow': 0, 'small': 8, 'products': 16}
LEAST_FILTERS = 128


def conv2d(
    x: tf.Tensor, kernel: tf.Tensor, gradients: str, padding: str = 'SAME'
) -> tf.Tensor:
    """Computes `tf.nn.conv2d(x, kernel, 1, padding)`, with other gradient ops.

    The gradients are the same within the rounding of their type.

    Args:
      x: floating [B, H, W, C], with H, W and C known.
      kernel: [M, N, C, F], dtype of `x`.
      gradients: one of `specs.CONV_GRADIENTS`: 'tensorflow'; 'products': by the input a
        forward convolution, by the kernel a product where `is_product`; 'small': that
        product only, and TensorFlow's gradient by the input.
      padding: 'SAME' or 'VALID'.

    Returns:
      [B, H, W, F], or [B, H - M + 1, W - N + 1, F].
    """
    sizes = kernel.shape[:2].as_list()
    margins = [_margins(size, padding) for size in sizes]
    width = x.shape[2] + sum(margins[1]) - sizes[1] + 1
    rotates = gradients == 'products'
    product = is_product(gradients, width, kernel.shape[3])
    if not rotates and not product:
        return tf.nn.conv2d(x, kernel, 1, padding)

    @tf.custom_gradient
    def convolution(x, kernel):
        y = tf.nn.conv2d(x, kernel, 1, padding)

        def gradient(dy):
            dy.set_shape(y.shape)  # The op that made it may have lost the shape.
            options = {'strides': [1] * 4, 'padding': padding}
            if rotates:
                dx = input_gradient(kernel, dy, margins)
            else:
                dx = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, **options
                )
            if product:
                return dx, filter_gradient(x, dy, margins)
            return dx, tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=tf.shape(kernel), out_backprop=dy, **options
            )

        return y, gradient

    return convolution(x, kernel)


def is_product(gradients: str, width: int, filters: int) -> bool:
    """Returns whether the gradient by a kernel is a matrix product.

    Args:
      gradients: one of `specs.CONV_GRADIENTS`.
      width: of the output in pixels.
      filters: output channels.
    """
    return width <= WIDEST[gradients] and filters >= LEAST_FILTERS


def _margins(size, padding):
    """Returns the zero padding before and after an axis, as TensorFlow has it."""
    return ((size - 1) // 2, size // 2) if padding == 'SAME' else (0, 0)


def input_gradient(
    kernel: tf.Tensor, dy: tf.Tensor, margins: Sequence[tuple[int, int]]
) -> tf.Tensor:
    """Computes the gradient by the input from the gradient by the output.

    Args:
      kernel: [M, N, C, F].
      dy: gradient by the output, [B, H', W', F], dtype of `kernel`.
      margins: two pairs: zero padding above and below, left and right of the input.

    Returns:
      [B, H, W, C].
    """
    rotated = tf.transpose(tf.reverse(kernel, (0, 1)), (0, 1, 3, 2))
    pads = [
        (size - 1 - before, size - 1 - after)
        for size, (before, after) in zip(kernel.shape[:2], margins, strict=True)
    ]
    return tf.nn.conv2d(dy, rotated, 1, ((0, 0), *pads, (0, 0)))


def filter_gradient(
    x: tf.Tensor, dy: tf.Tensor, margins: Sequence[tuple[int, int]]
) -> tf.Tensor:
    """Computes the gradient by the kernel.

    Each row of a matrix has the neighborhood of a pixel, which temporarily needs M * N
    times the memory of `x`.

    Args:
      x: input of the convolution, [B, H, W, C].
      dy: gradient by the output, [B, H', W', F], dtype of `x`.
      margins: see `input_gradient`.

    Returns:
      [M, N, C, F].
    """
    batch, height, width, filters = dy.shape
    channels = x.shape[-1]
    per_block = _images_per_block(batch, height * width)
    if batch is None or batch % per_block:
        # Images of zeros, which do not change the sum.
        missing = -tf.shape(x)[0] % per_block
        x, dy = (tf.pad(t, ((0, missing), *[(0, 0)] * 3)) for t in (x, dy))
    x = tf.pad(x, ((0, 0), *margins, (0, 0)))
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1
    neighborhoods = [
        x[:, i : i + height, j : j + width] for i in range(rows) for j in range(columns)
    ]
    block = per_block * height * width
    products = tf.matmul(
        tf.reshape(
            tf.concat(neighborhoods, -1), (-1, block, rows * columns * channels)
        ),
        tf.reshape(dy, (-1, block, filters)),
        transpose_a=True,
    )
    # In float32, like the sum over a block.
    total = tf.reduce_sum(tf.cast(products, tf.float32), axis=0)
    return tf.cast(tf.reshape(total, (rows, columns, channels, filters)), x.dtype)


def _images_per_block(batch, pixels):
    """Returns how many images fit into a block, a divisor of the batch if possible."""
    largest = max(1, _BLOCK // pixels)
    for count in range(largest, largest // 2, -1):
        if batch is not None and batch % count == 0:
            return count
    return largest
