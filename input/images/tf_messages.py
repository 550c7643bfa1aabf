"""Readable part of the error messages of TensorFlow's image and file ops."""

import re

from input.images.decode import NOT_A_IMAGE

_BEFORE = re.compile(r'^Error in user-defined function .* with iterator: \S+: ')


def short_reason(error):
    """Returns what a person can use of TensorFlow's message, one line."""
    # An Assert prints text with its quotes escaped.
    text = str(error.message).replace("\\'", "'")
    if NOT_A_IMAGE in text:  # Our own words, inside those of an Assert.
        return text.partition(NOT_A_IMAGE)[2].partition('>: ')[2].partition(']')[0]
    # Where in which graph it happened comes before the reason, and once more behind.
    text = text.partition('\n\t [[')[0].partition('[Op:')[0].strip()
    line = _BEFORE.sub('', text.splitlines()[-1] if text else '')
    return line.rpartition('}} ')[2].strip()[:200]
