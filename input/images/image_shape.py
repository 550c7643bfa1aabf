"""Which size and how many channels images are brought to, if nobody says."""

import io

from estimator_clf.core.errors import DataError

# Where images are of many sizes: what a small network on a CPU can take.
_USUAL = 64


def infer_image_shape(pictures, image_size=None, channels=None):
    """Chooses the shape of the images in a batch.

    Args:
      images: iterable of encoded images (bytes) or paths, a sample. Those that
        Pillow cannot read are passed over.
      image_size: what `image_size` says: None, an int, or 'HEIGHTxWIDTH'.
      channels: what `channels` says: None, 1 or 3.

    Returns:
      (height, width, channels): what is given, else the size that all of the
      sample have, or 64x64 if they differ; 1 channel if all of the sample are gray.

    Raises:
      DataError: an image_size or channels that makes no sense.
    """
    size = parse_size(image_size)
    if channels is not None and channels not in (1, 3):
        raise DataError(f'`channels` must be 1 or 3, got {channels}')
    if size is None or channels is None:
        sizes, gray = _look(pictures)
        size = size or (sizes.pop() if len(sizes) == 1 else (_USUAL, _USUAL))
        channels = channels or (1 if gray else 3)
    return (*size, channels)


def parse_size(text):
    """Reads `image_size`: None, 64, '64' or '48x64' (height x width).

    Returns:
      (height, width), or None.
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


def header(picture):
    """Reads what the header of an image says; decodes nothing.

    Args:
      image: encoded image (bytes), or path.

    Returns:
      (height, width, Pillow's name of the mode).

    Raises:
      OSError, ValueError: Pillow cannot read it.
    """
    from PIL import Image

    file = io.BytesIO(picture) if isinstance(picture, bytes) else picture
    # Pillow warns of images of many pixels, and refuses larger ones, for the sake of
    # what decoding them would take.
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(file) as image:
            return image.height, image.width, image.mode
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _look(pictures):
    sizes, modes = set(), set()
    for picture in pictures:
        try:
            height, width, mode = header(picture)
        except (OSError, ValueError):
            continue
        sizes.add((height, width))
        modes.add(mode)
    return sizes, bool(modes) and modes <= {'L', 'LA', '1', 'I;16', 'I'}
