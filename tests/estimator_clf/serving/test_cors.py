"""Responses to cross-origin requests of web pages."""

import pytest

pytest.importorskip('tensorflow_serving', reason='needs the extra `serving`')
pytest.importorskip('aiohttp', reason='needs the extra `serving`')

from aiohttp.test_utils import make_mocked_request

from estimator_clf.core.errors import ConfigError
from estimator_clf.serving.cors import CorsPolicy

ORIGIN = 'https://example.org:8080'
ALLOWED = 'Access-Control-Allow-Origin'
ASKS = {'Origin': ORIGIN, 'Access-Control-Request-Method': 'POST'}


def request(headers, method='POST'):
    return make_mocked_request(method, '/', headers)


def test_without_an_origin_no_header_is_sent():
    policy = CorsPolicy(None)
    assert policy.headers(request({'Origin': ORIGIN})) == {}
    assert policy.preflight(request(ASKS, 'OPTIONS')) is None


def test_only_the_origin_may_read_responses():
    policy = CorsPolicy('https://Example.org:8080')
    assert policy.headers(request({'Origin': ORIGIN}))[ALLOWED] == ORIGIN
    for other in ('https://example.org', 'null', 'http://example.org:8080'):
        assert policy.headers(request({'Origin': other})) == {'Vary': 'Origin'}
    assert policy.headers(request({})) == {'Vary': 'Origin'}


def test_all_origins():
    headers = CorsPolicy('*').headers(request({'Origin': 'null'}))
    assert headers[ALLOWED] == '*' and 'Vary' not in headers


def test_preflight():
    policy = CorsPolicy(ORIGIN)
    response = policy.preflight(request(ASKS, 'OPTIONS'))
    assert response.status == 204
    assert 'POST' in response.headers['Access-Control-Allow-Methods']
    assert 'Content-Type' in response.headers['Access-Control-Allow-Headers']
    # OPTIONS without the headers of a preflight is a request like any other.
    assert policy.preflight(request({'Origin': ORIGIN}, 'OPTIONS')) is None
    assert policy.preflight(request(ASKS, 'POST')) is None


@pytest.mark.parametrize(
    'origin',
    ['', 'example.org', 'https://a.org/', 'https://a.org/x', 'a b', 'https://*.a.org'],
)
def test_invalid_origin(origin):
    with pytest.raises(ConfigError, match='`cors_origin` must be an origin'):
        CorsPolicy(origin)
