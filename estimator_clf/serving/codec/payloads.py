"""Explains requests that have images in another form than the API's.

The graph can only report that bytes are no image. Clients usually did have one, and
sent it as base64 text, as a data URL or as a form: this names the form and what to send
instead. It is consulted after a failure only, so that it never refuses a request.
"""

import base64
import binascii
import re
from collections.abc import Iterable

from estimator_clf.serving.errors import ServingError
from input.images.file_kind import IMAGES, kind_of, name_of

#: Name of the input of encoded images, and of their feature in a `tf.Example`.
IMAGE_INPUT = 'image_bytes'
IMAGE_FEATURE = 'image/encoded'

#: How a REST request has an image: in rows, in columns, and as an example.
ROWS = '{"instances": [{"b64": "<base64 of the file>"}]}'
COLUMNS = '{"inputs": [{"b64": "<base64 of the file>"}]}'
EXAMPLES = (
    '{"signature_name": "classify", "examples": '
    '[{"image/encoded": {"b64": "<base64 of the file>"}}]}'
)

_PREFIX = 4096  # Bytes or characters that are examined.
_ACCEPTED = 'JPEG, PNG, GIF or BMP'

# Kinds that `describe` names by more than the first bytes.
_TEXT_KINDS = {'text', 'an image in base64', 'a data URL'}
_BASE64_TEXT = re.compile(rb'[A-Za-z0-9+/_-][A-Za-z0-9+/_\s-]*[=.]*\s*')
_STANDARD = bytes.maketrans(b'-_', b'+/')  # From URL-safe base64.
_FILE_NAME = re.compile(rb'(https?|file|gs|s3)://\S+|[^\n]*\.(jpe?g|png|gif|bmp)', re.I)


def describe(data: bytes) -> str:
    """Returns what some bytes are: 'a PNG image', 'a data URL', …"""
    if not data:
        return 'empty'
    prefix = data[:_PREFIX]
    if prefix.startswith(b'\x1f\x8b'):
        return 'gzip data without the header Content-Encoding: gzip'
    if name := _kind_of_file(prefix):
        return name
    if prefix.startswith(b'--') and b'content-disposition:' in prefix.lower():
        return 'a multipart form'
    if re.match(rb'data:[^,]*,', prefix):
        return 'a data URL (its base64 is what follows the comma)'
    if re.match(rb'b([\'"]).*', prefix):
        return "the text of a Python bytes object, b'…' (call its .decode())"
    if content := _decode_prefix(prefix):
        form = 'URL-safe base64' if re.search(rb'[_-]', prefix) else 'base64'
        return f'the {form} text of {describe(content)}'
    if _FILE_NAME.fullmatch(prefix):
        return 'a path or URL (the server opens no files)'
    return _describe_unknown(data)


def explain(
    error: ServingError, values: Iterable[tuple[str, bytes | None]], example: str
) -> ServingError:
    """Adds to an error of the model which value is no image, and what to send.

    Args:
      error: the error.
      values: pairs (place in the request, bytes that should be an encoded image; None
        for a value that is missing).
      example: how the API takes an image.

    Returns:
      `error` if it is not about the request, or all values begin as images do.
    """
    if error.code != 'INVALID_ARGUMENT':
        return error
    for where, data in values:
        if data is None and IMAGE_FEATURE not in str(error):
            continue  # The model reads other features.
        if data is None or not kind_of(data):
            found = 'missing' if data is None else describe(data)
            message = str(error)
            if len(message) > 400:
                message = message[:400] + '…'
            return ServingError(
                error.code, f'{message}; {where} is {found}{advice(example)}'
            )
    return error


def advice(example: str) -> str:
    """Returns the end of an error message: what to send."""
    return f'; send the content of a {_ACCEPTED} file as {example}'


def _decode_prefix(prefix: bytes) -> bytes | None:
    """Decodes the beginning of base64 text if it is that of a recognized file."""
    if len(prefix) < 8 or not _BASE64_TEXT.fullmatch(prefix):
        return None
    text = b''.join(prefix.split()).rstrip(b'=.').translate(_STANDARD)
    try:
        content = base64.b64decode(text[: len(text) // 4 * 4])
    except binascii.Error:
        return None
    return content if _kind_of_file(content) else None


def _kind_of_file(prefix: bytes) -> str | None:
    """Returns 'a PNG image', 'a PDF file', …; None for text and unknown kinds."""
    name = name_of(prefix)
    if name is None or name in _TEXT_KINDS or name.startswith(('a ', 'an ')):
        return None if name in _TEXT_KINDS else name
    noun = 'image' if kind_of(prefix) or name in IMAGES else 'file'
    return f'{"an" if name in ("AVIF", "SVG", "XML", "HDF5") else "a"} {name} {noun}'


def _describe_unknown(data):
    try:
        text = data[:40].decode()
    except UnicodeDecodeError as error:
        # A character may be cut off at the end of the excerpt.
        text = data[: error.start].decode() if error.start > 36 else ''
    if text and text.isprintable():
        return f'text, {text!r}' + ('…' if len(data) > 40 else '')
    return f'of an unknown format (it begins {data[:8].hex(" ")})'
