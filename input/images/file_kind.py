"""Identifies what a file is by its content: the only place that does.

Training, evaluation, prediction, conversion, checks and the exported graph (with
`kind_ops`) describe a file that is no image with the words of this module. Importing it
does not import TensorFlow.
"""

import dataclasses
import functools

#: Kinds that `input.images.decode` decodes -> first bytes of a file.
DECODED = {
    'jpeg': b'\xff\xd8\xff',
    'png': b'\x89PNG\r\n\x1a\n',
    'gif': b'GIF8',
    'bmp': b'BM',
}

_UNKNOWN = 'neither JPEG, PNG, GIF nor BMP'
EMPTY = 'no image at all: 0 bytes; get it again'

_CONVERT = 'convert it to JPEG or PNG'
_UNPACK = 'unpack it'

#: Number of bytes from the start that determine the kind.
HEAD = 512


@dataclasses.dataclass(frozen=True)
class Signature:
    """Bytes that identify a kind of file.

    Attributes:
      name: the kind, for messages.
      remedy: what to do with such a file.
      magic: the bytes.
      offset: their position.
    """

    name: str
    remedy: str
    magic: bytes
    offset: int = 0


#: Kinds that are not decoded; the first match applies.
SIGNATURES = (
    Signature('WebP', _CONVERT, b'WEBP', 8),
    *(Signature('AVIF', _CONVERT, b'ftyp' + brand, 4) for brand in (b'avif', b'avis')),
    *(
        Signature('HEIC', _CONVERT, b'ftyp' + brand, 4)
        for brand in (b'heic', b'heix', b'heim', b'hevc', b'mif1', b'msf1')
    ),
    Signature('a video (MP4)', 'extract its frames', b'ftyp', 4),
    Signature('TIFF', _CONVERT, b'II*\0'),
    Signature('TIFF', _CONVERT, b'MM\0*'),
    Signature('JPEG XL', _CONVERT, b'\xff\x0a'),
    Signature('JPEG XL', _CONVERT, b'\0\0\0\x0cJXL '),
    Signature('JPEG 2000', _CONVERT, b'\0\0\0\x0cjP  '),
    Signature('JPEG 2000', _CONVERT, b'\xff\x4f\xff\x51'),
    Signature('a Photoshop file', _CONVERT, b'8BPS'),
    Signature('DICOM', _CONVERT, b'DICM', 128),
    Signature('an icon file', _CONVERT, b'\0\0\1\0'),
    Signature('a NumPy array', 'write its images as PNG', b'\x93NUMPY'),
    Signature('HDF5', 'write its images as PNG', b'\x89HDF\r\n'),
    Signature('PDF', 'extract its images', b'%PDF'),
    Signature('gzip', _UNPACK, b'\x1f\x8b'),
    Signature('a zip archive', _UNPACK, b'PK\3\4'),
    Signature('a bzip2 archive', _UNPACK, b'BZh'),
    Signature('an xz archive', _UNPACK, b'\xfd7zXZ\0'),
    Signature('a 7z archive', _UNPACK, b'7z\xbc\xaf'),
    Signature('zstd', _UNPACK, b'\x28\xb5\x2f\xfd'),
)

#: Kinds of text, in lower case and without white space in front.
TEXTS = (
    Signature(
        'a git-lfs pointer', 'run `git lfs pull`', b'version https://git-lfs.github.com'
    ),
    Signature('an HTML page', 'download it again', b'<!doctype html'),
    Signature('an HTML page', 'download it again', b'<html'),
    Signature('SVG', _CONVERT, b'<svg'),
    Signature('XML', 'download it again, or convert SVG to PNG', b'<?xml'),
    Signature('an image in base64', 'decode it from base64', b'/9j/'),
    Signature('an image in base64', 'decode it from base64', b'ivborw0kggo'),
    Signature('a data URL', 'decode what follows the comma from base64', b'data:image'),
    Signature('a netpbm file', _CONVERT, b'p5\n'),
    Signature('a netpbm file', _CONVERT, b'p6\n'),
)

#: Names of the kinds that are images of other formats.
IMAGES = {one.name for one in (*SIGNATURES, *TEXTS) if one.remedy == _CONVERT}

_AGAIN = 'get it again'

#: Files that no signature matches: zero bytes, text.
REST = (
    Signature('zero bytes only, as an interrupted copy leaves', _AGAIN, b''),
    Signature('text', _AGAIN, b''),
)


def kind_of(data: bytes) -> str | None:
    """Returns the kind in `DECODED` of a file by its first bytes; None for another."""
    return next(
        (name for name, magic in DECODED.items() if data.startswith(magic)), None
    )


def describe(data: bytes) -> str | None:
    """Describes a file that is not decoded, with the remedy.

    Args:
      data: the file, or at least its first `HEAD` bytes.

    Returns:
      The description; None for a JPEG, PNG, GIF or BMP.
    """
    if not data:
        return EMPTY
    return None if kind_of(data) else sentence(_identify(data))


def name_of(data: bytes) -> str | None:
    """Returns the name of a file's kind, such as 'WebP'; None for an unknown one."""
    if not data:
        return 'an empty file'
    known = kind_of(data)
    if known:
        return known.upper()
    found = _identify(data)
    return found.name if found else None


def corrupt(name: str) -> str:
    """Returns the reason for an image that cannot be decoded, by the name of its kind.

    Args:
      name: 'JPEG', 'PNG', 'GIF' or 'BMP'.
    """
    return f'a corrupt {name}, or one that is cut short; {_AGAIN}'


@functools.lru_cache(1024)
def _identify_head(head: bytes) -> Signature | None:
    for one in SIGNATURES:
        if head[one.offset :].startswith(one.magic):
            return one
    text = head.lower().strip(b' \t\n\r\v\f')
    for one in TEXTS:
        if text.startswith(one.magic):
            return one
    if not head.strip(b'\0'):
        return REST[0]
    allowed = b'\t\n\r' + bytes(range(0x20, 0x7F))
    return REST[1] if not head.translate(None, allowed) else None


def _identify(data: bytes) -> Signature | None:
    return _identify_head(bytes(data[:HEAD]))


def sentence(signature: Signature | None) -> str:
    """Describes a file of a kind; None: of an unknown one."""
    if signature is None:
        return f'{_UNKNOWN}, by its first bytes; {_AGAIN}, or {_CONVERT}'
    return f'{_UNKNOWN}, but {signature.name}; {signature.remedy}'
