"""Encoded image in, uint8 pixels of the wanted size out: the one way it is done.

Training, evaluation and the exported graph all come through `decode`, so a skew
between training and serving is not possible here. EXIF orientation is not applied:
TensorFlow's decoders do not read it.
"""

import functools
import math

import tensorflow as tf

from input.images import headers

_KINDS = (  # First bytes of a file; the name of a file proves nothing.
    ('jpeg', b'\xff\xd8\xff'),
    ('png', b'\x89PNG\r\n\x1a\n'),
    ('gif', b'GIF8'),
    ('bmp', b'BM'),
)

# What a random window draws for, see `input.sampling.stateless_random.ExampleRng`.
WINDOW_DRAWS = ('crop area', 'crop aspect', 'crop top', 'crop left')

# libjpeg can decode to a half, a quarter and an eighth of the size.
_RATIOS = (1, 2, 4, 8)

NOT_A_IMAGE = 'bad example'  # Marks our own message inside TensorFlow's.
_UNKNOWN = 'neither JPEG, PNG, GIF nor BMP'
_ANY = (1 << 63) - 1


def kind_of(data):
    """Returns 'jpeg', 'png', 'gif' or 'bmp', by the first bytes; else None."""
    return next((name for name, magic in _KINDS if data.startswith(magic)), None)


