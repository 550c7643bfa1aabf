"""Identifies in a graph what a file is, with the words of `file_kind`."""

import tensorflow as tf

from input.images.file_kind import (
    EMPTY,
    HEAD,
    REST,
    SIGNATURES,
    TEXTS,
    Signature,
    sentence,
)

_PRINTABLE = r'[\t\n\r\x20-\x7e]+'


def description(data: tf.Tensor) -> tf.Tensor:
    """Describes a file in the graph as `describe` does.

    Args:
      data: string scalar: a file of a kind that is not in `DECODED`.

    Returns:
      string scalar.
    """
    # All comparisons in one operation: a graph has many copies of this.
    head = tf.strings.substr(data, 0, HEAD)
    text = tf.strings.strip(tf.strings.lower(head))
    found = tf.concat([_matches(head, SIGNATURES), _matches(text, TEXTS)], 0)
    printable = tf.strings.regex_full_match(head, _PRINTABLE)
    zeros = tf.strings.regex_full_match(head, r'\x00+')
    found = tf.concat([found, [zeros, printable, True]], 0)
    sentences = [sentence(one) for one in (*SIGNATURES, *TEXTS, *REST, None)]
    chosen = tf.constant(sentences)[tf.argmax(found)]
    return tf.where(tf.equal(tf.strings.length(data), 0), EMPTY, chosen)


def _matches(head: tf.Tensor, signatures: tuple[Signature, ...]) -> tf.Tensor:
    """Returns which signatures match, bool [N]."""
    width = max(one.offset + len(one.magic) for one in signatures)
    padded = tf.repeat((head + b'\xff' * width)[None], len(signatures))
    found = tf.strings.substr(
        padded,
        [one.offset for one in signatures],
        [len(one.magic) for one in signatures],
    )
    return tf.equal(found, [one.magic for one in signatures])
