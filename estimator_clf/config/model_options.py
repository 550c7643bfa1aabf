"""Options of networks, as `network=mlp(hidden=(256, 128))` gives them."""

from typing import TYPE_CHECKING, Any

from estimator_clf.core.errors import ConfigError, for_argument
from model_fns import registry

if TYPE_CHECKING:
    from estimator_clf.config.config import Config


def network_options(config: 'Config') -> dict[str, Any]:
    """Returns dict option -> value of the network, with the types of its defaults.

    The setting `weights` is its option of the same name.

    Raises:
      SettingError: an unknown network or option, or a value of another type.
      ConfigError: `weights` for a network without published weights, or two values.
    """
    call, weights = config.network_call, config.model.weights
    options = registry.typed_options(call)
    if not weights:
        return options
    if 'weights' not in registry.settings(call.name):
        known = [n for n in registry.names() if 'weights' in registry.settings(n)]
        raise ConfigError(
            f'`weights` is for networks with published weights ({", ".join(known)}), '
            f'got `network={call.name}`; for weights of another run use `warm_start`'
        )
    if options.get('weights', weights) != weights:
        raise ConfigError(
            f'`weights={weights}` and the network option weights='
            f'{options["weights"]} both name the initial weights; give one'
        )
    return {**options, 'weights': weights}


def proxy_options(config: 'Config') -> dict[str, Any]:
    """Returns the options of the proxy network; an empty dict without one.

    Raises:
      SettingError: as `network_options`, about `proxy`.
    """
    if config.proxy_call is None:
        return {}
    with for_argument('proxy'):
        return registry.typed_options(config.proxy_call)
