"""Fractional max-pooling (Graham, 2014, "Fractional Max-Pooling", arXiv:1412.6071).

It makes an image smaller by a factor between 1 and 2: each row (and column) of the
output is the maximum over a region of one to three rows of the input, and where the
regions begin is random. `tf.nn.fractional_max_pool` has the same regions, but draws
them from a generator with a state, so that a run that goes on would see others than the
unbroken run; it has no kernel for GPUs, and none for bfloat16.
"""

import tensorflow as tf

from estimator_clf.core import errors

# Fixed, because the default picks another generator, and other numbers, per device.
_RNG = 'philox'


def boundaries(
    inputs: int, outputs: int, seed: tf.Tensor, pseudo_random: bool
) -> tf.Tensor:
    """Draws where the regions along one axis begin.

    The sequence a_0 = 0, …, a_outputs = inputs rises by 1 or 2 (section 2.1 of the
    paper, counted from 0 and up to the last pixel, as TensorFlow's op does):

        random         the ones and twos in random order
        pseudo-random  a_i = ceil(alpha * (i + u)) - ceil(alpha * u), where alpha =
                       inputs / outputs and u is uniform in (0, 1]

    Args:
        inputs: size of the axis, from `outputs` to 2 * `outputs`.
        outputs: size after pooling.
        seed: int64 [2]; the sequence is a function of it.
        pseudo_random: which of the two.

    Returns:
        int32 [outputs + 1].

    Raises:
        SettingError: the sizes do not allow steps of 1 and 2.
    """
    if not outputs <= inputs <= 2 * outputs or outputs < 1:
        raise errors.SettingError(
            f'fractional pooling must make {inputs} pixels to at least '
            f'{max(1, -(-inputs // 2))} and at most {inputs}, got {outputs}'
        )
    if pseudo_random:
        # In whole numbers: floats would be off by one where alpha * (i + u) is whole.
        parts = 2**24
        u = tf.random.stateless_uniform(
            (), seed, minval=1, maxval=parts + 1, dtype=tf.int64, alg=_RNG
        )
        i = tf.range(outputs + 1, dtype=tf.int64)
        ceil = -(-(inputs * (i * parts + u)) // (outputs * parts))
        return tf.cast(ceil - ceil[0], tf.int32)
    steps = tf.constant([2] * (inputs - outputs) + [1] * (2 * outputs - inputs))
    # Whole numbers: XLA makes other floats of the same random bits.
    keys = tf.random.stateless_uniform((outputs,), seed, None, None, tf.int32, alg=_RNG)
    steps = tf.gather(steps, tf.argsort(keys, stable=True))
    return tf.concat([tf.zeros(1, tf.int32), tf.cumsum(steps)], axis=0)


def max_pool(
    x: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor, overlapping: bool
) -> tf.Tensor:
    """The maximum over each region.

    Region i along an axis is a_i to a_(i+1) - 1, or, where they overlap, to a_(i+1),
    but not beyond the image. The gradient goes to the first of the largest values.

    Args:
        x: floating [B, H, W, C], H and W known.
        rows: int32 [H' + 1], see `boundaries`.
        columns: int32 [W' + 1].
        overlapping: whether neighbours share a row (column) of pixels.

    Returns:
        Of the type of `x`, [B, H', W', C].
    """
    # The maximum over a rectangle is that of the maxima of its rows.
    return _pool(_pool(x, rows, 1, overlapping), columns, 2, overlapping)


def _pool(x, starts, axis, overlapping):
    """Pools along one axis."""
    size = x.shape[axis]

    # The gradient of `tf.gather` is a sum over segments, which a GPU adds in any order,
    # between two transpositions. Here what comes back is gathered. `starts` is an
    # argument, because what depends on the global step must not be captured.
    @tf.custom_gradient
    def pool(x, starts):
        first = starts[:-1]
        # A region of fewer pixels counts its last one again.
        places = [first, starts[1:] - 1]
        if overlapping:
            places = [tf.minimum(p, size - 1) for p in (first, first + 1, starts[1:])]
        values = [tf.gather(x, place, axis=axis) for place in places]
        # Which pixel of its region is the largest: the last that is larger than all
        # before it. So one that counts again never is.
        largest, larger = values[0], []
        for value in values[1:]:
            larger.append(tf.greater(value, largest))
            largest = tf.maximum(largest, value)

        def gradient(flow):
            # The gradients for the first pixels of all regions, the second ones, …
            # Products: with `tf.where` a whole step took a tenth longer.
            parts = []
            for here in reversed(larger):
                part = flow * tf.cast(here, flow.dtype)
                flow -= part
                parts.insert(0, part)
            parts.insert(0, flow)
            count = flow.shape[axis]
            nothing = len(parts) * count
            if overlapping:
                parts.append(tf.zeros_like(tf.gather(flow, [0], axis=axis)))
            parts = tf.concat(parts, axis)
            # Each pixel lies in the region that begins at or before it.
            pixels = tf.range(size)
            region = tf.searchsorted(starts, pixels, side='right') - 1
            number = pixels - tf.gather(first, region)
            back = tf.gather(parts, number * count + region, axis=axis)
            if overlapping:
                # The first pixel of a region is also the last one of that before it.
                before = tf.maximum(region - 1, 0)
                number = tf.minimum(pixels - tf.gather(first, before), 2)
                shared = tf.equal(tf.gather(first, region), pixels) & (region > 0)
                place = tf.where(shared, number * count + before, nothing)
                back += tf.gather(parts, place, axis=axis)
            return back, None

        return largest, gradient

    return pool(x, starts)
