"""Parses JSON bodies of requests strictly, and says what came instead of JSON."""

import json
from typing import Any

from estimator_clf.serving.codec import payloads
from estimator_clf.serving.errors import ServingError, invalid_argument


def parse(body: bytes, example: str) -> dict[str, Any]:
    """Parses the body of a request.

    RFC 8259 has no NaN and no infinities; TensorFlow Serving reads them in requests. An
    object with a key twice is refused: TensorFlow Serving uses the first value, Python
    the last.

    Args:
      body: the body, whatever its Content-Type states.
      example: a body that would be accepted, for the messages.

    Raises:
      ServingError: it is not a JSON object.
    """
    try:
        document = json.loads(
            body, object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        raise _not_json(body, error, example) from None
    except (ValueError, RecursionError) as error:
        # Not UTF-8, too many digits, too deep.
        found = _describe(body, example)
        raise invalid_argument(f'the body must be JSON: {error}{found}') from None
    if not isinstance(document, dict):
        refusal = unexpected('the body', 'a JSON object', document)
        raise invalid_argument(f'{refusal}; send {example}')
    name = document.get('signature_name', '')
    if not isinstance(name, str):
        raise unexpected('`signature_name`', 'a string', name)
    to_utf8(name, '`signature_name`')
    return document


def to_utf8(text: str, where: str) -> bytes:
    """Encodes text.

    Raises:
      ServingError: it has half of a surrogate pair, which JSON can express.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise invalid_argument(
            f'{where} must be Unicode text, got half of a surrogate pair'
        ) from None


def unexpected(where: str, wanted: str, value: Any) -> ServingError:
    """Returns the error for a value of another type than required."""
    return invalid_argument(f'{where} must be {wanted}, got {excerpt(value)}')


def excerpt(value: Any) -> str:
    """Returns the beginning of a value as JSON."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return '…'
    return text if len(text) <= 200 else text[:200] + '…'


def _unique(pairs):
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise invalid_argument(
            f'an object of the body must have each key once, got {excerpt(twice)} twice'
        )
    return result


def _refuse_constant(name):
    raise invalid_argument(
        f'the body must be JSON, which has no {name}; gRPC takes such numbers'
    )


def _not_json(body, error, example):
    """Returns the error for a body that the parser refused."""
    message = f'the body must be JSON: {error}'
    if body.lstrip()[:1] in (b'{', b'['):
        near = error.doc[max(0, error.pos - 20) : error.pos + 20]
        return invalid_argument(f'{message}, near {near!r}')
    return invalid_argument(message + _describe(body, example))


def _describe(body, example):
    found = payloads.describe(body)
    return f'; the body is {found}{payloads.advice(example)}'
