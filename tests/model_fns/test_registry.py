"""Networks are found, described and configured by name."""

import subprocess
import sys

import pytest

from estimator_clf.core.call_syntax import parse_call
from estimator_clf.core.errors import SettingError
from model_fns import registry


def test_networks_are_listed_with_one_line_each():
    names = registry.names()
    assert {'linear', 'mlp', 'cnn', 'linear_regression'} <= set(names)
    assert list(names) == sorted(names)
    assert all(len(line) > 10 and '\n' not in line for line in names.values())
    assert 'Softmax regression' in names['linear']


def test_registry_and_specs_do_not_import_tensorflow():
    code = (
        'import sys, model_fns\n'
        'from model_fns import registry\n'
        'registry.names()\n'
        'for name in registry.names(): registry.settings(name)\n'
        'model_fns.OptimizerSpec(name="adam")\n'
        'model_fns.ModelSpec("cnn", {"kernel": 3}, num_classes=2)\n'
        'model_fns.HeadSpec(hard_example_fraction=0.5, proxy="mlp")\n'
        'model_fns.RuntimeSpec()\n'
        'assert "tensorflow" not in sys.modules\n'
    )
    subprocess.run([sys.executable, '-c', code], check=True)


def test_every_network_can_be_loaded_and_has_a_head():
    for name in registry.names():
        assert callable(registry.get(name))
        assert registry.head(name) in ('classification', 'regression')
    assert registry.head('linear_regression') == 'regression'


def test_misspelled_network_suggests_and_lists():
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
        ('(hidden=(256, 128), dropout=0.5)', {'hidden': (256, 128), 'dropout': 0.5}),
        ('( hidden = 64 , kernel=3 )', {'hidden': (64,), 'kernel': 3}),
        ('(hidden=())', {'hidden': ()}),
        ('(dropout=0)', {'dropout': 0.0}),
        ('(batch_norm=true)', {'batch_norm': True}),
        ('(batch_norm=false)', {'batch_norm': False}),
        ('(activation=tanh)', {'activation': 'tanh'}),
    ],
)
def test_options_have_the_types_of_the_defaults(text, expected):
    typed = registry.typed_options(parse_call(f'cnn{text}', 'network'))
    assert typed == expected
    for key, value in typed.items():
        assert type(value) is type(expected[key])


@pytest.mark.parametrize(
    'text, message',
    [
        ('filter=8', "did you mean 'filters'"),
        ('filter=8', 'hidden=(1024,)'),
        ('3', 'key=value'),
        ('kernel=3.5', 'whole number'),
        ('hidden=(3, big)', 'tuple of whole numbers'),
        ('dropout=much', 'must be a number'),
        ('batch_norm=perhaps', 'true or false'),
    ],
)
def test_invalid_options_are_refused(text, message):
    with pytest.raises(SettingError, match='`network`') as e:
        registry.typed_options(parse_call(f'cnn({text})', 'network'))
    assert message in str(e.value)


def test_options_of_a_function_are_checked():
    def network(net, images, num_classes, *, units=3):
        del net, images, num_classes, units

    registry.check_args(network, {'units': 4})
    with pytest.raises(SettingError, match="option of 'network': 'unit'"):
        registry.check_args(network, {'unit': 4})
