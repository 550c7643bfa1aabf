"""Status codes: TensorFlow's, which are also gRPC's, and the HTTP code of each."""

import re

#: As TensorFlow Serving's `model_servers/http_server.cc` maps them.
HTTP = {
    'OK': 200,
    'CANCELLED': 499,
    'UNKNOWN': 500,
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
    'INTERNAL': 500,
    'UNAVAILABLE': 503,
    'DATA_LOSS': 500,
    'UNAUTHENTICATED': 401,
}

#: Number of each code, as gRPC and TensorFlow have it.
NUMBER = {
    name: number
    for number, name in enumerate(
        'OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND '
        'ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION '
        'ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS '
        'UNAUTHENTICATED'.split()
    )
}

_NAME = {number: name for name, number in NUMBER.items()}

_LONGEST = 1000  # Characters of a message; TensorFlow's may hold a whole graph.


class ServingError(Exception):
    """A request that is answered with an error, and with which one."""

    def __init__(self, code, message):
        """Makes the error.

        Args:
          code: name of a gRPC status code, such as 'INVALID_ARGUMENT'.
          message: what the client reads.
        """
        super().__init__(message[:_LONGEST])
        self.code = code

    @property
    def http(self):
        """The HTTP status code."""
        return HTTP[self.code]


def invalid(message):
    """Returns the `ServingError` of a request that can never be answered."""
    return ServingError('INVALID_ARGUMENT', message)


def of_tensorflow(error):
    """Returns the `ServingError` for a `tf.errors.OpError`."""
    code = _NAME.get(error.error_code, 'UNKNOWN')
    return ServingError(code, what_happened(error.message or ''))


def what_happened(message):
    """Returns the one line of a message of TensorFlow's that is about the request."""
    lines = [line.strip() for line in message.splitlines()]
    # The line before the first list of nodes; above it stand headings.
    where = [n for n, line in enumerate(lines) if line.startswith('[[{{node')]
    lines = [line for line in lines[: where[0] if where else None] if line]
    if lines and lines[0] == 'Graph execution error:':
        del lines[0]
    text = lines[-1 if where else 0] if lines else ''
    text = re.sub(r'^\(\d+\) [\w ]+: ', '', text)  # Of several errors at once.
    match = re.fullmatch(r'assertion failed: \[(.*)\]', text)
    return (match[1] if match else text) or 'the model failed'
