"""Patterns of variable names: matching and refusals."""

import pytest

from estimator_clf.config import parsers
from estimator_clf.core import variable_patterns
from estimator_clf.core.errors import SettingError, UserError


def test_lists_are_parsed():
    assert parsers.parse_patterns(' conv1, norm. ', 'freeze') == ('conv1', 'norm.')
    assert parsers.parse_patterns('', 'freeze') == ()
    found = parsers.parse_multipliers('"a:b$"=0.1, bias=1e1', 'lr_multipliers')
    assert found == (('a:b$', 0.1), ('bias', 10.0))


def test_first_matching_pattern_counts():
    pairs = (('conv1/kernel', 0.5), ('conv', 0.1))
    assert variable_patterns.multiplier(pairs, 'cnn/conv1/kernel') == 0.5
    assert variable_patterns.multiplier(pairs, 'cnn/conv1/bias') == 0.1
    assert variable_patterns.multiplier(pairs, 'cnn/logits/bias') == 1.0


@pytest.mark.parametrize(
    'text, message',
    [
        ('conv1', 'lr_multipliers'),
        ('conv1=fast', 'got conv1=fast'),
        ('=2', 'lr_multipliers'),
        ('conv1=0', "must be above 0 and finite, got 0.0 for 'conv1'"),
        ('conv1=inf', 'must be above 0 and finite'),
        ('"("=2', "must be regular expressions, got '('"),
    ],
)
def test_invalid_multiplier_is_refused(text, message):
    with pytest.raises(UserError) as e:
        parsers.parse_multipliers(text, 'lr_multipliers')
    assert '`lr_multipliers' in str(e.value) and message in str(e.value)


def test_invalid_pattern_is_refused():
    with pytest.raises(SettingError, match=r"`freeze` must be regular .* got 'a\["):
        variable_patterns.check_patterns('freeze', ['a['])
    with pytest.raises(SettingError, match='must be a list of patterns'):
        variable_patterns.check_patterns('freeze', 'conv1')


def test_pattern_without_match_lists_the_names():
    variable_patterns.check_found('freeze', ['v1'], ['net/conv1/kernel'])
    with pytest.raises(SettingError, match=r"'conv2' in its name.*net/conv1/kernel"):
        variable_patterns.check_found(
            'freeze', ['conv1', 'conv2'], ['net/conv1/kernel']
        )
