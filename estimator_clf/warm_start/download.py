"""Downloads a file: checked, resumed, complete or not at all."""

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import BinaryIO

from tqdm import tqdm

from estimator_clf.core.errors import RunError
from estimator_clf.core.file_lock import lock_file

_BLOCK = 1 << 16
_TIMEOUT = 30.0  # Seconds without a byte.
_TRIES = 3


def download(
    url: str, path: str, digest: str | None, log: Callable[[str], None]
) -> None:
    """Downloads a file.

    The bytes are collected in `PATH.partial`, which replaces `path` once it is
    complete. What a broken connection leaves is resumed, if a hash can tell that both
    parts belong together.

    Args:
      url: of the file.
      path: the file; its directory is created.
      digest: its MD5 or SHA-256 in hexadecimal; None: only its size is checked.
      log: receives that the download starts.

    Raises:
      RunError: no network, the server refuses, the connection has broken off, the file
        has another hash, or the disk is full.
    """
    partial = path + '.partial'
    name = os.path.basename(path)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(partial, 'ab') as file:
            if not lock_file(file):
                raise RunError(
                    f'{name} is being downloaded by another process; wait for it'
                )
            if digest is None:
                file.truncate(0)
            log(f'Weights: downloading {url} to {path}')
            _fetch(url, path, file)
            file.flush()
            os.fsync(file.fileno())
            if digest and not has_digest(partial, digest):
                _remove(partial)
                raise RunError(
                    f'{name}: the file from {url} has another hash than {digest}, '
                    'which Keras published for it; it was deleted. Try again, or bring '
                    f'the file from elsewhere to {path}'
                )
            os.replace(partial, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _remove(partial)
            raise _disk_full(path, error.strerror) from None
        raise RunError(
            f'{name} cannot be written to {os.path.dirname(path)}: '
            f'{error.strerror or error}'
        ) from None


def has_digest(path: str, digest: str) -> bool:
    """Returns whether a file has an MD5 or SHA-256 hash.

    Args:
      path: of the file.
      digest: in hexadecimal: 32 digits are MD5, 64 SHA-256.
    """
    name = 'md5' if len(digest) == 32 else 'sha256'
    # Not for security: MD5 is what Keras publishes for most files.
    found = hashlib.new(name, usedforsecurity=False)
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            found.update(block)
    return found.hexdigest() == digest.lower()


def _fetch(url: str, path: str, file: BinaryIO) -> None:
    """Appends the missing bytes of a file, in several tries."""
    name = os.path.basename(path)
    reason: object = ''
    for _ in range(_TRIES):
        start = file.seek(0, os.SEEK_END)
        request = urllib.request.Request(url)
        if start:
            request.add_header('Range', f'bytes={start}-')
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                if start and not _continues(answer, start):
                    file.truncate(0)
                    start = 0
                total = _append(answer, file, start, path)
        except urllib.error.HTTPError as error:
            if error.code == 416 and start:  # More bytes than the file has.
                file.truncate(0)
                continue
            raise RunError(
                f'{name} could not be downloaded: {url} answered {error.code} '
                f'{error.reason}. {_bring(url, path)}'
            ) from None
        except urllib.error.URLError as error:
            raise RunError(
                f'{name} could not be downloaded, there seems to be no network '
                f'({error.reason}). {_bring(url, path)}'
            ) from None
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason, total = str(error) or type(error).__name__, None
        size = file.seek(0, os.SEEK_END)
        if size == total or (total == -1 and size):
            return
    of = f' of {total}' if total and total > 0 else ''
    raise RunError(
        f'{name}: the download from {url} broke off after {size}{of} bytes'
        + (f' ({reason})' if reason else '')
        + '; the same command tries again'
    )


def _append(answer, file, start, path):
    """Copies an answer; returns the size of the whole file, -1 if not announced."""
    length = answer.headers.get('Content-Length')
    total = start + int(length) if length and length.isdigit() else -1
    free = shutil.disk_usage(os.path.dirname(path)).free
    if total - start > free:
        raise OSError(errno.ENOSPC, f'{total - start} bytes are needed, {free} free')
    bar = tqdm(
        desc=os.path.basename(path),
        total=total if total > 0 else None,
        initial=start,
        unit='B',
        unit_scale=True,
        disable=None,  # Without a terminal.
    )
    with bar:
        while block := _read(answer):
            file.write(block)
            bar.update(len(block))
    return total


def _read(answer):
    try:
        return answer.read(_BLOCK)
    except http.client.IncompleteRead as error:
        return error.partial


def _continues(answer, start):
    span = answer.headers.get('Content-Range', '')
    return answer.status == 206 and span.startswith(f'bytes {start}-')


def _bring(url, path):
    return (
        f'Download {url} on another machine and copy it to {path}, or to a directory '
        'that `weights_dir` names'
    )


def _disk_full(path, reason):
    return RunError(
        f'there is no disk space for {os.path.basename(path)} in '
        f'{os.path.dirname(path)} ({reason}); free some, or set KERAS_HOME to a '
        'directory elsewhere'
    )


def _remove(path):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
