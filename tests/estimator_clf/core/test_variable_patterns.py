"""Patterns of variables' names: reading, matching, refusals."""

import pytest

from estimator_clf.core import variable_patterns
from estimator_clf.core.errors import SettingError


def test_lists_are_read():
    assert variable_patterns.parse_patterns('freeze', ' conv1, norm. ,') == (
        'conv1',
        'norm.',
    )
    assert variable_patterns.parse_patterns('freeze', '') == ()
    found = variable_patterns.parse_multipliers('lr_multipliers', 'a:b$:0.1,bias:1e1')
    assert found == (('a:b$', 0.1), ('bias', 10.0))


def test_the_first_pattern_counts():
    pairs = (('conv1/kernel', 0.5), ('conv', 0.1))
    assert variable_patterns.multiplier(pairs, 'cnn/conv1/kernel') == 0.5
    assert variable_patterns.multiplier(pairs, 'cnn/conv1/bias') == 0.1
    assert variable_patterns.multiplier(pairs, 'cnn/logits/bias') == 1.0


@pytest.mark.parametrize(
    'text, message',
    [
        ('conv1', "must be written PATTERN:NUMBER, as in conv1:0.1, got 'conv1'"),
        ('conv1:fast', "got 'conv1:fast'"),
        (':2', "got ':2'"),
        ('conv1:0', "must be above 0 and finite, got 0.0 for 'conv1'"),
        ('conv1:inf', 'must be above 0 and finite'),
        ('(:2', "must be regular expressions, got '('"),
    ],
)
def test_what_is_no_multiplier_is_refused(text, message):
    with pytest.raises(SettingError) as e:
        variable_patterns.parse_multipliers('lr_multipliers', text)
    assert '`lr_multipliers`' in str(e.value) and message in str(e.value)


def test_what_is_no_pattern_is_refused():
    with pytest.raises(SettingError, match=r"`freeze` must be regular .* got 'a\["):
        variable_patterns.parse_patterns('freeze', 'a[')


def test_a_pattern_that_finds_nothing_lists_the_names():
    variable_patterns.check_found('freeze', ['v1'], ['net/conv1/kernel'])
    with pytest.raises(SettingError, match=r"'conv2' in its name.*net/conv1/kernel"):
        variable_patterns.check_found(
            'freeze', ['conv1', 'conv2'], ['net/conv1/kernel']
        )
