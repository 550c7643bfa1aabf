"""Beginnings of the values in REST requests that should be encoded images."""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from estimator_clf.serving.codec.payloads import IMAGE_FEATURE, IMAGE_INPUT

_PREFIX = 4096  # Characters; divisible by 4, as base64 is.


def of_prediction(document: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yields pairs (place, first bytes) of a predict request, in rows or columns."""
    name = 'instances' if 'instances' in document else 'inputs'
    values = _field(document.get(name), IMAGE_INPUT)
    if not isinstance(values, list):
        yield from _value(f'`{name}`', values)
        return
    for number, value in enumerate(values):
        yield from _value(f'`{name}[{number}]`', _field(value, IMAGE_INPUT))


def of_examples(document: dict[str, Any]) -> Iterator[tuple[str, bytes | None]]:
    """Yields pairs (place, first bytes or None) of a classify or regress request.

    Args:
      document: passed `json_codec.decode_examples`.
    """
    context = document.get('context', {})
    for number, example in enumerate(document['examples']):
        value = {**context, **example}.get(IMAGE_FEATURE)
        if value is None:
            yield f'{IMAGE_FEATURE} of `examples[{number}]`', None
        if isinstance(value, list) and len(value) == 1:
            (value,) = value
        yield from _value(f'{IMAGE_FEATURE} of `examples[{number}]`', value)


def _field(value, name):
    return value[name] if isinstance(value, dict) and name in value else value


def _value(where, value):
    if isinstance(value, str):
        yield where, value[:_PREFIX].encode(errors='replace')
    elif isinstance(value, dict) and isinstance(value.get('b64'), str):
        text = ''.join(value['b64'][:_PREFIX].split()).rstrip('=.')
        try:
            # Padding in excess is ignored.
            yield f'the content of {where}', base64.b64decode(text + '==')
        except binascii.Error:
            return
