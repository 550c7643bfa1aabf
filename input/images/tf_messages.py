"""Readable part of the error messages of TensorFlow's image and file ops."""

import re

import tensorflow as tf

_BEFORE = re.compile(r'^Error in user-defined function .* with iterator: \S+: ')

# Our own message inside that of an Assert, see `decode.CORRUPT_EXAMPLE`. Exported
# models of earlier versions have the second word for it.
_OURS = re.compile(r'(?:corrupt|bad) example.*?>: (.*)', re.DOTALL)


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
    return line.rpartition('}} ')[2].strip()[:200]
