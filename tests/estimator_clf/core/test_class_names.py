"""Rules for the names of classes."""

import pytest

from estimator_clf.core.call_syntax import parse_list
from estimator_clf.core.class_names import (
    find_class,
    listed,
    name_fault,
    names_fault,
    natural_order,
)


@pytest.mark.parametrize(
    'name',
    ['cat', 'tench, Tinca tinca', 'a\xa0b', '👩\u200d🔬', ' x', 'grün', '"', '猫'],
)
def test_valid_names(name):
    assert name_fault(name) is None
    assert names_fault(['other', name]) is None


@pytest.mark.parametrize(
    'name,fault',
    [
        ('', 'is empty'),
        (' \xa0', 'is empty'),
        ('a\nb', 'U+000A'),
        ('a\tb', 'U+0009'),
        ('a\u2028b', 'U+2028'),
        ('caf\udce9', 'is not valid UTF-8'),
    ],
)
def test_invalid_names(name, fault):
    assert fault in name_fault(name)
    assert fault in names_fault(['a', name]) and 'class 1' in names_fault(['a', name])


def test_number_and_equality():
    assert 'at least two classes' in names_fault(['a'])
    assert 'at least two classes' in names_fault([])
    assert "0 and 2 have the same name, 'a'" in names_fault(['a', 'b', 'a'])
    fault = names_fault(['\u00e9', 'e\u0301'])
    assert r"'\xe9' and 'e\u0301'" in fault and 'normalization' in fault


def test_find_class_in_any_normalization():
    assert find_class('e\u0301', ['a', '\u00e9']) == 1
    assert find_class('e', ['a', '\u00e9']) is None


def test_natural_order():
    names = ['10', '9', '1', 'b10', 'b9', ' x', 'a', '007', '7', 'Z']
    expected = [' x', '1', '007', '7', '9', '10', 'Z', 'a', 'b9', 'b10']
    assert natural_order(names) == natural_order(reversed(names)) == expected


def test_list_can_be_parsed():
    names = ['tench, Tinca tinca', 'a=b', "it's", '"x"', ' y', 'f(x)', 'back\\\\slash']
    assert list(parse_list(listed(names), 'classes')) == names
