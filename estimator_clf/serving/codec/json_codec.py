"""Converts between JSON of the REST API and arrays.

The formats are described at https://www.tensorflow.org/tfx/serving/api_rest. Numbers
that do not fit their type are refused; TensorFlow Serving lets them wrap around.
Responses are JSON of RFC 8259: NaN and infinities are the strings of protobuf's JSON
format, where TensorFlow Serving writes tokens that browsers cannot parse.
"""

import base64
import functools
import json
import math
from typing import Any

import numpy as np
import tensorflow as tf

from estimator_clf.serving.codec import payloads
from estimator_clf.serving.codec.request_body import excerpt, to_utf8, unexpected
from estimator_clf.serving.errors import ServingError, invalid_argument
from estimator_clf.serving.servable import Signature

_MAX_LEVELS = 16  # Of nested lists; NumPy has a limit too.
_B64 = '{"b64": "<base64 of the bytes>"}'

# Strict: what is not JSON must not leave the server.
_dump = functools.partial(json.dumps, allow_nan=False)


def is_row_format(document: dict[str, Any]) -> bool:
    """Returns whether a predict request, and thus its response, lists rows."""
    return 'instances' in document


def decode_inputs(
    document: dict[str, Any], signature: Signature
) -> dict[str, np.ndarray]:
    """Decodes the tensors of a predict request.

    Args:
      document: result of `request_body.parse`.
      signature: the signature that is to run.

    Returns:
      Input name -> array; strings as objects of type bytes.

    Raises:
      ServingError: the values do not have the format of the API or the types of the
        signature.
    """
    dtypes = {name: tf.as_dtype(info.dtype) for name, info in signature.inputs.items()}
    if ('instances' in document) == ('inputs' in document):
        raise invalid_argument(
            'a predict request must have either `instances` (rows) or `inputs` '
            f'(columns), got the keys {excerpt(sorted(document))}'
            f'{payloads.advice(payloads.ROWS)}'
        )
    if 'instances' in document:
        return _decode_rows(document['instances'], dtypes)
    return _decode_columns(document['inputs'], dtypes)


def decode_examples(document: dict[str, Any]) -> np.ndarray:
    """Decodes the examples of a classify or regress request.

    Args:
      document: result of `request_body.parse`.

    Returns:
      object [N] of bytes: serialized `tf.Example`s, each merged with the context.

    Raises:
      ServingError: the values do not have the format of the API.
    """
    context = _encode_example(document.get('context', {}), '`context`')
    examples = document.get('examples')
    if not isinstance(examples, list) or not examples:
        error = unexpected('`examples`', 'a list of at least one object', examples)
        keys = excerpt(sorted(document))
        raise invalid_argument(
            f'{error}; the body has the keys {keys}{payloads.advice(payloads.EXAMPLES)}'
        )
    result = np.empty(len(examples), object)
    # Concatenated messages are the second merged into the first.
    result[:] = [
        context + _encode_example(example, f'`examples[{number}]`')
        for number, example in enumerate(examples)
    ]
    return result


