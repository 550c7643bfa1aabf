"""Status codes of failed requests, shared by gRPC and HTTP."""

import re
from typing import Any

import grpc

from input.images.tf_messages import decoder_reason

# HTTP status of each gRPC status code; the others are 500.
_HTTP = {
    'CANCELLED': 499,
    'INVALID_ARGUMENT': 400,
    'DEADLINE_EXCEEDED': 504,
    'NOT_FOUND': 404,
    'ALREADY_EXISTS': 409,
    'PERMISSION_DENIED': 403,
    'RESOURCE_EXHAUSTED': 429,
    'FAILED_PRECONDITION': 400,
    'ABORTED': 409,
    'OUT_OF_RANGE': 400,
    'UNIMPLEMENTED': 501,
    'UNAVAILABLE': 503,
    'UNAUTHENTICATED': 401,
}

_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}

_MAX_LENGTH = 1000  # Characters of a message; TensorFlow's may contain a whole graph.


class ServingError(Exception):
    """An error response.

    Attributes:
      code: name of a gRPC status code, such as 'INVALID_ARGUMENT'.
    """

    def __init__(self, code: str, message: str) -> None:
        """Creates the error; `message` is truncated to 1,000 characters."""
        super().__init__(message[:_MAX_LENGTH])
        self.code = code

    @property
    def http(self) -> int:
        """HTTP status code."""
        return _HTTP.get(self.code, 500)

    @property
    def number(self) -> int:
        """Number of the status code in gRPC and TensorFlow."""
        return grpc.StatusCode[self.code].value[0]


def invalid_argument(message: str) -> ServingError:
    """Returns the error for a request that fails however often it is sent."""
    return ServingError('INVALID_ARGUMENT', message)


def from_tensorflow(error: Any) -> ServingError:
    """Converts a `tf.errors.OpError`."""
    code = _NAMES.get(error.error_code, 'UNKNOWN')
    return ServingError(code, summarize(error.message or ''))


def summarize(message: str) -> str:
    """Returns the one line of a TensorFlow error message that describes the cause."""
    lines = [line.strip() for line in message.splitlines()]
    # It is the line before the first list of nodes; headings precede it.
    nodes = [n for n, line in enumerate(lines) if line.startswith('[[{{node')]
    lines = [line for line in lines[: nodes[0] if nodes else None] if line]
    if lines and lines[0] == 'Graph execution error:':
        del lines[0]
    text = lines[-1 if nodes else 0] if lines else ''
    text = re.sub(r'^\(\d+\) [\w ]+: ', '', text)  # One of several errors.
    match = re.fullmatch(r'assertion failed: \[(.*)\]', text)
    text = match[1] if match else text
    return decoder_reason(text) or text or 'the model failed'
