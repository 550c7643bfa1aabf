"""What the REST API takes and gives, for machines: OpenAPI 3."""

_BASE64 = {
    'type': 'object',
    'properties': {'b64': {'type': 'string', 'format': 'byte'}},
    'required': ['b64'],
    'additionalProperties': False,
}
_VALUE = {
    'anyOf': [
        _BASE64,
        {'type': 'string'},
        {'type': 'number'},
        {'type': 'array', 'items': {}},
        {'type': 'object'},
    ]
}
_FEATURES = {'type': 'object', 'additionalProperties': _VALUE}
_PREDICT = {
    'type': 'object',
    'properties': {
        'signature_name': {'type': 'string'},
        'instances': {'type': 'array', 'items': _VALUE, 'minItems': 1},
        'inputs': _VALUE,
    },
}
_CLASSIFY = {
    'type': 'object',
    'properties': {
        'signature_name': {'type': 'string'},
        'context': _FEATURES,
        'examples': {'type': 'array', 'items': _FEATURES, 'minItems': 1},
    },
    'required': ['examples'],
}
_ERROR = {
    'type': 'object',
    'properties': {'error': {'type': 'string'}},
    'required': ['error'],
}
_STATUS = {
    'type': 'object',
    'properties': {'model_version_status': {'type': 'array'}},
    'required': ['model_version_status'],
}
_VERSION = {
    'name': 'version',
    'in': 'path',
    'required': True,
    'schema': {'type': 'integer', 'minimum': 0},
}
_LABEL = {
    'name': 'label',
    'in': 'path',
    'required': True,
    'schema': {'type': 'string', 'pattern': '^[^/:]+$', 'minLength': 1},
}
# 408: the body came too slowly; 413: it was too large; 503, 504: too much at once.
_REFUSALS = ('400', '404', '408', '413', '429', '501', '503', '504')


def description(model):
    """Describes the server.

    Args:
      model: name of the model.

    Returns:
      dict of JSON values.
    """
    paths = {
        '/monitoring/prometheus/metrics': {'get': _operation('Metrics', text=True)},
        '/openapi.json': {'get': _operation('This description', {'type': 'object'})},
        '/seen': {
            'post': {
                'summary': 'An image as the network sees it',
                'requestBody': {
                    'content': {
                        'application/octet-stream': {
                            'schema': {'type': 'string', 'format': 'binary'}
                        }
                    }
                },
                'responses': {
                    '200': {'description': 'PNG', 'content': {'image/png': {}}},
                    **_errors(),
                },
            }
        },
    }
    for tail, parameters in (
        ('', []),
        ('/versions/{version}', [_VERSION]),
        ('/labels/{label}', [_LABEL]),
    ):
        base = f'/v1/models/{model}{tail}'
        paths[base] = {'get': _operation('Status', _STATUS, parameters)}
        paths[base + '/metadata'] = {
            'get': _operation('Signatures', {'type': 'object'}, parameters)
        }
        for method, body, key in (
            ('predict', _PREDICT, None),
            ('classify', _CLASSIFY, 'results'),
            ('regress', _CLASSIFY, 'results'),
        ):
            reply = {'type': 'object', 'required': [key] if key else []}
            operation = _operation(method, reply, parameters)
            operation['requestBody'] = {
                'required': True,
                'content': {'application/json': {'schema': body}},
            }
            paths[f'{base}:{method}'] = {'post': operation}
    return {
        'openapi': '3.0.3',
        'info': {
            'title': f'{model}: the REST API of TensorFlow Serving',
            'version': '1',
            'description': 'For trying a model out; in production run TensorFlow '
            'Serving.',
        },
        'paths': paths,
    }


def _operation(summary, schema=None, parameters=(), text=False):
    kind = 'text/plain' if text else 'application/json'
    content = {kind: {'schema': schema or {'type': 'string'}}}
    return {
        'summary': summary,
        'parameters': list(parameters),
        'responses': {'200': {'description': 'OK', 'content': content}, **_errors()},
    }


def _errors():
    content = {'application/json': {'schema': _ERROR}}
    return {code: {'description': 'Error', 'content': content} for code in _REFUSALS}
