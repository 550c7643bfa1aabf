"""Options of networks, as `network=mlp(hidden=(256, 128))` gives them."""

from typing import TYPE_CHECKING, Any

from estimator_clf.core.errors import for_argument
from model_fns import registry

if TYPE_CHECKING:
    from estimator_clf.config.config import Config


def network_options(config: 'Config') -> dict[str, Any]:
    """Returns dict option -> value of the network, with the types of its defaults.

    Raises:
      SettingError: an unknown network or option, or a value of another type.
    """
    return registry.typed_options(config.network_call)


def proxy_options(config: 'Config') -> dict[str, Any]:
    """Returns the options of the proxy network; an empty dict without one.

    Raises:
      SettingError: as `network_options`, about `proxy`.
    """
    if config.proxy_call is None:
        return {}
    with for_argument('proxy'):
        return registry.typed_options(config.proxy_call)
