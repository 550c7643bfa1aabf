"""`weights`: the network's option of the same name, as a setting."""

import pytest

from estimator_clf.config.config import make_config
from estimator_clf.config.model_options import network_options
from estimator_clf.core.errors import ConfigError
from model_fns import registry


def config(network, **settings):
    return make_config(dataset='digits', network=network, **settings)


@pytest.mark.parametrize(
    'network, weights, source',
    [
        ('squeezenet', '', ''),
        ('squeezenet', 'auto', 'auto'),
        ('squeezenet', 'w.pth', 'w.pth'),
        ('squeezenet(weights=w.h5)', '', 'w.h5'),
        ('squeezenet(weights=auto)', 'auto', 'auto'),
        ('pretrained', '', 'imagenet'),
        ('pretrained', 'none', ''),
        ('pretrained(name=EfficientNetB0)', 'auto', 'auto'),
    ],
)
def test_weights_are_the_option_of_the_network(network, weights, source):
    made = config(network, weights=weights)
    name = made.network_call.name
    assert registry.weights(name, network_options(made)) == source


def test_the_option_does_not_change_without_the_setting():
    assert 'weights' not in network_options(config('pretrained'))


@pytest.mark.parametrize(
    'network, settings, words',
    [
        (
            'cnn',
            {'weights': 'auto'},
            r'networks with published weights \(pretrained, squeezenet\), got .*cnn',
        ),
        (
            'squeezenet(weights=a.h5)',
            {'weights': 'b.h5'},
            r'weights=b\.h5` and the network option weights=a\.h5 both name',
        ),
        (
            'squeezenet',
            {'weights': 'a.h5', 'warm_start': 'runs/other'},
            r'warm_start=runs/other` and .*weights=a\.h5 both name',
        ),
    ],
)
def test_contradictions_are_refused(network, settings, words):
    with pytest.raises(ConfigError, match=words):
        config(network, **settings)
