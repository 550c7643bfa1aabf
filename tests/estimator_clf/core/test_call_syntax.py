"""Tests of the syntax of structured settings."""

import pytest

from estimator_clf.core.call_syntax import (
    Call,
    parse_call,
    parse_calls,
    parse_list,
    parse_mapping,
    quote,
    write_value,
)
from estimator_clf.core.errors import ConfigError


@pytest.mark.parametrize(
    ('text', 'calls'),
    [
        ('', []),
        ('flip', [Call('flip')]),
        ('flip, crop(4)', [Call('flip'), Call('crop', (4,))]),
        (' crop ( 4 ) ', [Call('crop', (4,))]),
        ('mlp()', [Call('mlp')]),
        ('mlp(hidden=(256, 128), dropout=0.5)', [
            Call('mlp', (), {'hidden': (256, 128), 'dropout': 0.5})
        ]),
        ('f(x, y=1e-3, z=-2)', [Call('f', ('x',), {'y': 1e-3, 'z': -2})]),
        ('f(true, False, none)', [Call('f', (True, False, None))]),
        ('f((3,), ())', [Call('f', ((3,), ()))]),
        ("f(a='x, (y)=z')", [Call('f', (), {'a': 'x, (y)=z'})]),
        (r'f("a \"b\" \\ c\d")', [Call('f', (r'a "b" \ c\d',))]),
        ('f("1", "true")', [Call('f', ('1', 'true'))]),
        ('tfds:cifar10/x:1.0(shuffle_buffer=9)', [
            Call('tfds:cifar10/x:1.0', (), {'shuffle_buffer': 9})
        ]),
        ('fit(train, every=5epochs)', [Call('fit', ('train',), {'every': '5epochs'})]),
    ],
)  # fmt: skip
def test_calls_are_parsed(text, calls):
    assert list(parse_calls(text, 'augment')) == calls


@pytest.mark.parametrize('text', ['a', 'a(1)', 'a(b=(1, 2.5), c="x,y")', '"a,b"(true)'])
def test_a_written_call_is_parsed_to_the_same_call(text):
    call = parse_call(text, 'x')
    assert parse_call(str(call), 'x') == call


@pytest.mark.parametrize(
    'value',
    [1, -2.5, 1e-7, True, None, 'a', 'a b', '1', 'true', 'a,b', "it's", '(', ''],
)
def test_a_written_value_is_parsed_to_the_same_value(value):
    assert parse_call(f'f({write_value(value)})', 'x').args == (value,)
    assert parse_call(f'f({write_value((value,))})', 'x').args == ((value,),)


def test_lists_hold_any_text():
    assert parse_list('', 'classes') == ()
    assert parse_list('cat, dog', 'classes') == ('cat', 'dog')
    assert parse_list('1, 2.0', 'classes') == ('1', '2.0')
    names = ['tench, Tinca tinca', 'a "b"', "it's", 'x=y', '(z)', 'golden retriever']
    assert parse_list(', '.join(map(quote, names)), 'classes') == tuple(names)


def test_mappings_hold_any_text():
    text = 'cat=1, "tench, Tinca tinca"=2.5, ^vgg/='
    found = {'cat': '1', 'tench, Tinca tinca': '2.5', '^vgg/': ''}
    assert parse_mapping(text, 'class_weights') == found
    assert parse_mapping('', 'class_weights') == {}


@pytest.mark.parametrize(
    ('parse', 'text', 'words'),
    [
        (parse_calls, 'a b(', "',' must follow|value must follow"),
        (parse_calls, 'crop(4', "',' must follow"),
        (parse_calls, 'crop 4)', "',' must follow"),
        (parse_calls, 'f(a=1, 2)', 'without a key come first'),
        (parse_calls, 'f(a=1, a=2)', "'a' must be given once"),
        (parse_calls, 'f(a b=2)', 'plain name'),
        (parse_calls, ',flip', 'name or a value must follow'),
        (parse_calls, 'f("x)', 'quote " is not closed'),
        (parse_calls, 'f(1e999)', 'too large'),
        (parse_call, 'a, b', r'must be NAME or NAME\(key=value\)'),
        (parse_call, '', 'must be NAME'),
        (parse_list, 'a(b)', "',' must follow"),
        (parse_list, '"a', 'is not closed'),
        (parse_mapping, 'cat', 'must be KEY=VALUE'),
        (parse_mapping, 'cat=1, cat=2', "'cat' must be given once"),
    ],
)
def test_a_syntax_error_names_the_argument_and_the_place(parse, text, words):
    with pytest.raises(ConfigError, match=f'`argument`.*({words})'):
        parse(text, 'argument')
