"""Fractional max-pooling (Graham, 2014, "Fractional Max-Pooling", arXiv:1412.6071).

It reduces an image by a factor between 1 and 2: each row (and column) of the output is
the maximum over a region of one to three rows of the input, and the regions start at
random rows. `tf.nn.fractional_max_pool` has the same regions, but samples them from a
stateful generator, so that a resumed run would have others than the unbroken run; it
has no kernel for GPUs, and none for bfloat16.
"""

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.initializers import RNG


def boundaries(
    inputs: int, outputs: int, seed: tf.Tensor, pseudo_random: bool
) -> tf.Tensor:
    """Samples the starts of the regions along one axis.

    The sequence a_0 = 0, …, a_outputs = inputs rises by 1 or 2 (section 2.1 of the
    paper, counted from 0 and up to the last pixel, as in TensorFlow's op):

        random         the ones and twos in random order
        pseudo-random  a_i = ceil(alpha * (i + u)) - ceil(alpha * u), where alpha =
                       inputs / outputs and u is uniform in (0, 1]

    Args:
      inputs: size of the axis, from `outputs` to 2 * `outputs`.
      outputs: size after pooling.
      seed: int64 [2]; the sequence is a function of it.
      pseudo_random: whether the sequence is pseudo-random or random.

    Returns:
      int32 [outputs + 1].

    Raises:
      SettingError: sizes that steps of 1 and 2 do not reach.
    """
    if not outputs <= inputs <= 2 * outputs or outputs < 1:
        raise errors.SettingError(
            f'fractional pooling must reduce {inputs} pixels to at least '
            f'{max(1, -(-inputs // 2))} and at most {inputs}, got {outputs}'
        )
    if pseudo_random:
        # In integers: floats would be off by one where alpha * (i + u) is an integer.
        unit = 2**24
        u = tf.random.stateless_uniform(
            (), seed, minval=1, maxval=unit + 1, dtype=tf.int64, alg=RNG
        )
        i = tf.range(outputs + 1, dtype=tf.int64)
        ceil = -(-(inputs * (i * unit + u)) // (outputs * unit))
        return tf.cast(ceil - ceil[0], tf.int32)
    steps = tf.constant([2] * (inputs - outputs) + [1] * (2 * outputs - inputs))
    # Integers: XLA makes other floats of the same random bits.
    keys = tf.random.stateless_uniform((outputs,), seed, None, None, tf.int32, alg=RNG)
    steps = tf.gather(steps, tf.argsort(keys, stable=True))
    return tf.concat([tf.zeros(1, tf.int32), tf.cumsum(steps)], axis=0)


def max_pool(
    x: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, overlapping: bool
) -> tf.Tensor:
    """Computes the maximum over each region.

    Region i along an axis is a_i to a_(i+1) - 1, or to a_(i+1) if the regions overlap,
    but not beyond the image. The gradient goes to the first of the largest values.

    Args:
      x: floating [B, H, W, C], H and W known.
      rows: int32 [H' + 1], see `boundaries`.
      columns: int32 [W' + 1].
      overlapping: whether neighboring regions share a row (column) of pixels.

    Returns:
      Dtype of `x`, [B, H', W', C].
    """
    # The maximum over a rectangle is the maximum of the maxima of its rows.
    return _pool(_pool(x, rows, 1, overlapping), columns, 2, overlapping)


def _pool(x, starts, axis, overlapping):
    """Pools along one axis."""
    size = x.shape[axis]

    # The gradient of `tf.gather` is a sum over segments, which a GPU adds in any order,
    # between two transpositions. Here the gradient is gathered. `starts` is an
    # argument, because a tensor that depends on the global step must not be captured.
    @tf.custom_gradient
    def pool(x, starts):
        first = starts[:-1]
        # A region of fewer pixels repeats its last one.
        places = [first, starts[1:] - 1]
        if overlapping:
            places = [tf.minimum(p, size - 1) for p in (first, first + 1, starts[1:])]
        values = [tf.gather(x, place, axis=axis) for place in places]
        # The largest pixel of a region is the last one that is larger than all before
        # it, which a repeated pixel never is.
        largest, larger = values[0], []
        for value in values[1:]:
            larger.append(tf.greater(value, largest))
            largest = tf.maximum(largest, value)

        def gradient(dy):
            # The gradients of the first pixels of all regions, of the second ones, …
            # Products: with `tf.where` a whole step took a tenth longer.
            by_pixel = []
            for is_largest in reversed(larger):
                share = dy * tf.cast(is_largest, dy.dtype)
                dy -= share
                by_pixel.insert(0, share)
            by_pixel.insert(0, dy)
            count = dy.shape[axis]
            zero = len(by_pixel) * count
            if overlapping:
                by_pixel.append(tf.zeros_like(tf.gather(dy, [0], axis=axis)))
            by_pixel = tf.concat(by_pixel, axis)
            # A pixel is in the region that starts at or before it.
            pixels = tf.range(size)
            region = tf.searchsorted(starts, pixels, side='right') - 1
            offset = pixels - tf.gather(first, region)
            dx = tf.gather(by_pixel, offset * count + region, axis=axis)
            if overlapping:
                # The first pixel of a region is also the last one of the region before.
                before = tf.maximum(region - 1, 0)
                offset = tf.minimum(pixels - tf.gather(first, before), 2)
                shared = tf.equal(tf.gather(first, region), pixels) & (region > 0)
                place = tf.where(shared, offset * count + before, zero)
                dx += tf.gather(by_pixel, place, axis=axis)
            return dx, None

        return largest, gradient

    return pool(x, starts)
