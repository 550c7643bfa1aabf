"""Registry of networks and their options.

A network is one file in `networks/` with a function under `@register('name')`. Listing
them, for instance for `--help`, imports neither the networks nor TensorFlow.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from estimator_clf.core import errors
from estimator_clf.core.call_syntax import Call, write_value
from estimator_clf.core.registry import Registry, register

if TYPE_CHECKING:
    from model_fns.layers.published import Published

__all__ = [
    'NETWORKS',
    'arguments',
    'check_args',
    'data_dependent_init',
    'get',
    'head',
    'names',
    'published',
    'random',
    'register',
    'settings',
    'typed_options',
    'weights',
]

NETWORKS = Registry('model_fns.networks', 'network', errors.SettingError)


def names() -> dict[str, str]:
    """Returns dict name of a network -> first line of its docstring, sorted by name."""
    return NETWORKS.names()


def get(name: str) -> Callable:
    """Imports a network: `build(net, inputs, num_classes, **settings) -> logits`.

    Raises:
      SettingError: an unknown network; the message suggests the nearest name.
    """
    return NETWORKS.get(name)


def head(name: str) -> str:
    """Returns the head of a network, 'classification' or 'regression'.

    Raises:
      SettingError: an unknown network.
    """
    return NETWORKS.facts(name).get('head', 'classification')


def random(name: str) -> bool:
    """Returns whether a network is stochastic outside of training.

    Raises:
      SettingError: an unknown network.
    """
    return NETWORKS.facts(name).get('random', False)


def settings(name: str) -> dict[str, object]:
    """Returns the options of a network with their defaults, as declared.

    Raises:
      SettingError: an unknown network.
    """
    return NETWORKS.options(name)


def weights(name: str, network_args: Mapping[str, object]) -> str:
    """Returns the source of the pretrained weights in a network's options, or ''.

    Raises:
      SettingError: an unknown network.
    """
    source = {**settings(name), **network_args}.get('weights', 'none')
    return '' if source == 'none' else str(source)


def published(name: str, network_args: Mapping[str, object]) -> 'Published | None':
    """Returns the layers of a network in weight files, and how to find these.

    Returns:
      None for a network without published weights.

    Raises:
      SettingError: an unknown network or an invalid option.
    """
    if not NETWORKS.facts(name).get('published'):
        return None
    module = importlib.import_module(NETWORKS.get(name).__module__)
    return module.published(**network_args)


def data_dependent_init(
    name: str, network_args: Mapping[str, object]
) -> Callable | None:
    """Returns the function that computes initial weights from training images.

    Returns:
      Function (iterable of normalized images, float32 [B, H, W, C]) -> dict name of a
      variable -> array; None for a network without data-dependent initialization.

    Raises:
      SettingError: an unknown network.
    """
    if not NETWORKS.facts(name).get('data_dependent_init'):
        return None
    module = importlib.import_module(NETWORKS.get(name).__module__)
    return functools.partial(module.data_dependent_init, **network_args)


def arguments(build: Callable) -> dict[str, object]:
    """Returns the keyword-only arguments of a function with their defaults."""
    parameters = inspect.signature(build).parameters.values()
    return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}


def typed_options(call: Call) -> dict[str, object]:
    """Returns the options of a network, `mlp(hidden=256)`, with their defaults' types.

    Args:
      call: name of a network and its options.

    Returns:
      The options in the call only.

    Raises:
      SettingError: an unknown network or option, a positional value, or a value of
        another type than the default.
    """
    defaults = settings(call.name)
    if call.args:
        raise errors.SettingError(
            f'`network`: options are written key=value, as in {call.name}('
            f'{next(iter(defaults), "option")}=...), got {call}'
        )
    typed = {}
    for key, value in call.kwargs.items():
        _check_key(call.name, key, defaults)
        typed[key] = _typed(key, value, defaults[key])
    return typed


def check_args(network: str | Callable, network_args: Mapping[str, object]) -> None:
    """Checks that a network has all the options in `network_args`.

    Raises:
      SettingError: an unknown network or option; the message lists those it has.
    """
    if isinstance(network, str):
        name, defaults = network, settings(network)
    else:
        name, defaults = network.__name__, arguments(network)
    for key in network_args:
        _check_key(name, key, defaults)


def _typed(key, value, default):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, tuple):
        kind = 'a tuple of whole numbers'
        value = value if isinstance(value, tuple) else (value,)
        valid = all(type(part) is int for part in value)
    elif isinstance(default, bool):
        kind, valid = 'true or false', isinstance(value, bool)
    elif isinstance(default, int):
        kind, valid = 'a whole number', is_number and value == int(value)
        value = int(value) if valid else value
    elif isinstance(default, float):
        kind, valid = 'a number', is_number
        value = float(value) if valid else value
    else:
        kind, valid = 'text', True
        value = 'none' if value is None else str(value)
    if not valid:
        raise errors.SettingError(
            f'`network`: the option {key} must be {kind}, as in '
            f'{key}={write_value(default)}; got {write_value(value)}'
        )
    return value


def _check_key(network, key, defaults):
    if key not in defaults:
        listed = [f'{name}={write_value(value)}' for name, value in defaults.items()]
        raise errors.unknown('network', f'option of {network!r}:', key, listed)
