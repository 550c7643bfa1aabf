"""Every network that tells classes apart, as small as it can be."""

import pytest

from estimator_clf.core.errors import SettingError
from model_fns import registry
from model_fns.layers import keras_applications

CLASSIFIERS = [n for n in registry.names() if registry.head(n) == 'classification']

# Height and width that a network needs at least, where 8 are not enough.
LEAST = {'airbench': 9, 'alexnet': 64, 'pretrained': 32, 'squeezenet': 31}

# Where the defaults are large: settings that train in a moment.
SMALL = {
    'airbench': {'widths': (4, 4, 4)},
    'alexnet': {'hidden': (8,)},
    'alexnet_small': {'filters': (4, 4, 4, 4, 4), 'hidden': (8,)},
    'cnn': {'filters': (4,), 'hidden': (8,)},
    'deep_cnn': {'filters': (4, 4), 'hidden': (8,)},
    'fmp': {'filters': 4},
    'mlp': {'hidden': (8,)},
    'pretrained': {'name': 'MobileNet', 'alpha': 0.25},
    'resnet': {'depth': 18},
    'resnet_cifar': {'depth': 8, 'filters': 4},
}


def needs_keras(name):
    """Skips the test where what the network needs is not installed."""
    if name == 'pretrained':
        try:
            keras_applications.keras()
        except SettingError as missing:
            pytest.skip(str(missing))
