"""Inspects one encoded image.

Whether it can be decoded is determined by `input.images.decode`, which training and
serving use; facts of the header are read by Pillow.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from estimator_clf.core.errors import is_out_of_memory
from estimator_clf.core.hardware.devices import session_config
from input.images import decode as decoding
from input.images import file_kind
from input.images.limits import MAX_IMAGE_PIXELS
from input.images.lossy import FULL_RANGE, is_deep
from input.images.tf_messages import short_reason

_EXTENSIONS = {
    '.jpg': 'jpeg',
    '.jpeg': 'jpeg',
    '.png': 'png',
    '.gif': 'gif',
    '.bmp': 'bmp',
}

# Pillow's limit: it warns of more pixels than this, and refuses twice as many.
_HUGE = 1024 * 1024 * 1024 // 4 // 3

# Larger ones are decoded one at a time, to limit memory with many threads.
_ONE_AT_A_TIME = 25_000_000

_ORIENTATION = 0x0112  # EXIF 2.3, table 4.
_TURNS = {
    2: 'mirrored',
    3: 'upside down',
    4: 'upside down and mirrored',
    5: 'on its side and mirrored',
    6: 'on its side: rotate by 90 degrees clockwise',
    7: 'on its side and mirrored',
    8: 'on its side: rotate by 90 degrees counter-clockwise',
}


@dataclasses.dataclass(frozen=True)
class ImageReport:
    """Result of the inspection of an image.

    Attributes:
      findings: pairs (kind, detail).
      data: 64-bit hash of the bytes.
      pixels: 64-bit hash of size and pixels, 0 if it cannot be decoded.
    """

    findings: list[tuple[str, str]]
    data: int
    pixels: int


class ImageInspector:
    """Inspects images; may be called from many threads."""

    def __init__(
        self,
        size: Sequence[int],
        channels: int,
        threads: int = 1,
        max_pixels: int = MAX_IMAGE_PIXELS,
    ):
        """Builds the graph.

        Args:
          size: (height, width) of the network's input.
          channels: channels of the network's input, 1 or 3.
          threads: number of threads that call.
          max_pixels: maximum number of pixels of an image.
        """
        self._size = size
        self._large = threading.Lock()
        with tf.Graph().as_default():
            data = tf.compat.v1.placeholder(tf.string, [])
            pixels = decoding.decode(
                data,
                None,
                channels,
                decoding.whole_window,
                max_pixels=max_pixels,
            )
            session = tf.compat.v1.Session(
                config=session_config(
                    rewrite=False,
                    intra_op_parallelism_threads=1,
                    inter_op_parallelism_threads=threads,
                    use_per_session_threads=True,
                )
            )
            self._decode = session.make_callable(pixels, [data])

    def __call__(self, data: bytes, name: str = '') -> ImageReport:
        """Inspects one image.

        Args:
          data: the encoded image.
          name: name of the file, to check its extension; empty: no check.
        """
        digest = hash64(data)
        if not data:
            return ImageReport([('empty_file', '0 bytes')], digest, 0)
        kind = file_kind.kind_of(data)
        if kind is None:
            return ImageReport(
                [('not_an_image', file_kind.describe(data) or '')], digest, 0
            )
        findings = []
        by_name = _EXTENSIONS.get(os.path.splitext(name)[1].lower())
        if by_name and by_name != kind:
            findings.append(('wrong_extension', f'is a {kind.upper()}'))
        more, count = _header(data, kind)
        findings += more
        alone = count > _ONE_AT_A_TIME
        with self._large if alone else contextlib.nullcontext():
            try:
                pixels = self._decode(data)
            except tf.errors.OpError as error:
                if is_out_of_memory(error):
                    raise
                reason = short_reason(error)
                kind = 'bomb' if 'pixels are more' in reason else 'unreadable'
                findings.append((kind, reason))
                return ImageReport(findings, digest, 0)
            findings += self._of_pixels(pixels)
            if is_deep(data) and pixels.max() < FULL_RANGE:
                shades = f'{int(pixels.max()) + 1} of 256 shades are left in 8 bits'
                findings.append(('few_shades', shades))
            # 0 means none.
            return ImageReport(findings, digest, hash_pixels(pixels) or 1)

    def _of_pixels(self, pixels: np.ndarray) -> list[tuple[str, str]]:
        """Returns (kind, detail) pairs for decoded pixels, uint8 [h, w, C]."""
        height, width = pixels.shape[:2]
        shape, findings = f'{width} x {height} pixels', []
        short, long = sorted((height, width))
        target = min(self._size)
        if short < target / 4 or short < min(8, target):
            findings.append(('tiny', shape))
        elif long > 4 * short:
            findings.append(('elongated', shape))
        if height * width > _HUGE:
            findings.append(('huge', shape))
        elif short > 16 * max(self._size):
            findings.append(('large', shape))
        if is_blank(pixels):
            color = ', '.join(str(c) for c in pixels[0, 0].tolist())
            findings.append(('blank', f'all pixels are {color}'))
        return findings


def hash64(data: bytes) -> int:
    """Hashes bytes to an int of 64 bits."""
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, 'little')


def hash_pixels(pixels: np.ndarray) -> int:
    """Hashes uint8 [h, w, C] and its size to an int of 64 bits."""
    digest = hashlib.blake2b(np.ascontiguousarray(pixels), digest_size=8)
    digest.update(repr(pixels.shape).encode())
    return int.from_bytes(digest.digest(), 'little')


def is_blank(pixels: np.ndarray) -> bool:
    """Returns whether all pixels of uint8 [h, w, C] have one color."""
    # For most images the first row is enough.
    return bool((pixels[0] == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all())


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Suppresses Pillow's warnings about images, in all threads.

    Not inside of `ImageInspector`: the list of filters belongs to the process, not to a
    thread.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', module='PIL')
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        yield


def _header(data: bytes, kind: str) -> tuple[list[tuple[str, str]], int]:
    """Returns (pairs (kind, detail), number of pixels or 0) from Pillow's header."""
    findings = []
    try:
        image: Any
        with Image.open(io.BytesIO(data)) as image:
            count = image.width * image.height
            if getattr(image, 'is_animated', False):
                findings.append(('animated', f'{image.n_frames} frames'))
            if image.mode == 'CMYK':
                findings.append(('cmyk', 'CMYK'))
            if kind == 'png' and data[24:25] == b'\x10':  # IHDR's bit depth.
                findings.append(('deep', f'{image.mode}, 16 bits a sample'))
            if image.mode in ('RGBA', 'LA', 'PA') or 'transparency' in image.info:
                findings.append(('transparent', image.mode))
            # For a PNG without it `getexif` would decode the image to search after it.
            if kind == 'jpeg' or 'exif' in image.info:
                turn = _TURNS.get(image.getexif().get(_ORIENTATION))
                if turn:
                    findings.append(('orientation', turn))
            return findings, count
    except Exception:  # TensorFlow may still decode it.
        return findings, 0
