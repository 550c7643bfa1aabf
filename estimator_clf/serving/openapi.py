"""OpenAPI 3 document derived from the declared HTTP endpoints."""

import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiohttp import web

_PARAMETER = re.compile(r'{(\w+):([^{}]+)}')

# 408, 413: body too slow, too large; 429, 503, 504: too many requests, too slow a run.
_ERROR_CODES = ('400', '404', '408', '413', '429', '501', '503', '504')
_ERROR_SCHEMA = {
    'type': 'object',
    'properties': {'error': {'type': 'string'}},
    'required': ['error'],
}


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One HTTP method of one path.

    Attributes:
      method: 'get' or 'post'.
      path: in aiohttp's syntax, with parameters as `{name:regular expression}`.
      handler: coroutine function (path parameters, request body) -> response.
      summary: what it does, in one line.
      request: media type -> JSON schema of the body.
      response: media type of a successful response.
    """

    method: str
    path: str
    handler: Callable[[Mapping[str, str], bytes], Awaitable[web.Response]]
    summary: str
    request: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    response: str = 'application/json'


def describe(
    title: str, endpoints: Iterable[Endpoint], known: Mapping[str, list[str]]
) -> dict[str, Any]:
    """Returns the OpenAPI document of an API.

    Args:
      title: title of the API.
      endpoints: all endpoints.
      known: path parameter -> its only valid values, where there is a fixed set.
    """
    error = _content({'application/json': _ERROR_SCHEMA})
    errors = {code: {'description': 'Error', **error} for code in _ERROR_CODES}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operation: dict[str, Any] = {
            'summary': endpoint.summary,
            'parameters': [
                {
                    'name': name,
                    'in': 'path',
                    'required': True,
                    'schema': {'type': 'string', 'enum': known[name]}
                    if name in known
                    else {'type': 'string', 'pattern': f'^{pattern}$'},
                }
                for name, pattern in _PARAMETER.findall(endpoint.path)
            ],
            'responses': {
                '200': {'description': 'OK', **_content({endpoint.response: {}})},
                **errors,
            },
        }
        if endpoint.request:
            operation['requestBody'] = {'required': True, **_content(endpoint.request)}
        path = _PARAMETER.sub(r'{\1}', endpoint.path)
        paths.setdefault(path, {})[endpoint.method] = operation
    return {
        'openapi': '3.0.3',
        'info': {'title': title, 'version': '1'},
        'paths': paths,
    }


def _content(schemas: Mapping[str, Any]) -> dict[str, Any]:
    return {'content': {kind: {'schema': schema} for kind, schema in schemas.items()}}
