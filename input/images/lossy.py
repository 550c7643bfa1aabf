"""Finds images that lose more in decoding than one would expect."""

import io
from collections.abc import Iterable, Sequence

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import tensorflow as tf

from input.images.decode import decode, whole_window

#: Images of 16 bits a sample whose largest value is below this of 256 shades have
#: fewer bits in fact, as those of 12-bit cameras, scanners and CT have.
FULL_RANGE = 128

#: Number of training images that are looked at before a run.
LOOKED_AT = 16

# Larger images are not decoded to look at them.
_MOST_PIXELS = 25_000_000

RESCALE = (
    'scale them to all 16 bits, or to 8, first: multiply 12-bit values by 16 (see '
    'docs/data_problems.md)'
)
FLATTEN = 'draw them on a background first (see docs/data_problems.md)'
PROFILE = 'convert them to RGB with their color profile, which is not read here'


def is_deep(data: bytes) -> bool:
    """Returns whether a file is a PNG of 16 bits a sample (IHDR's bit depth)."""
    return data.startswith(b'\x89PNG') and data[24:25] == b'\x10'


def describe_losses(images: Iterable[bytes]) -> list[str]:
    """Describes what decoding a sample of images loses, with the remedy.

    Args:
      images: encoded images; corrupt ones are skipped.

    Returns:
      Sentences for the user, none if nothing is lost.
    """
    images = list(images)
    sentences = []
    deep = [data for data in images if is_deep(data)]
    if deep:
        most = max(_largest_values(deep), default=FULL_RANGE)
        if most < FULL_RANGE:
            sentences.append(
                f'{_count(deep, images)} have 16 bits a sample, but no value above '
                f'{256 * most + 255} of 65535: {most + 1} of 256 shades are left when '
                f'they become 8-bit; {RESCALE}'
            )
    facts = [_alpha_and_cmyk(data) for data in images]
    transparent = [one for one in facts if one[0]]
    if transparent:
        sentences.append(
            f'{_count(transparent, images)} have transparent pixels; transparency is '
            f'dropped, and the color below it, which is not seen, is used; {FLATTEN}'
        )
    cmyk = [one for one in facts if one[1]]
    if cmyk:
        sentences.append(
            f'{_count(cmyk, images)} are CMYK, whose colors become approximate RGB; '
            + PROFILE
        )
    return sentences


def _count(some: Sequence[object], images: Sequence[object]) -> str:
    return f'{len(some)} of the {len(images)} images looked at'


def _largest_values(images: list[bytes]) -> list[int]:
    """Returns the largest 8-bit value of each image that can be decoded."""
    found = []
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        data = tf.compat.v1.placeholder(tf.string, [])
        pixels = decode(data, None, 3, whole_window, max_pixels=_MOST_PIXELS)
        largest = tf.reduce_max(pixels)
        for image in images:
            try:
                found.append(int(session.run(largest, {data: image})))
            except tf.errors.OpError:
                continue
    return found


def _alpha_and_cmyk(data: bytes) -> tuple[bool, bool]:
    """Returns (whether an image has transparent pixels, whether it is CMYK)."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            cmyk = image.mode in ('CMYK', 'YCCK')
            alpha = image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info
            if not alpha or image.width * image.height > _MOST_PIXELS:
                return False, cmyk
            opacity = np.asarray(image.convert('RGBA').getchannel('A'))
            return bool(opacity.min() < 255), cmyk
    except Exception:  # Any, of decoders given any bytes.
        return False, False