def central_window(fraction, aspect):
    """Makes the window of evaluation: the middle, in the aspect of the target.

    Args:
      fraction: share of the largest such window's sides to keep, in (0, 1].
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


def random_window(draw, min_area, aspect, aspect_range=(3 / 4, 4 / 3)):
    """Makes the window of a random-resized crop.

    A single draw, cut to fit, where Szegedy et al. 2015 ("Going deeper with
    convolutions", section 6) draw until one fits.

    Args:
      draw: `ExampleRng` for one example.
      min_area: smallest share of the image's area, in (0, 1].
      aspect: width / height of the target.
      aspect_range: the window's aspect, relative to the target's.

    Returns:
      A function as `central_window` returns.
    """

    def window(height, width):
        sides = tf.stack([height, width])
        exact = tf.cast(sides, tf.float32)
        area = tf.reduce_prod(exact) * draw.uniform('crop area', min_area, 1.0)
        low, high = (math.log(a * aspect) for a in aspect_range)
        half = 0.5 * draw.uniform('crop aspect', low, high)
        crop = tf.sqrt(area) * tf.exp(half * (-1.0, 1.0))
        crop = tf.cast(tf.minimum(tf.maximum(crop, 1.0), exact), tf.int32)
        start = draw.integer(('crop top', 'crop left'), 0, sides - crop)
        return tf.concat([start, crop], 0)

    return window


def whole_window(height, width):
    """The window that is all of the image."""
    return tf.stack([0, 0, height, width])


def decode(data, size, channels, window=None, key=None, max_pixels=None):
    """Decodes one image, cuts a window out and brings it to size.

    A JPEG (but for CMYK to gray) is decoded only where the window is: what is corrupt
    below it is not noticed, and where color is stored at half the resolution, the
    outermost columns of a window differ by a few levels from those that the whole
    image has there. If the window is at least 2, 4 or 8 times as large as wanted,
    both ways, it is decoded to a half, a quarter or an eighth, which takes less time,
    and then resampled with anti-aliasing: on photos 1 level from what decoding all of
    it gives, in the mean. Of an animated GIF the first frame counts; transparency is
    dropped; 16-bit samples become 8-bit, CMYK becomes RGB.

    Args:
      data: string scalar: JPEG, PNG, GIF or BMP.
      size: (height, width) wanted; None: that of the window, which is then needed.
      channels: 1 or 3 wanted.
      window: see `central_window`; by default the largest in the middle.
      key: string scalar that names the image in errors.
      max_pixels: refuse an image of more pixels before it is decoded; None takes
        whatever fits into memory.

    Returns:
      uint8 [height, width, channels].

    Raises:
      tf.errors.InvalidArgumentError: at run time, if the image cannot be decoded, or
        has too many pixels.
    """
    window = window or central_window(1.0, size[1] / size[0])
    key = tf.constant('(no name)') if key is None else key
    if max_pixels:
        words = fault(data, max_pixels)
        message = tf.strings.join([NOT_A_IMAGE + ' <', key, '>: ', words])
        with tf.control_dependencies(
            [tf.debugging.Assert(tf.equal(words, ''), [message])]
        ):
            data = tf.identity(data)

    def cut(image):
        image = _to_channels(image, channels)
        shape = tf.shape(image)
        top, left, height, width = tf.unstack(window(shape[0], shape[1]))
        return tf.slice(image, [top, left, 0], [height, width, channels])

    def jpeg():
        shape = tf.io.extract_jpeg_shape(data)
        place = window(shape[0], shape[1])

        def cropped(part, channels, ratio=1):
            # The default, INTEGER_FAST, saves a twentieth and is 0.8 levels too dark
            # on photos; this gives the very pixels that Pillow gives.
            return tf.io.decode_and_crop_jpeg(
                data, part, channels, ratio=ratio, dct_method='INTEGER_ACCURATE'
            )

        def pixels(channels):
            if size is None:
                return cropped(place, channels)
            times = tf.reduce_min(place[2:] // size)
            number = tf.searchsorted(_RATIOS[1:], times[None], 'right')[0]
            ratio = tf.gather(_RATIOS, number)
            # The pixels of the smaller image that have a part in the window.
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
        # libjpeg makes no gray of CMYK. It is rare, and each way to decode it once more
        # would be a tenth of what a session prepares before the first image.
        return tf.cond(
            tf.equal(shape[2], 4),
            lambda: cut(tf.io.decode_jpeg(data, 3, dct_method='INTEGER_ACCURATE')),
            lambda: pixels(1),
        )

    def png():
        if channels != 1:
            return cut(tf.io.decode_png(data, channels=channels))
        # libpng would mix shades of another brightness wherever the file tells its
        # gamma, as screenshots do; no other decoder of images does.
        return tf.cond(
            headers.png_has_color(data),
            lambda: cut(tf.io.decode_png(data, channels=3)),
            lambda: cut(tf.io.decode_png(data, channels=1)),
        )

    decoders = {
        'png': png,
        # One frame only; a GIF always has three channels.
        'gif': lambda: cut(
            tf.io.decode_image(
                headers.first_gif_frame(data)[0], channels=3, expand_animations=False
            )
        ),
        # The file decides on 1, 3 or 4 channels, and anything else is refused.
        'bmp': lambda: cut(_decode_bmp(data)),
    }

    def unknown():
        message = tf.strings.join([NOT_A_IMAGE + ' <', key, '>: ' + _UNKNOWN])
        with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
            return tf.zeros([1, 1, channels], tf.uint8)

    def others():
        branches = [decoders[name] for name, _ in _KINDS[1:]]
        return tf.switch_case(_kind_number(data) - 1, branches, default=unknown)

    # By itself: of the others not even the first bytes are looked at.
    image = tf.cond(_is(data, 'jpeg'), jpeg, others)
    image.set_shape([None, None, channels])
    return image if size is None else resize(image, size)


def resize(image, size):
    """Resizes one image; leaves one of the right size alone.

    Bilinearly, from the four pixels around each place. Where that would pass pixels
    over, which is when a side becomes less than half as long, with anti-aliasing
    instead (a triangle filter), which takes five times as long.

    Args:
      image: uint8 [h, w, C].
      size: (height, width) wanted.

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


def _resample(image, start, sides, size):
    """Resizes a window that begins and ends anywhere, with anti-aliasing.

    Args:
      image: uint8 [h, w, C].
      start: float32 [2], top and left of the window.
      sides: float32 [2], its height and width.
      size: (height, width) wanted.

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


def fault(data, max_pixels):
    """Says what is wrong with an image, as far as its header tells.

    Args:
      data: string scalar.
      max_pixels: most pixels that it may have; None: any.

    Returns:
      string scalar: words, empty if nothing is wrong.

    Raises:
      tf.errors.InvalidArgumentError: at run time, for a JPEG whose header is corrupt.
    """
    branches = {
        number: functools.partial(headers.fault, data, name, max_pixels or _ANY)
        for number, (name, _) in enumerate(_KINDS)
    }
    empty = tf.equal(tf.strings.length(data), 0)
    return tf.switch_case(
        _kind_number(data),
        branches,
        default=lambda: tf.where(empty, 'no image at all', _UNKNOWN),
    )


def _kind_number(data):
    """Place of an image's kind in `_KINDS`, int32 scalar; their count for none."""
    kind = tf.constant(len(_KINDS))
    for number, (name, _) in enumerate(_KINDS):
        kind = tf.where(_is(data, name), number, kind)
    return kind


def _is(data, name):
    """Tells, bool scalar, whether an image is of that kind."""
    magic = dict(_KINDS)[name]
    # `substr` of a text that is shorter gives what there is.
    return tf.equal(tf.strings.substr(data, 0, len(magic)), magic)


def _decode_bmp(data):
    """Decodes to RGB; `decode_bmp` takes a palette's numbers for shades of gray."""
    # It refuses what some programs put behind the pixels, such as a color profile.
    image = tf.io.decode_bmp(headers.bmp_without_tail(data), channels=0)

    def number(position):
        return tf.io.decode_raw(tf.strings.substr(data, position, 4), tf.int32)[0]

    def look_up():
        # The palette, of 4 bytes blue, green, red, 0 a color, fills the room between
        # the headers (of 14 bytes, and as many as the second says) and the pixels.
        start = 14 + number(14)
        count = tf.clip_by_value((number(10) - start) // 4, 0, 256)
        table = tf.io.decode_raw(tf.strings.substr(data, start, 4 * count), tf.uint8)
        table = tf.reshape(table, [-1, 4])[:, 2::-1]
        gray = tf.repeat(tf.cast(tf.range(256), tf.uint8)[:, None], 3, axis=1)
        # Numbers that the palette leaves open, or all of them, are shades of gray.
        table = tf.concat([table, gray[tf.shape(table)[0] :]], 0)
        return tf.gather(table, tf.cast(image[:, :, 0], tf.int32))

    return tf.cond(tf.equal(tf.shape(image)[2], 1), look_up, lambda: image[:, :, :3])


def _to_channels(image, channels):
    if channels == 1 and image.shape[-1] != 1:
        return tf.image.rgb_to_grayscale(image)
    return image
