"""Tests of the syntax of `extra_eval_sets`."""

import os

import pytest

from estimator_clf.config.eval_set_specs import EvalSetSpec, parse
from estimator_clf.core.errors import ConfigError


@pytest.mark.parametrize(
    'text, spec',
    [
        ('test', EvalSetSpec('test', 'test', '', '1epochs')),
        ('test(every=5epochs)', EvalSetSpec('test', 'test', '', '5epochs')),
        ('fit(train, every=100)', EvalSetSpec('fit', 'train', '', '100')),
        (
            'phone(data_dir=a/b, every=10%)',
            EvalSetSpec('phone', '', os.path.abspath('a/b'), '10%'),
        ),
        (
            'phone(test, data_dir=a/b)',
            EvalSetSpec('phone', 'test', os.path.abspath('a/b'), '1epochs'),
        ),
    ],
)
def test_parse(text, spec):
    assert parse(text) == (spec,)
    assert parse(f'{text}, other(x)')[0] == spec


@pytest.mark.parametrize(
    'text, words',
    [
        ('test(every=often)', 'must be a number of steps'),
        ('(test)', ''),
        ('name(', ''),
        ('name(a, b)', 'must be NAME'),
        ('name(color=red)', 'must be NAME'),
        ('train', 'cannot be the name of a set'),
        ('9(test)', 'cannot be the name of a set'),
        ('best(test)', 'cannot be the name of a set'),
        ('test,test(every=5)', 'must be given once'),
    ],
)
def test_invalid_entries(text, words):
    with pytest.raises(ConfigError, match=f'(?s)`extra_eval_sets.*{words}'):
        parse(text)