def encode_outputs(outputs: dict[str, np.ndarray], rows: bool) -> str:
    """Encodes the outputs of a predict request.

    Args:
      outputs: output name -> array.
      rows: True for rows (`predictions`), False for columns (`outputs`).

    Returns:
      JSON object; the name of an only output is omitted. Values of outputs called
      `…_bytes` are base64; NaN and infinities are strings.

    Raises:
      ServingError: rows of outputs without a common first dimension.
    """
    columns = {name: _to_list(name, outputs[name]) for name in sorted(outputs)}
    only = next(iter(columns.values())) if len(columns) == 1 else None
    if not rows:
        return _dump({'outputs': columns if only is None else only})
    sizes = {array.shape[:1] for array in outputs.values()}
    if len(sizes) > 1 or () in sizes:
        shapes = {name: list(array.shape) for name, array in outputs.items()}
        raise invalid_argument(
            'outputs without a common batch size cannot be written as rows; send '
            f'`inputs` instead of `instances`; the shapes are {shapes}'
        )
    if only is None:
        only = [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    return _dump({'predictions': only})


def encode_classes(classes: np.ndarray | None, scores: np.ndarray | None) -> str:
    """Encodes the result of a classify request as pairs of label and score.

    Args:
      classes: object [N, k] of bytes; None for empty labels.
      scores: float32 [N, k]; None for 0. At least one of the two is given.

    Returns:
      JSON object.
    """
    if classes is None:
        assert scores is not None
        classes = np.full(scores.shape, '', object)
    if scores is None:
        scores = np.zeros(classes.shape, np.float32)
    labels, numbers = _to_list('classes', classes), _to_list('scores', scores)
    pairs = [
        list(map(list, zip(*row, strict=True)))
        for row in zip(labels, numbers, strict=True)
    ]
    return _dump({'results': pairs})


def encode_values(values: np.ndarray) -> str:
    """Encodes the result of a regress request, float32 [N] or [N, 1]."""
    return _dump({'results': _to_list('outputs', values.ravel())})


def _decode_rows(rows, dtypes):
    if not isinstance(rows, list) or not rows:
        raise unexpected('`instances`', 'a list of at least one value', rows)
    columns = {name: [] for name in dtypes}
    is_named = _is_object(rows[0])
    for number, row in enumerate(rows):
        where = f'instances[{number}]'
        if _is_object(row) != is_named:
            form = 'an object' if is_named else 'a plain value'
            raise unexpected(f'`{where}`', f'{form} as `instances[0]` is', row)
        if not is_named and len(dtypes) == 1:
            row = {name: row for name in dtypes}
        if not isinstance(row, dict) or row.keys() != dtypes.keys():
            keys = f'an object with the keys {excerpt(sorted(dtypes))}'
            raise unexpected(f'`{where}`', keys, row)
        for name, value in row.items():
            item = _decode(value, dtypes[name], f'`{where}`, {name}:')
            if columns[name] and item.shape != columns[name][0].shape:
                raise invalid_argument(
                    f'`{where}`, {name}: must have the shape of the first instance, '
                    f'{list(columns[name][0].shape)}, got {list(item.shape)}'
                )
            columns[name].append(item)
    return {name: np.stack(items) for name, items in columns.items()}


def _decode_columns(value, dtypes):
    if not _is_object(value) and len(dtypes) == 1:
        value = {name: value for name in dtypes}
    if not isinstance(value, dict) or dtypes.keys() - value.keys():
        keys = f'an object with the keys {excerpt(sorted(dtypes))}'
        raise unexpected('`inputs`', keys, value)
    return {
        name: _decode(value[name], dtype, f'`inputs`, {name}:')
        for name, dtype in dtypes.items()
    }


def _decode(value, dtype, where):
    """Converts nested lists of JSON values to an array."""
    array = np.array(value, object)
    if array.ndim > _MAX_LEVELS:
        raise unexpected(where, f'nested at most {_MAX_LEVELS} levels deep', value)
    items = array.ravel().tolist()
    if any(isinstance(item, list) for item in items):  # NumPy stops where they differ.
        raise unexpected(where, 'lists of equal lengths on each level', value)
    if dtype == tf.string:
        if any(isinstance(item, (int, float)) for item in items):
            raise unexpected(where, f'a string or {_B64}', value)
        result = np.empty(len(items), object)
        result[:] = [_to_bytes(item, where) for item in items]
    else:
        result = _to_numbers(items, dtype, where)
    return result.reshape(array.shape)


def _to_numbers(items, dtype, where):
    if dtype == tf.bool:
        types, lowest, highest = (bool,), False, True
    elif dtype.is_integer:
        types, lowest, highest = (int,), dtype.min, dtype.max
    elif dtype.is_floating:
        types, lowest, highest = (int, float), float(dtype.min), float(dtype.max)
    else:
        raise ServingError('UNIMPLEMENTED', f'{where} JSON of type {dtype.name}')
    for item in items:
        # A literal such as 1e999 is parsed as infinity.
        if type(item) not in types or not lowest <= item <= highest:
            wanted = f'{dtype.name} from {lowest:g} to {highest:g}'
            raise unexpected(where, wanted, item)
    return np.array(items, dtype.as_numpy_dtype)


def _is_object(value):
    """Returns whether a value is an object other than encoded bytes."""
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value):
    return value.keys() == {'b64'} and isinstance(value['b64'], str)


def _to_bytes(value, where):
    if isinstance(value, str):
        return to_utf8(value, where)
    if not isinstance(value, dict) or not _is_base64(value):
        raise unexpected(where, f'a string or {_B64}', value)
    # As in TensorFlow Serving, white space is skipped; padding is optional, and may be
    # written with dots.
    text = value['b64'].translate(_SPACES_AND_DOTS)
    if not text.endswith('='):
        text += '=' * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        reason = str(error)
    found = payloads.describe(value['b64'].encode(errors='replace'))
    raise invalid_argument(
        f'{where} invalid base64 ({reason}): `b64` must be standard base64, with + and '
        f'/, of the bytes, got {found}'
    )


_SPACES_AND_DOTS = str.maketrans({**dict.fromkeys(' \t\n\v\f\r'), '.': '='})

# Type of a JSON value -> list of a `tf.train.Feature`.
_FEATURE_LISTS = {
    bool: 'int64_list',
    int: 'int64_list',
    float: 'float_list',
    str: 'bytes_list',
    dict: 'bytes_list',
}


def _encode_example(value, where):
    if not isinstance(value, dict):
        raise unexpected(where, 'an object', value)
    example = tf.train.Example()
    for name, content in value.items():
        to_utf8(name, where)
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add_to_feature(feature, item, f'{where}, feature {name!r}:')
    return example.SerializeToString()


def _add_to_feature(feature, value, where):
    kind = _FEATURE_LISTS.get(type(value))
    if kind is None or feature.WhichOneof('kind') not in (None, kind):
        wanted = f'numbers, strings or {_B64}, all of one type'
        raise unexpected(where, wanted, value)
    if kind == 'bytes_list':
        value = _to_bytes(value, where)
    elif kind == 'float_list':
        value = float(_to_numbers([value], tf.float32, where)[0])
    else:
        value = int(_to_numbers([int(value)], tf.int64, where)[0])
    getattr(feature, kind).value.append(value)


def _to_list(name, array):
    """Converts an array to nested lists of JSON values."""
    if array.dtype.kind == 'O':
        encode = _base64 if name.endswith('_bytes') else _text
        return np.vectorize(encode, otypes=[object])(array).tolist()
    if array.dtype.kind == 'f' and array.dtype.itemsize < 8:
        # The shortest digits of the float32: 0.1, not 0.10000000149011612.
        array = array.astype(np.float32).astype('U').astype(np.float64)
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
        return np.vectorize(_json_number, otypes=[object])(array).tolist()
    return array.tolist()


def _json_number(value):
    """Returns a number, or the string that stands for it in protobuf's JSON format."""
    if math.isfinite(value):
        return float(value)
    return 'NaN' if math.isnan(value) else 'Infinity' if value > 0 else '-Infinity'


def _text(value):
    return value.decode(errors='replace') if isinstance(value, bytes) else str(value)


def _base64(value):
    return {'b64': base64.b64encode(value).decode()}
