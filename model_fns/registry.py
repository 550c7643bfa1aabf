"""Which networks there are, and which settings each one takes.

A network is one file in `networks/`, holding one function under `@register('name')`.
Listing them for `--help` imports neither the networks nor TensorFlow.
"""

import functools
import importlib
import inspect
import math
from collections.abc import Callable, Mapping

from estimator_clf.core import errors
from estimator_clf.core.call_syntax import Call, write_value
from estimator_clf.core.registry import Registry, register

__all__ = [
    'NETWORKS',
    'arguments',
    'check_args',
    'data_dependent_init',
    'get',
    'head',
    'names',
    'parse_args',
    'published',
    'random',
    'register',
    'settings',
    'weights',
]

NETWORKS = Registry('model_fns.networks', 'network', errors.SettingError)


def names() -> dict[str, str]:
    """Every network's name with the first line of its docstring, sorted by name."""
    return NETWORKS.names()


def get(name: str) -> Callable:
    """Imports a network: `build(net, inputs, num_classes, **settings) -> logits`.

    Raises:
        SettingError: there is no such network; the message suggests the nearest.
    """
    return NETWORKS.get(name)


def head(name: str) -> str:
    """Which function of `model_fns.heads.head` the outputs go to; imports nothing.

    Raises:
        SettingError: there is no such network.
    """
    return NETWORKS.facts(name).get('head', 'classification')


def random(name: str) -> bool:
    """Whether a network is random outside of training; imports nothing.

    Raises:
        SettingError: there is no such network.
    """
    return NETWORKS.facts(name).get('random', False)


def settings(name: str) -> dict[str, object]:
    """A network's settings with their defaults, as declared; imports nothing.

    Raises:
        SettingError: there is no such network.
    """
    return NETWORKS.options(name)


def weights(name: str, network_args: Mapping[str, object]) -> str:
    """The source of weights that a network's own settings name, or ''.

    Raises:
        SettingError: there is no such network.
    """
    named = {**settings(name), **network_args}.get('weights', 'none')
    return '' if named == 'none' else named


def published(name: str, network_args: Mapping[str, object]):
    """How Keras's files lay out what a network has; see `pretrained.published`.

    Returns:
        None for a network of our own.

    Raises:
        SettingError: there is no such network, or not with these settings.
    """
    if not NETWORKS.facts(name).get('published'):
        return None
    module = importlib.import_module(NETWORKS.get(name).__module__)
    return module.published(**network_args)


def data_dependent_init(
    name: str, network_args: Mapping[str, object]
) -> Callable | None:
    """The function that computes some of the first weights from training images.

    Returns:
        Function (iterable of standardized images, float32 [B, H, W, C]) -> dict name
        of a variable -> array; None for a network whose weights all begin by chance.

    Raises:
        SettingError: there is no such network.
    """
    if not NETWORKS.facts(name).get('data_dependent_init'):
        return None
    module = importlib.import_module(NETWORKS.get(name).__module__)
    return functools.partial(module.data_dependent_init, **network_args)


def arguments(build: Callable) -> dict[str, object]:
    """The keyword-only arguments of a network's function with their defaults."""
    parameters = inspect.signature(build).parameters.values()
    return {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}


def parse_args(name: str, text: str) -> dict[str, object]:
    """Reads a network's settings as written on a command line.

    Args:
        name: the network.
        text: `'hidden=256x128,dropout=0.5'`. Each value is read as the type of the
            setting's default. Several whole numbers are joined by `x`; an empty
            tuple is written `none`.

    Returns:
        The settings that `text` names, and only those.

    Raises:
        SettingError: an unknown network or setting, a setting given twice, or a value
            that is not of the setting's type.
    """
    defaults = settings(name)
    parsed = {}
    for item in filter(None, (part.strip() for part in text.split(','))):
        key, equals, value = (part.strip() for part in item.partition('='))
        if not equals:
            raise errors.SettingError(
                f'`network_args`: {item!r} must be written setting=value'
            )
        _check_key(name, key, defaults)
        if key in parsed:
            raise errors.SettingError(f'`network_args`: {key!r} is given twice')
        parsed[key] = _parse_value(key, value, defaults[key])
    return parsed


def typed_options(call: Call) -> dict[str, object]:
    """Returns the options of a network, `mlp(hidden=256)`, with their defaults' types.

    Args:
        call: name of a network and its options.

    Returns:
        The options that the call names, and only those.

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


def check_args(build: Callable, network_args: Mapping[str, object]) -> None:
    """Makes sure that a network has all the settings that `network_args` names.

    Raises:
        SettingError: it has not; the message lists the ones it has.
    """
    defaults = arguments(build)
    for key in network_args:
        _check_key(build.__name__, key, defaults)


def _check_key(network, key, defaults):
    if key not in defaults:
        listed = [f'{name}={_written(value)}' for name, value in defaults.items()]
        what = f'setting of {network!r}:'
        raise errors.unknown('network_args', what, key, listed)


def _parse_value(key, text, default):
    # bool before int: a bool is an int to Python.
    if isinstance(default, bool):
        kind, read = 'true or false', _parse_bool
    elif isinstance(default, int):
        kind, read = 'a whole number', int
    elif isinstance(default, float):
        kind, read = 'a finite number', _parse_float
    elif isinstance(default, tuple):
        kind, read = "whole numbers joined by 'x', or 'none'", _parse_tuple
    else:
        return text
    try:
        return read(text)
    except ValueError:
        raise errors.SettingError(
            f'`network_args`: {key} must be {kind}, as in {key}={_written(default)}; '
            f'got {text!r}'
        ) from None


def _parse_bool(text):
    values = {'true': True, '1': True, 'false': False, '0': False}
    if text.lower() not in values:
        raise ValueError(text)
    return values[text.lower()]


def _parse_float(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _parse_tuple(text):
    if text.lower() == 'none':
        return ()
    return tuple(int(part) for part in text.split('x'))


def _written(value):
    """A setting's value as it would be written in `network_args`."""
    if isinstance(value, tuple):
        return 'x'.join(str(part) for part in value) or 'none'
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
