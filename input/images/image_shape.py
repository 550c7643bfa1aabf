"""Infers the image shape (height, width, channels) when it is not given."""

import io
import math
from collections.abc import Iterable

from estimator_clf.core.errors import DataError

# For images of different sizes: what a small network on a CPU can process.
_DEFAULT_SIZE = 64

#: Most pixels of an inferred size. The default network and batch size take some 5 GB of
#: memory for training at 256x256, and in proportion to the pixels.
MAX_INFERRED_PIXELS = 256 * 256


def infer_image_shape(
    images: Iterable[bytes | str],
    image_size: int | str | None = None,
    channels: int | None = None,
    notes: list[str] | None = None,
) -> tuple[int, int, int]:
    """Chooses the shape of the images in a batch.

    Args:
      images: a sample of encoded images or paths. Those that Pillow cannot read are
        skipped.
      image_size: None, a number of pixels, or 'HEIGHTxWIDTH'.
      channels: None, 1 or 3.
      notes: receives a message for the user where the common size is reduced.

    Returns:
      (height, width, channels): the given values, else the common size of the sample,
      in proportion reduced to `MAX_INFERRED_PIXELS`, or 64x64 if sizes differ; 1
      channel if the whole sample is gray.

    Raises:
      DataError: an invalid image_size or number of channels.
    """
    size = parse_size(image_size)
    if channels is not None and channels not in (1, 3):
        raise DataError(f'`channels` must be 1 or 3, got {channels}')
    if size is None or channels is None:
        sizes, gray = _sizes_and_gray(images)
        if size is None and len(sizes) == 1:
            size = limit_size(*sizes.pop(), notes)
        size = size or (_DEFAULT_SIZE, _DEFAULT_SIZE)
        channels = channels or (1 if gray else 3)
    return (*size, channels)


def limit_size(
    height: int, width: int, notes: list[str] | None = None
) -> tuple[int, int]:
    """Reduces a size in proportion to `MAX_INFERRED_PIXELS`.

    Args:
      height: in pixels.
      width: in pixels.
      notes: receives a message for the user if the size is reduced.
    """
    if height * width <= MAX_INFERRED_PIXELS:
        return height, width
    scale = math.sqrt(MAX_INFERRED_PIXELS / (height * width))
    least, most = 1, MAX_INFERRED_PIXELS
    size = (
        min(max(least, int(height * scale)), most),
        min(max(least, int(width * scale)), most),
    )
    if notes is not None:
        notes.append(
            f'the images, of {height}x{width} pixels (height x width), are resized to '
            f'{size[0]}x{size[1]}; `image_size` sets another size'
        )
    return size


def parse_size(text: int | str | None) -> tuple[int, int] | None:
    """Parses `image_size`: None, 64, '64' or '48x64' (height x width).

    Returns:
      (height, width), or None.

    Raises:
      DataError: not a size.
    """
    if text is None or text == '':
        return None
    try:
        numbers = [int(n) for n in str(text).lower().split('x')]
        if len(numbers) not in (1, 2) or min(numbers) < 1:
            raise ValueError
    except ValueError:
        raise DataError(
            f'`image_size` must be a number of pixels or HEIGHTxWIDTH, got {text!r}'
        ) from None
    return (numbers[0], numbers[-1])


def header(image: bytes | str) -> tuple[int, int, str]:
    """Reads the header of an image; decodes nothing.

    Args:
      image: encoded image, or path.

    Returns:
      (height, width, Pillow's name of the mode).

    Raises:
      OSError, ValueError: Pillow cannot read it.
    """
    from PIL import Image

    file = io.BytesIO(image) if isinstance(image, bytes) else image
    # Pillow warns of images of many pixels, and refuses larger ones, because of the
    # memory that decoding takes.
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(file) as opened:
            return opened.height, opened.width, opened.mode
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _sizes_and_gray(
    images: Iterable[bytes | str],
) -> tuple[set[tuple[int, int]], bool]:
    sizes, modes = set(), set()
    for image in images:
        try:
            height, width, mode = header(image)
        except (OSError, ValueError):
            continue
        sizes.add((height, width))
        modes.add(mode)
    return sizes, bool(modes) and modes <= {'L', 'LA', '1', 'I;16', 'I'}
