"""Arrays to JSON replies, after Serving's `util/json_tensor.cc`."""

import base64
import json

import numpy as np

from estimator_clf.serving.status import invalid


def predictions(outputs, rows):
    """Writes the outputs of a predict request.

    Args:
      outputs: dict alias -> array.
      rows: True for the row form ('predictions'), False for columns ('outputs').

    Returns:
      str: a JSON object; the name of an output is left out where there is but one.
      NaN and Infinity are written as such, which JSON does not know and Serving does.

    Raises:
      ServingError: rows are asked for, and the outputs are not equally many.
    """
    lists = {alias: _listed(alias, outputs[alias]) for alias in sorted(outputs)}
    if not rows:
        (first, *more) = lists.values()
        return json.dumps({'outputs': lists if more else first})
    sizes = {}
    for alias in lists:
        if not outputs[alias].ndim:
            raise invalid(f'Tensor name: {alias} has no shape information ')
        sizes[alias] = len(outputs[alias])
    if len(set(sizes.values())) > 1:
        raise invalid(f'Tensors have inconsistent batch sizes: {sizes}')
    if len(lists) == 1:
        (only,) = lists.values()
        return json.dumps({'predictions': only})
    columns = zip(*lists.values(), strict=True)
    return json.dumps(
        {'predictions': [dict(zip(lists, row, strict=True)) for row in columns]}
    )


def classifications(classes, scores):
    """Writes the result of a classify request.

    Args:
      classes: object [N, k] of bytes, or None.
      scores: float32 [N, k], or None.

    Returns:
      str: a JSON object.
    """
    some = classes if classes is not None else scores
    labels = np.full(some.shape, '', object) if classes is None else classes
    labels = _listed('classes', labels)
    scores = np.zeros(some.shape, np.float32) if scores is None else scores
    scores = _listed('scores', scores)
    return json.dumps(
        {
            'results': [
                [list(pair) for pair in zip(names, values, strict=True)]
                for names, values in zip(labels, scores, strict=True)
            ]
        }
    )


def regressions(values):
    """Writes the result of a regress request.

    Args:
      values: float32 [N] or [N, 1].

    Returns:
      str: a JSON object.
    """
    return json.dumps({'results': _listed('outputs', values.ravel())})


def _listed(alias, array):
    """An array as nested lists of what JSON has."""
    if array.dtype.kind == 'O':
        write = _base64 if alias.endswith('_bytes') else _text
        flat = [write(x) for x in array.ravel()]
        return _nested(flat, array.shape)
    if array.dtype.kind == 'f' and array.dtype.itemsize < 8:
        # The few digits that make the float32 again: 0.1, not 0.10000000149011612.
        array = array.astype(np.float32).astype('U').astype(np.float64)
    return array.tolist()


def _nested(flat, shape):
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape).tolist()


def _text(value):
    return value.decode(errors='replace') if isinstance(value, bytes) else str(value)


def _base64(value):
    return {'b64': base64.b64encode(value).decode()}
