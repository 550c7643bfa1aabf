"""Readable part of the error messages of TensorFlow's image and file ops."""

import re

import tensorflow as tf

from input.images import file_kind

_BEFORE = re.compile(r'^Error in user-defined function .* with iterator: \S+: ')

# Our own message inside that of an Assert, see `decode.CORRUPT_EXAMPLE`. Exported
# models of earlier versions have the second word for it.
_OURS = re.compile(r'(?:corrupt|bad) example.*?>: (.*)', re.DOTALL)

# What TensorFlow's decoders say of an image of each kind.
_DECODERS = (
    (re.compile(r'Invalid JPEG|jpeg::'), 'JPEG'),
    (re.compile(r'Invalid PNG|PNG size'), 'PNG'),
    (re.compile(r'GIF data|gif file'), 'GIF'),
    (re.compile(r'bmp content|header_size|channels inherent|bits per pixel'), 'BMP'),
)


def short_reason(error: tf.errors.OpError) -> str:
    """Returns the useful part of TensorFlow's message, one line."""
    # An Assert prints text with its quotes escaped.
    text = str(error.message).replace("\\'", "'")
    ours = _OURS.search(text)
    if ours:
        return ours[1].partition(']')[0]
    # The place in the graph comes before the reason, and is repeated after it.
    text = text.partition('\n\t [[')[0].partition('[Op:')[0].strip()
    line = _BEFORE.sub('', text.splitlines()[-1] if text else '')
    line = line.rpartition('}} ')[2].strip()[:200]
    return decoder_reason(line) or line


def decoder_reason(line: str) -> str | None:
    """Returns our words for a message of an image decoder; None for another."""
    kinds = (name for pattern, name in _DECODERS if pattern.search(line))
    name = next(kinds, None)
    return file_kind.corrupt(name) if name else None
