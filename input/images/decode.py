"""Decodes, crops and resizes encoded images: the only function that does.

Training, evaluation and the exported graph all use `decode`, so that decoding cannot
differ between training and serving. EXIF orientation is not applied: TensorFlow's
decoders do not read it.
"""

import functools
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from input.images import file_kind, headers, kind_ops
from input.images.limits import MAX_IMAGE_PIXELS
from input.sampling.stateless_random import ExampleRng

Window = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Purposes of the random numbers of a window, see
# `input.sampling.stateless_random.ExampleRng`.
WINDOW_PURPOSES = ('crop area', 'crop aspect', 'crop top', 'crop left')

# libjpeg can decode to a half, a quarter and an eighth of the size.
_RATIOS = (1, 2, 4, 8)

CORRUPT_EXAMPLE = 'corrupt example'  # Marks our own message inside TensorFlow's.
_ANY = (1 << 63) - 1
_KINDS = tuple(file_kind.DECODED.items())


def central_window(fraction: float, aspect: float) -> Window:
    """Makes the window of evaluation: the center, in the aspect of the target.

    Args:
      fraction: fraction of the largest such window's sides to use, in (0, 1].
      aspect: width / height of the target.

    Returns:
      A function (height, width), int32 scalars, -> int32 [4] (top, left, height,
      width), inside the image.
    """

    def window(height, width):
        # Both sides in one operation: each costs microseconds, and a photo has two.
        sides = tf.stack([height, width])
        exact = tf.cast(sides, tf.float32)
        fitting = tf.minimum(exact, exact[::-1] * (1.0 / aspect, aspect)) * fraction
        crop = tf.cast(tf.round(fitting), tf.int32)
        crop = tf.minimum(tf.maximum(crop, 1), sides)
        return tf.concat([(sides - crop) // 2, crop], 0)

    return window


def random_window(
    rng: ExampleRng,
    min_area: float,
    aspect: float,
    aspect_range: tuple[float, float] = (3 / 4, 4 / 3),
) -> Window:
    """Makes the window of a random-resized crop.

    A single sample, clipped to the image, where Szegedy et al. 2015 ("Going deeper with
    convolutions", section 6) sample until one fits.

    Args:
      rng: random numbers of one example.
      min_area: smallest fraction of the image's area, in (0, 1].
      aspect: width / height of the target.
      aspect_range: the window's aspect, relative to the target's.

    Returns:
      A function as `central_window` returns.
    """

    def window(height, width):
        sides = tf.stack([height, width])
        exact = tf.cast(sides, tf.float32)
        area = tf.reduce_prod(exact) * rng.uniform('crop area', min_area, 1.0)
        low, high = (math.log(a * aspect) for a in aspect_range)
        half = 0.5 * rng.uniform('crop aspect', low, high)
        crop = tf.sqrt(area) * tf.exp(half * (-1.0, 1.0))
        crop = tf.cast(tf.minimum(tf.maximum(crop, 1.0), exact), tf.int32)
        start = rng.integer(('crop top', 'crop left'), 0, sides - crop)
        return tf.concat([start, crop], 0)

    return window


def whole_window(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Returns the window that is the whole image."""
    return tf.stack([0, 0, height, width])


def decode(
    data: tf.Tensor,
    size: Sequence[int] | None,
    channels: int,
    window: Window | None = None,
    key: tf.Tensor | None = None,
    max_pixels: int | None = MAX_IMAGE_PIXELS,
) -> tf.Tensor:
    """Decodes one image, crops a window and resizes it.

    Whether an image is corrupt does not depend on the window: only an image that can be
    decoded completely is accepted. A JPEG (except CMYK to gray) is decoded only where
    the window is: where color is stored at half the resolution, the outermost columns
    of a window differ by a few levels from those of the whole image. If both
    sides of the window are at least 2, 4 or 8 times the target's, it is decoded to a
    half, a quarter or an eighth, which takes less time, and then resampled with
    anti-aliasing: on photos 1 level from decoding all of it, in the mean. Of an
    animated GIF the first frame is used; transparency is dropped; 16-bit samples become
    8-bit, CMYK becomes RGB.

    Args:
      data: string scalar: JPEG, PNG, GIF or BMP.
      size: target (height, width); None: that of the window, which is then required.
      channels: target channels, 1 or 3.
      window: see `central_window`; by default the largest in the center.
      key: string scalar that names the image in errors.
      max_pixels: an image of more pixels is refused before it is decoded; None: any
        that fits into memory.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: at run time, if the image cannot be decoded, or
        has too many pixels.
    """
    if window is None:
        if size is None:
            raise ValueError('`window` is required where `size` is None')
        window = central_window(1.0, size[1] / size[0])
    key = tf.constant('(no name)') if key is None else key

    def refused(words):
        message = tf.strings.join([CORRUPT_EXAMPLE + ' <', key, '>: ', words])
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.identity(data)

    def limited(height, width, encoded=data):
        """Returns the encoded image, unless it has too many pixels."""
        if not max_pixels:
            return encoded
        return tf.cond(
            headers.is_larger(height, width, max_pixels),
            lambda: refused(headers.too_large(height, width, max_pixels)),
            lambda: encoded,
        )

    def crop(image):
        image = _to_channels(image, channels)
        shape = tf.shape(image)
        top, left, height, width = tf.unstack(window(shape[0], shape[1]))
        return tf.slice(image, [top, left, 0], [height, width, channels])

    def jpeg():
        shape = tf.io.extract_jpeg_shape(data)
        place = window(shape[0], shape[1])
        encoded = limited(shape[0], shape[1])
        encoded = tf.cond(
            place[0] + place[2] < shape[0],
            lambda: _checked_jpeg(encoded),
            lambda: encoded,
        )

        def cropped(part, channels, ratio=1):
            # The default, INTEGER_FAST, saves a twentieth of the time and is 0.8 levels
            # too dark on photos; this gives exactly the pixels of Pillow.
            return tf.io.decode_and_crop_jpeg(
                encoded, part, channels, ratio=ratio, dct_method='INTEGER_ACCURATE'
            )

        def pixels(channels):
            if size is None:
                return cropped(place, channels)
            times = tf.reduce_min(place[2:] // size)
            number = tf.searchsorted(_RATIOS[1:], times[None], 'right')[0]
            ratio = tf.gather(_RATIOS, number)
            # The pixels of the smaller image that overlap the window.
            first = place[:2] // ratio
            count = -(-(place[:2] + place[2:]) // ratio) - first
            part = tf.concat([first, count], 0)
            image = tf.switch_case(
                number,
                [functools.partial(cropped, part, channels, r) for r in _RATIOS],
            )
            exact = tf.cast(place, tf.float32) / tf.cast(ratio, tf.float32)
            start = exact[:2] - tf.cast(first, tf.float32)
            return tf.cond(
                number > 0,
                lambda: _resample(image, start, exact[2:], size),
                lambda: image,
            )

        if channels == 3:
            return pixels(3)
        # libjpeg does not convert CMYK to gray. It is rare, and each further way to
        # decode it would add a tenth to what a session prepares before the first image.
        return tf.cond(
            tf.equal(shape[2], 4),
            lambda: crop(tf.io.decode_jpeg(encoded, 3, dct_method='INTEGER_ACCURATE')),
            lambda: pixels(1),
        )

    def png():
        encoded = limited(*headers.png_size(data))
        if channels != 1:
            return crop(tf.io.decode_png(encoded, channels=channels))
        # libpng would compute gray of another brightness wherever the file states its
        # gamma, as screenshots do; no other image decoder does.
        return tf.cond(
            headers.png_has_color(data),
            lambda: crop(tf.io.decode_png(encoded, channels=3)),
            lambda: crop(tf.io.decode_png(encoded, channels=1)),
        )

    def gif():
        frame, height, width = headers.first_gif_frame(data)
        frame = limited(height, width, frame)
        # A GIF always has three channels.
        return crop(tf.io.decode_image(frame, channels=3, expand_animations=False))

    def bmp():
        # The file determines 1, 3 or 4 channels; anything else is refused.
        return crop(_decode_bmp(limited(*headers.bmp_size(data))))

    def unknown():
        with tf.control_dependencies([refused(kind_ops.description(data))]):
            return tf.zeros([1, 1, channels], tf.uint8)

    def others():
        branches = [png, gif, bmp]  # In the order of `_KINDS`.
        return tf.switch_case(_kind_number(data) - 1, branches, default=unknown)

    # JPEG apart: for it, the first bytes are not compared with the other formats.
    image = tf.cond(_is(data, 'jpeg'), jpeg, others)
    image.set_shape([None, None, channels])
    return image if size is None else resize(image, size)


def resize(image: tf.Tensor, size: Sequence[int]) -> tf.Tensor:
    """Resizes one image; one of the right size is returned unchanged.

    Bilinearly, from the four pixels around each place. Where that would skip pixels,
    which is when a side becomes less than half as long, with anti-aliasing instead (a
    triangle filter), which takes five times as long.

    Args:
      image: uint8 [h, w, C].
      size: target (height, width).

    Returns:
      uint8 [height, width, C].
    """

    def scale(antialias):
        scaled = tf.image.resize(image, size, antialias=antialias)
        return tf.cast(tf.round(scaled), tf.uint8)  # A mean of pixels: in 0..255.

    sides = tf.shape(image)[:2]
    same = tf.reduce_all(tf.equal(sides, size))
    small = tf.reduce_all(sides <= [2 * side for side in size])
    result = tf.switch_case(
        tf.where(same, 0, tf.where(small, 1, 2)),
        [lambda: image, lambda: scale(False), lambda: scale(True)],
    )
    result.set_shape([*size, image.shape[-1]])
    return result


def _resample(
    image: tf.Tensor, start: tf.Tensor, sides: tf.Tensor, size: Sequence[int]
) -> tf.Tensor:
    """Resizes a window at fractional coordinates, with anti-aliasing.

    Args:
      image: uint8 [h, w, C].
      start: float32 [2], top and left of the window.
      sides: float32 [2], its height and width.
      size: target (height, width).

    Returns:
      uint8 [height, width, C].
    """
    scale = tf.constant(size, tf.float32) / sides
    resampled = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=size,
        scale=scale,
        translation=-start * scale,
        kernel_type='triangle',
        antialias=True,
    )
    return tf.cast(tf.round(resampled[0]), tf.uint8)


def fault(data: tf.Tensor, max_pixels: int | None) -> tf.Tensor:
    """Returns what is wrong with an image, judged by its header.

    Args:
      data: string scalar.
      max_pixels: maximum number of pixels; None: any.

    Returns:
      string scalar: the reason, empty if nothing is wrong.

    Raises:
      tf.errors.InvalidArgumentError: at run time, for a JPEG whose header is corrupt.
    """
    branches = {
        number: functools.partial(headers.fault, data, name, max_pixels or _ANY)
        for number, (name, _) in enumerate(_KINDS)
    }
    return tf.switch_case(
        _kind_number(data), branches, default=lambda: kind_ops.description(data)
    )


def corrupt(data: tf.Tensor) -> tf.Tensor:
    """Returns the reason for a JPEG, PNG, GIF or BMP that cannot be decoded.

    Args:
      data: string scalar.
    """
    reasons = [file_kind.corrupt(name.upper()) for name, _ in _KINDS]
    return tf.gather([*reasons, ''], _kind_number(data))


def _checked_jpeg(data: tf.Tensor) -> tf.Tensor:
    """Returns a JPEG, unless its data below a window are corrupt.

    The decoder stops after the window, so that an error below it would depend on the
    window that is sampled. Only where one is possible, all of it is decoded, to an
    eighth.
    """

    def decoded():
        # An assertion on the pixels: without a use of them, TensorFlow's graph
        # optimization would remove the decoding.
        largest = tf.reduce_max(tf.io.decode_jpeg(data, ratio=8))
        complete = tf.debugging.Assert(tf.cast(largest, tf.int32) < 256, [''])
        with tf.control_dependencies([complete]):
            return tf.identity(data)

    return tf.cond(headers.is_jpeg_intact_below(data), lambda: data, decoded)


def _kind_number(data: tf.Tensor) -> tf.Tensor:
    """Returns the index of an image's kind in `_KINDS`, int32; their count for none."""
    kind = tf.constant(len(_KINDS))
    for number, (name, _) in enumerate(_KINDS):
        kind = tf.where(_is(data, name), number, kind)
    return kind


def _is(data: tf.Tensor, name: str) -> tf.Tensor:
    """Returns whether an image is of that kind, bool scalar."""
    magic = file_kind.DECODED[name]
    # `substr` of a shorter text returns all of it.
    return tf.equal(tf.strings.substr(data, 0, len(magic)), magic)


def _decode_bmp(data: tf.Tensor) -> tf.Tensor:
    """Decodes to RGB; `decode_bmp` reads palette indices as shades of gray."""
    # It refuses what some programs append to the pixels, such as a color profile.
    image = tf.io.decode_bmp(headers.bmp_without_tail(data), channels=0)

    def number(position):
        return tf.io.decode_raw(tf.strings.substr(data, position, 4), tf.int32)[0]

    def look_up():
        # The palette, of 4 bytes (blue, green, red, 0) a color, fills the space between
        # the headers (14 bytes, and the length that the second states) and the pixels.
        start = 14 + number(14)
        count = tf.clip_by_value((number(10) - start) // 4, 0, 256)
        table = tf.io.decode_raw(tf.strings.substr(data, start, 4 * count), tf.uint8)
        table = tf.reshape(table, [-1, 4])[:, 2::-1]
        gray = tf.repeat(tf.cast(tf.range(256), tf.uint8)[:, None], 3, axis=1)
        # Indices beyond the palette, or all of them, are shades of gray.
        table = tf.concat([table, gray[tf.shape(table)[0] :]], 0)
        return tf.gather(table, tf.cast(image[:, :, 0], tf.int32))

    return tf.cond(tf.equal(tf.shape(image)[2], 1), look_up, lambda: image[:, :, :3])


def _to_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    if channels == 1 and image.shape[-1] != 1:
        return tf.image.rgb_to_grayscale(image)
    return image
