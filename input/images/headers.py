"""Parses the headers of encoded images inside the graph.

A few hundred bytes can claim 20,000 x 20,000 pixels and become gigabytes when they are
decoded, so a server has to check the header first. Sizes are read where TensorFlow's
decoders read them: the check covers what they would allocate.
"""

from typing import Any

import tensorflow as tf

# A GIF's pixels are in blocks of up to 255 bytes; an encoder fills all but the last.
# Each block takes some 30 us to skip, so that blocks of one byte would be an attack.
_MOST_GIF_BLOCKS = 1 << 16

_MOST = (1 << 31) - 1


def fault(data: tf.Tensor, kind: str, max_pixels: int) -> tf.Tensor:
    """Returns why an image must not be decoded.

    Args:
      data: string scalar, encoded image.
      kind: 'jpeg', 'png', 'gif' or 'bmp'.
      max_pixels: maximum number of pixels.

    Returns:
      string scalar: the reason, empty if nothing is wrong.

    Raises:
      tf.errors.InvalidArgumentError: at run time, for a JPEG whose header is corrupt.
    """
    height, width = _SIZES[kind](data)
    return tf.where(
        is_larger(height, width, max_pixels), too_large(height, width, max_pixels), ''
    )


def is_larger(height: tf.Tensor, width: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Returns whether an image has more pixels than allowed, bool scalar.

    Args:
      height: integer scalar, negative for a BMP that is stored from the top.
      width: integer scalar.
      max_pixels: maximum number of pixels.
    """
    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)
    # The product of two 31-bit numbers fits into an int64.
    pixels = tf.minimum(tf.abs(height), _MOST) * tf.minimum(tf.abs(width), _MOST)
    return pixels > max_pixels


def too_large(height: tf.Tensor, width: tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Returns the reason to refuse an image for its size, string scalar."""
    return tf.strings.join(
        [
            tf.strings.as_string(tf.abs(width)),
            ' x ',
            tf.strings.as_string(tf.abs(height)),
            f' pixels are more than the {max_pixels} that may be decoded; make it '
            'smaller, or raise `max_image_pixels`',
        ]
    )


def first_gif_frame(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Cuts an animated GIF off after its first frame.

    TensorFlow decodes all frames to return one, which costs time and unaccounted
    memory, and makes the first as large as the largest. The remaining frame is the
    whole image: it is placed at 0, 0 (TensorFlow would move it, and cut it off), and
    none of its colors is transparent (which TensorFlow makes black).

    Args:
      data: string scalar: a GIF, complete or not.

    Returns:
      (string scalar: a GIF of one frame, or all of `data` if it ends earlier; its
      height and width, int64 scalars, 0 if there is no frame). A frame of more blocks
      than a sane encoder writes is cut off in the middle, and so corrupt.
    """
    # A byte after the end reads as 0, which ends every chain of blocks.
    padded = data + b'\0' * 16
    raw = tf.cast(tf.io.decode_raw(padded, tf.uint8), tf.int32)
    end = tf.strings.length(data)

    def table(flags):
        """Returns the bytes of a color table (GIF89a, sections 18 and 20)."""
        present = tf.bitwise.bitwise_and(flags, 0x80) > 0
        size = 3 * tf.bitwise.left_shift(2, tf.bitwise.bitwise_and(flags, 7))
        return tf.where(present, size, 0)

    def word(position):
        return raw[position] + 256 * raw[position + 1]

    def block(position, size, count, image_at, control_at):
        """Skips an extension, an image, or the trailer, with its blocks."""
        label = raw[position]
        image = tf.equal(label, 0x2C)
        control = tf.equal(label, 0x21) & tf.equal(raw[position + 1], 0xF9)
        image_at = tf.where(image, position, image_at)
        first = control & tf.equal(control_at, 0)  # Of several, giflib uses it.
        control_at = tf.where(first, position, control_at)

        def header():
            return (
                position + 11 + table(raw[position + 9]),
                tf.stack([word(position + 7), word(position + 5)]),
            )

        # An extension: its label, then the blocks.
        start, found = tf.cond(image, header, lambda: (position + 2, size))
        known = tf.logical_or(image, tf.equal(label, 0x21))
        block_end, more = tf.while_loop(
            lambda p, n: (p < end) & (raw[tf.minimum(p, end)] > 0) & (n > 0),
            lambda p, n: (p + 1 + raw[tf.minimum(p, end)], n - 1),
            (start, tf.where(known, count, 0)),
        )
        # 0 remaining blocks stop the outer loop: too many, or an unknown label.
        more = tf.where(known, more, 0)
        return block_end + 1, found, more, image_at, control_at

    start = 13 + table(raw[10])
    none = tf.constant(0)
    frame_end, size, _, image_at, control_at = tf.while_loop(
        lambda p, s, n, *_: (p < end) & tf.equal(tf.reduce_max(s), 0) & (n > 0),
        block,
        (start, tf.zeros([2], tf.int32), tf.constant(_MOST_GIF_BLOCKS), none, none),
    )
    # GIF89a, section 20: the label, left and top in two bytes each; section 23: two
    # labels, the size, flags; the lowest flag marks a transparent color.
    before = tf.strings.substr(data, 0, image_at + 1)
    flags_at = tf.minimum(control_at + 3, image_at)
    opaque = tf.strings.join(
        [
            tf.strings.substr(before, 0, flags_at),
            b'\0',
            tf.strings.substr(before, flags_at + 1, image_at - flags_at),
        ]
    )
    before = tf.where((control_at > 0) & (flags_at < image_at), opaque, before)
    rest = tf.strings.substr(padded, image_at + 5, frame_end - image_at - 5)
    cut = tf.strings.join([before, b'\0' * 4, rest, b';'])
    found = tf.logical_and(frame_end <= end, tf.reduce_max(size) > 0)
    size = tf.cast(size, tf.int64)
    return tf.where(found, cut, data), size[0], size[1]


def png_has_color(data: tf.Tensor) -> tf.Tensor:
    """Returns whether a PNG has colors, bool (IHDR: the second bit of byte 25).

    Args:
      data: string scalar.
    """
    kind = tf.io.decode_raw(tf.strings.substr(data + b'\0' * 64, 25, 1), tf.uint8)[0]
    return tf.bitwise.bitwise_and(kind, 2) > 0


def bmp_without_tail(data: tf.Tensor) -> tf.Tensor:
    """Cuts off what follows the pixels of a BMP.

    Args:
      data: string scalar.

    Returns:
      string scalar; all of `data` if the header is invalid.
    """
    start, _ = _numbers(data, 10)
    width, height = _numbers(data, 18)
    bits = _numbers(data, 28)[0] % (1 << 16)
    row = (bits // 8 * width + 3) // 4 * 4  # Bytes, a multiple of 32 bits.
    wanted = start + row * tf.abs(height)
    whole = tf.cast(tf.strings.length(data), tf.int64)
    wanted = tf.where((start > 0) & (row > 0), tf.minimum(wanted, whole), whole)
    return tf.strings.substr(data, tf.constant(0, tf.int64), wanted)


def _numbers(
    data: tf.Tensor, position: int, **options: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the two int32 at a position, as int64; 0 after the end."""
    eight = tf.strings.substr(data + b'\0' * 64, position, 8)
    numbers = tf.io.decode_raw(eight, tf.int32, **options)
    return tf.cast(numbers[0], tf.int64), tf.cast(numbers[1], tf.int64)


def png_size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (height, width) of a PNG, int64 scalars."""
    # IHDR comes first: width, height (PNG specification, 11.2.1), unsigned.
    width, height = _numbers(data, 16, little_endian=False)
    mask = tf.constant((1 << 32) - 1, tf.int64)
    return tf.bitwise.bitwise_and(height, mask), tf.bitwise.bitwise_and(width, mask)


def bmp_size(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (height, width) of a BMP, int64 scalars; a height may be negative."""
    width, height = _numbers(data, 18)
    return height, width


def _jpeg(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.cast(tf.io.extract_jpeg_shape(data), tf.int64)
    return shape[0], shape[1]


def is_jpeg_intact_below(data: tf.Tensor) -> tf.Tensor:
    """Returns whether nothing after the header of a JPEG can end its decoding, bool.

    In one scan, 0xFF is followed by 0, 0xFF or the number of a restart marker (ITU
    T.81, B.1.1.5), up to the end marker, the last two bytes. Then no error is possible
    below a window. False does not mean that there is one: the file may have a
    trailer, such as a second image.

    It costs 5 to 15 % of decoding a photo, and as much as decoding an image of 32 x 32;
    where a window reaches the bottom of an image it is not necessary.

    Args:
      data: string scalar.
    """
    raw = tf.io.decode_raw(data, tf.uint8)
    at = tf.where(tf.equal(raw[:-1], 0xFF))[:, 0]
    is_marker = tf.gather(_IS_MARKER, tf.cast(tf.gather(raw, at + 1), tf.int32))
    # A header has at least two.
    last = tf.gather(at, tf.where(is_marker)[-2:, 0])
    begins = tf.strings.substr(data, last[0], 5)
    # Start of scan: its length, and its number of components (B.2.3).
    known = tf.equal(begins, [b'\xff\xda\0\x0c\3', b'\xff\xda\0\x08\1'])
    ends = tf.equal(tf.strings.substr(data, last[1], 3), b'\xff\xd9')
    return tf.reduce_any(known) & ends


# Whether 0xFF and this byte are a marker other than a restart (B.1.1.3).
_IS_MARKER = [0 < code < 0xFF and code & 0xF8 != 0xD0 for code in range(256)]

_SIZES = {
    'jpeg': _jpeg,
    'png': png_size,
    'gif': lambda data: first_gif_frame(data)[1:],
    'bmp': bmp_size,
}
