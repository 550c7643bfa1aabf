"""Networks are found, described and configured by name."""

import subprocess
import sys

import pytest

from estimator_clf.core.errors import SettingError
from model_fns import registry


def test_first_networks_are_listed_with_a_line_about_each():
    names = registry.names()
    assert {'linear', 'mlp', 'cnn', 'linear_regression'} <= set(names)
    assert list(names) == sorted(names)
    assert all(len(line) > 10 and '\n' not in line for line in names.values())
    assert 'Softmax regression' in names['linear']


def test_listing_and_parsing_do_not_import_tensorflow():
    code = (
        'import sys, model_fns\n'
        'from model_fns import registry\n'
        'registry.names()\n'
        'for name in registry.names(): registry.settings(name)\n'
        'registry.parse_args("cnn", "kernel=3")\n'
        'model_fns.OptimizerSpec(name="adam")\n'
        'assert "tensorflow" not in sys.modules\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_every_network_can_be_loaded_and_has_a_head():
    for name in registry.names():
        assert callable(registry.get(name))
        assert registry.head(name) in ('classification', 'regression')
    assert registry.head('linear_regression') == 'regression'


def test_misspelt_network_suggests_and_lists():
    with pytest.raises(SettingError) as e:
        registry.get('cn')
    for text in ('`network`', "'cn'", "did you mean 'cnn'", 'linear', 'mlp'):
        assert text in str(e.value)


def test_settings_are_the_keyword_defaults():
    assert registry.settings('mlp') == {
        'hidden': (256, 128),
        'activation': 'relu',
        'dropout': 0.0,
    }
    assert registry.settings('linear') == {}


@pytest.mark.parametrize(
    'text, expected',
    [
        ('', {}),
        ('hidden=256x128,dropout=0.5', {'hidden': (256, 128), 'dropout': 0.5}),
        (' hidden = 64 , kernel=3 ', {'hidden': (64,), 'kernel': 3}),
        ('hidden=none', {'hidden': ()}),
        ('dropout=0', {'dropout': 0.0}),
        ('batch_norm=true', {'batch_norm': True}),
        ('batch_norm=0', {'batch_norm': False}),
        ('activation=tanh', {'activation': 'tanh'}),
    ],
)
def test_parse_args(text, expected):
    parsed = registry.parse_args('cnn', text)
    assert parsed == expected
    for key, value in parsed.items():
        assert type(value) is type(expected[key])


@pytest.mark.parametrize(
    'text, message',
    [
        ('filter=8', "did you mean 'filters'"),
        ('filter=8', 'hidden=1024'),
        ('kernel', 'setting=value'),
        ('kernel=3.5', 'whole number'),
        ('hidden=3xx4', "joined by 'x'"),
        ('dropout=nan', 'finite'),
        ('dropout=much', 'finite number'),
        ('batch_norm=perhaps', 'true or false'),
        ('kernel=3,kernel=5', 'twice'),
    ],
)
def test_parse_args_says_what_is_wrong(text, message):
    with pytest.raises(SettingError, match='`network_args`') as e:
        registry.parse_args('cnn', text)
    assert message in str(e.value)
