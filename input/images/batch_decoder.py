"""Decodes the images of a serving request; an error states which one failed and why."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from input.images import decode as decoding


class BatchDecoder:
    """Decodes single images, by `decode`, or all images of a request.

    decoder = BatchDecoder((96, 96), 3, max_pixels=64_000_000)
    images = decoder.batch(encoded)
    """

    def __init__(
        self,
        size: Sequence[int],
        channels: int,
        window: decoding.Window | None = None,
        max_pixels: int | None = decoding.MAX_IMAGE_PIXELS,
    ):
        """Makes the decoder; for the arguments see `input.images.decode.decode`."""
        self._size = tuple(size)
        self._channels = channels
        self._window = window
        self._max_pixels = max_pixels

    def __call__(self, data: tf.Tensor, key: tf.Tensor | None = None) -> tf.Tensor:
        """Decodes one image: string scalar to uint8 [height, width, channels]."""
        return decoding.decode(
            data, self._size, self._channels, self._window, key, self._max_pixels
        )

    @tf.autograph.experimental.do_not_convert  # As in `DataSource.input_fn`.
    def batch(self, data: tf.Tensor) -> tf.Tensor:
        """Decodes images in parallel.

        Args:
          data: string [N], N may be 0.

        Returns:
          uint8 [N, height, width, channels].

        Raises:
          tf.errors.InvalidArgumentError: at run time, if one of them cannot be decoded,
            or has too many pixels; names the first such, counted from 0.
        """
        shape = (*self._size, self._channels)
        # A function: it is in the graph once, and TensorFlow prepares it once.
        text = tf.TensorSpec([], tf.string)
        decode = tf.function(self, input_signature=[text, text], autograph=False)

        def few():
            key = _name(0, 1)
            return tf.map_fn(
                lambda one: decode(one, key),
                data,
                fn_output_signature=tf.TensorSpec(shape, tf.uint8),
            )

        def many():
            return self._many(decode, data, shape)

        # Creating and deleting a dataset takes as long as decoding a small image.
        images = tf.cond(tf.size(data) <= 1, few, many)
        images.set_shape([None, *shape])
        return images

    def _many(
        self,
        decode: Callable[..., tf.Tensor],
        data: tf.Tensor,
        shape: Sequence[int],
    ) -> tf.Tensor:
        # The error of an op ends the run of a graph, which cannot catch it: but a
        # dataset can skip elements that failed, which then are missing.
        count = tf.size(data, out_type=tf.int64)
        numbers = tf.data.Dataset.range(count)
        decoded = numbers.map(
            lambda number: (number, decode(data[number], '')),
            num_parallel_calls=tf.data.AUTOTUNE,
        ).ignore_errors()
        # One more, or a batch of corrupt images only would be no element at all.
        last = (tf.constant(-1, tf.int64), tf.zeros(shape, tf.uint8))
        decoded = decoded.concatenate(tf.data.Dataset.from_tensors(last))
        valid, images = decoded.batch(count + 1).get_single_element()
        valid = valid[:-1]
        missing = tf.equal(
            tf.scatter_nd(valid[:, None], tf.ones_like(valid), count[None]), 0
        )
        message = tf.cond(
            tf.reduce_any(missing),
            lambda: self._explain(data, tf.where(missing)[0, 0], count),
            lambda: tf.constant(''),
        )
        all_valid = tf.equal(message, '')
        with tf.control_dependencies([tf.debugging.Assert(all_valid, [message])]):
            return tf.identity(images[:-1])

    def _explain(
        self, data: tf.Tensor, number: tf.Tensor, count: tf.Tensor
    ) -> tf.Tensor:
        """Returns what is wrong with the image of that number."""
        # Reading the header may fail as well.
        words = tf.data.Dataset.from_tensors(data[number])
        words = words.map(lambda one: decoding.fault(one, self._max_pixels))
        words = words.ignore_errors()
        words = words.filter(lambda text: tf.not_equal(text, ''))
        usual = tf.data.Dataset.from_tensors(decoding.corrupt(data[number]))
        reason = words.concatenate(usual).take(1).get_single_element()
        name = _name(number, count)
        return tf.strings.join([f'{decoding.CORRUPT_EXAMPLE} <', name, '>: ', reason])


def _name(number: tf.Tensor | int, count: tf.Tensor | int) -> tf.Tensor:
    number, count = tf.strings.as_string(number), tf.strings.as_string(count)
    return tf.strings.join(['image ', number, ' (from 0) of ', count])
