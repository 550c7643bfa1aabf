"""JSON requests to arrays, after Serving's `util/json_tensor.cc`.

Different from there: a number that does not fit its type is refused, where Serving
lets it wrap around; and a value in a message is cut off.
"""

import base64
import binascii
import json
import math
import re

import numpy as np
import tensorflow as tf

from estimator_clf.serving.servable import dtype_name
from estimator_clf.serving.status import ServingError, invalid

_DEEPEST = 32  # Dimensions of an array of any NumPy.
_SPACE = re.compile(r'[ \t\n\r\f\v]+')


def parse(body):
    """Parses the body of a request.

    Args:
      body: bytes.

    Returns:
      dict.

    Raises:
      ServingError: it is no JSON object.
    """
    if not body:
        raise invalid('JSON Parse error: The document is empty')
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f'JSON Parse error: {error}') from None
    if not isinstance(document, dict):
        raise invalid(f'JSON Value: {_shown(document)} Is not object')
    name = document.get('signature_name', '')
    if not isinstance(name, str):
        raise invalid(
            f'JSON Value: {_shown(document)} not formatted correctly. '
            "'signature_name' key must be a string value."
        )
    _utf8(name)
    return document


def tensors(document, signature):
    """Reads the tensors of a predict request.

    Args:
      document: dict, of `parse`.
      signature: `Signature`.

    Returns:
      dict alias -> array.

    Raises:
      ServingError: something is not as the signature and the API want it.
    """
    types = {alias: tf.as_dtype(x.dtype) for alias, x in signature.inputs.items()}
    try:
        if 'instances' in document and 'inputs' in document:
            raise invalid(
                f'JSON Value: {_shown(document)} Not formatted correctly expecting '
                "only one of 'inputs' or 'instances' keys to exist"
            )
        if 'instances' in document:
            return _from_rows(document['instances'], types)
        if 'inputs' in document:
            return _from_columns(document['inputs'], types)
    except RecursionError:
        raise invalid('lists are nested too deeply') from None
    raise invalid("Missing 'inputs' or 'instances' key")


def is_row_form(document):
    """Says whether the answer is to have the row form."""
    return 'instances' in document


def examples(document):
    """Reads the examples of a classify request.

    Args:
      document: dict, of `parse`.

    Returns:
      object [N] of bytes: serialized `tf.Example`s, each with the common context.

    Raises:
      ServingError: something is not as the API wants it.
    """
    context = b''
    if 'context' in document:
        context = _example(document['context'])
    if 'examples' not in document:
        raise invalid(
            f"JSON Value: {_shown(document)} When method is classify, key 'examples' "
            'is expected and was not found'
        )
    found = document['examples']
    if not isinstance(found, list):
        raise invalid("Expecting 'examples' value to be an list/array")
    if not found:
        raise invalid("'examples' value is an empty array")
    result = np.empty(len(found), object)
    # One message behind another is the two merged.
    result[:] = [context + _example(item) for item in found]
    return result


def _from_rows(rows, types):
    if not isinstance(rows, list):
        raise invalid("Excepting 'instances' to be an list/array")
    if not rows:
        raise invalid("No values in 'instances' array")
    if not isinstance(rows[0], dict) and len(types) > 1:
        raise invalid(
            'instances is a plain list, but expecting list of objects as multiple '
            'input tensors required as per tensorinfo_map'
        )
    by_name = _is_object(rows[0])
    (only, *_) = types
    columns = {alias: [] for alias in types}
    for number, row in enumerate(rows):
        if _is_object(row) != by_name:
            wanted, got = ('object', 'list') if by_name else ('value/list', 'object')
            raise invalid(f'Expecting {wanted} but got {got} at item {number} of input')
        named = row if by_name else {only: row}
        if named.keys() != types.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON "
                f'object: {_shown(row)} keys must be equal to: {",".join(types)}'
            )
        for alias, value in named.items():
            try:
                item = _tensor(value, types[alias])
                first = columns[alias][0] if columns[alias] else item
                if item.shape != first.shape:
                    raise invalid(
                        f'Expecting shape {list(first.shape)} but got: '
                        f'{list(item.shape)}'
                    )
            except ServingError as error:
                raise invalid(
                    f"Failed to process element: {number} key: {alias} of 'instances' "
                    f'list. Error: {error}'
                ) from None
            columns[alias].append(item)
    return {alias: np.stack(items) for alias, items in columns.items()}


def _from_columns(value, types):
    if not _is_object(value):
        if len(types) > 1:
            raise invalid(
                'inputs is a plain value/list, but expecting an object as multiple '
                'input tensors required as per tensorinfo_map'
            )
        (only,) = types
        return {only: _tensor(value, types[only])}
    for alias in types:
        if alias not in value:
            raise invalid(f"Missing named input: {alias} in 'inputs' object.")
    return {alias: _tensor(value[alias], types[alias]) for alias in types}


