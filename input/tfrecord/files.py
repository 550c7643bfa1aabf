"""TFRecord files: compression, number of records, completeness.

A record is its length (uint64), a checksum of that, the data, and a checksum of the
data (https://www.tensorflow.org/tutorials/load_data/tfrecord): the lengths are enough
to count the records of a file without reading all of it. The data are read by
TensorFlow, see `input.sources.records`.
"""

import dataclasses
import os
import struct
import zlib
from typing import BinaryIO

from estimator_clf.core.errors import DataError

_HEADER = struct.Struct('<QI')
_FOOTER_BYTES = 4
_WINDOW_BITS = {'GZIP': 31, 'ZLIB': 15}  # As zlib.decompressobj counts.
_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Shard:
    """A range of records in one file.

    Attributes:
      path: the file.
      count: number of records.
      skip: number of records of the file that come before them.
      compression: '', 'GZIP' or 'ZLIB'.
    """

    path: str
    count: int
    skip: int = 0
    compression: str = ''

    @property
    def name(self) -> str:
        """The file's name; records are named `name:number`."""
        return os.path.basename(self.path)


def compression_of(path: str) -> str:
    """Detects the compression of a file by its first bytes.

    Returns:
      '', 'GZIP' or 'ZLIB'.

    Raises:
      DataError: it is not a TFRecord file, or cannot be read.
    """
    try:
        with open(path, 'rb') as file:
            start = file.read(_HEADER.size)
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from None
    # The checksum first: the length of a record may look like a magic number.
    if not start or _is_header(start):
        return ''
    if start[:2] == b'\x1f\x8b':
        return 'GZIP'
    # RFC 1950: method 8 (deflate), and the first two bytes are a multiple of 31.
    if start[0] & 0x0F == 8 and int.from_bytes(start[:2], 'big') % 31 == 0:
        return 'ZLIB'
    raise DataError(
        f'{path} is not a TFRecord file, or its first bytes are corrupt: it starts '
        f'with {start!r}'
    )


def count_records(path: str, compression: str = '') -> int:
    """Counts the records of a file.

    The lengths are checked, the data are not; a compressed file has to be read
    completely.

    Args:
      path: the file.
      compression: '', 'GZIP' or 'ZLIB'.

    Raises:
      DataError: a file that is cut short, or whose lengths are corrupt.
    """
    try:
        with open(path, 'rb', buffering=0 if not compression else _CHUNK) as file:
            if compression:
                return _count_inflated(path, _Inflated(path, file, compression))
            return _count(path, file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise DataError(f'{path} cannot be read: {error.strerror}') from None


def _count(path: str, file: BinaryIO, size: int) -> int:
    position = count = 0
    while position < size:
        file.seek(position)
        length = _length(path, count, file.read(_HEADER.size))
        position += _HEADER.size + length + _FOOTER_BYTES
        if position > size:
            raise _cut_short(path, count)
        count += 1
    return count


def _count_inflated(path: str, stream: '_Inflated') -> int:
    count = 0
    while header := stream.read(_HEADER.size):
        rest = _length(path, count, header) + _FOOTER_BYTES
        while rest:
            part = stream.read(min(rest, _CHUNK))
            if not part:
                raise _cut_short(path, count)
            rest -= len(part)
        count += 1
    return count


class _Inflated:
    """Reads the content of a GZIP or ZLIB file; GZIP with any number of members."""

    def __init__(self, path: str, file: BinaryIO, compression: str):
        self._path = path
        self._file = file
        self._new = lambda: zlib.decompressobj(_WINDOW_BITS[compression])
        self._inflate = self._new()
        self._ready = bytearray()

    def read(self, size: int) -> bytes:
        """Returns `size` bytes, or fewer at the end."""
        while len(self._ready) < size:
            if self._inflate.eof and self._inflate.unused_data:
                data, self._inflate = self._inflate.unused_data, self._new()
            else:
                data = self._file.read(_CHUNK)
            if not data:
                if not self._inflate.eof:
                    raise DataError(f'{self._path} is cut short; get it again')
                break
            try:
                self._ready += self._inflate.decompress(data)
            except zlib.error as error:
                raise DataError(
                    f'{self._path} is corrupt: its compression breaks off ({error}); '
                    'get it again'
                ) from None
        result = bytes(self._ready[:size])
        del self._ready[:size]
        return result


def _length(path: str, number: int, header: bytes) -> int:
    if len(header) < _HEADER.size:
        raise _cut_short(path, number)
    if not _is_header(header):
        raise DataError(
            f'{path} is corrupt: the length of record {number} does not match its '
            'checksum; get the file again'
        )
    return _HEADER.unpack(header)[0]


def _cut_short(path: str, number: int) -> DataError:
    return DataError(f'{path} is cut short, in record {number}; get the file again')


def _is_header(header: bytes) -> bool:
    if len(header) < _HEADER.size:
        return False
    return _masked_crc(header[:8]) == _HEADER.unpack(header)[1]


def _masked_crc(data: bytes) -> int:
    # CRC-32C (Castagnoli), then TFRecord's masking: a rotation and a constant.
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE = _table()