def _is_object(value):
    """A dict that is not the envelope of bytes."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value):
    return value.keys() == {'b64'} and isinstance(value['b64'], str)


def _tensor(value, dtype):
    """Makes an array of nested lists of values."""
    shape, item = [], value
    while isinstance(item, list):
        shape.append(len(item))
        item = item[0] if item else None
    if len(shape) > _DEEPEST:
        raise invalid(f'lists are nested deeper than {_DEEPEST}')
    flat = []
    _fill(value, 0, shape, _converter(dtype), flat)
    if dtype == tf.string:
        array = np.empty(len(flat), object)
        array[:] = flat
    else:
        array = np.array(flat, dtype.as_numpy_dtype)
    return array.reshape(shape)


def _fill(value, level, shape, convert, flat):
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f'JSON Value: {_shown(value)} found at incorrect level: {level + 1} '
                f'in the JSON DOM. Expected at level: {len(shape)}'
            )
        flat.append(convert(value))
        return
    if level >= len(shape):
        raise invalid(
            f'Encountered list at unexpected level: {level} expected < {len(shape)}'
        )
    if len(value) != shape[level]:
        raise invalid(
            f'Encountered list at unexpected size: {len(value)} at level: {level} '
            f'expected size: {shape[level]}'
        )
    for item in value:
        _fill(item, level + 1, shape, convert, flat)


def _converter(dtype):
    """Returns the function from a JSON value to one of a type."""

    def wrong(value):
        return invalid(
            f'JSON Value: {_shown(value)} Type: {_kind(value)} is not of expected '
            f'type: {dtype_name(dtype)}'
        )

    def text(value):
        if isinstance(value, dict):
            return _bytes(value)
        if not isinstance(value, str):
            raise wrong(value)
        return _utf8(value)

    def boolean(value):
        if not isinstance(value, bool):
            raise wrong(value)
        return value

    def whole(value):
        if type(value) is not int or not dtype.min <= value <= dtype.max:
            raise wrong(value)
        return value

    def decimal(value):
        if type(value) not in (int, float):
            raise wrong(value)
        if not _lossless(value, dtype):
            raise invalid(
                f'Cannot convert JSON value: {_shown(value)} to {dtype_name(dtype)} '
                'without loss of precision.'
            )
        return value

    if dtype == tf.string:
        return text
    if dtype == tf.bool:
        return boolean
    if dtype.is_integer:
        return whole
    if dtype.is_floating:
        return decimal
    raise ServingError('UNIMPLEMENTED', f'JSON values of type {dtype_name(dtype)}')


def _lossless(value, dtype):
    if isinstance(value, int):
        return abs(value) < 2 ** (np.finfo(dtype.as_numpy_dtype).nmant + 1)
    return not math.isfinite(value) or abs(value) <= float(dtype.max)


def _bytes(value):
    """The bytes in {"b64": "…"}."""
    if not _is_base64(value):
        raise invalid(
            f'JSON Value: {_shown(value)} not formatted correctly for base64 data'
        )
    text = _SPACE.sub('', value['b64'])
    # Serving's decoder takes it without the padding too.
    if not text.endswith('='):
        text += '=' * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise invalid('Unable to base64 decode') from None


def _utf8(value):
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise invalid(
            f'JSON Value: {_shown(value)} holds half of a surrogate pair'
        ) from None


def _example(value):
    if not isinstance(value, dict):
        raise invalid(f'Example must be JSON object but got JSON {_kind(value)}')
    example = tf.train.Example()
    for name, content in value.items():
        feature = example.features.feature[_utf8(name).decode()]
        for item in content if isinstance(content, list) else [content]:
            _add(item, name, feature)
    return example.SerializeToString()


def _add(value, name, feature):
    kind, convert = _FEATURES.get(type(value), (None, None))
    if kind is None or isinstance(value, dict) and not _is_base64(value):
        raise invalid(
            f'Feature: {name} has element with unexpected JSON type: {_kind(value)}'
        )
    there = feature.WhichOneof('kind')
    if there not in (None, kind):
        raise invalid(
            f'Unexpected element type in feature: {name} expecting type: '
            + there.removesuffix('_list')
        )
    value = convert(value)
    if kind == 'float_list' and not _lossless(value, tf.float32):
        raise invalid(
            f'Cannot convert JSON value: {value} to float without loss of precision.'
        )
    try:
        getattr(feature, kind).value.append(value)
    except ValueError:
        raise invalid(
            f'Feature: {name} has uint64 element. Only int64 is supported.'
        ) from None


_FEATURES = {
    bool: ('int64_list', int),
    int: ('int64_list', int),
    float: ('float_list', float),
    str: ('bytes_list', _utf8),
    dict: ('bytes_list', _bytes),
}


def _kind(value):
    """The name that the JSON library of Serving has for a value's type."""
    names = {dict: 'Object', list: 'Array', str: 'String', type(None): 'Null'}
    if isinstance(value, bool):
        return str(value)
    return names.get(type(value), 'Number')


def _shown(value):
    """A value in a message, cut off."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return '…'
    return text if len(text) <= 200 else text[:200] + '…'
