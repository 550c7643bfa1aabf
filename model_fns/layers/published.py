"""Weight files of published networks: their layers, and where the files are."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from model_fns.layers.keras_functional import KerasLayer


class FindFile(Protocol):
    """Returns the path of a published file, after a download if needed."""

    def __call__(self, name: str, url: str | None, digest: str | None) -> str:
        """Finds a file.

        Args:
          name: of the file, as published.
          url: where it is; None: nowhere.
          digest: its MD5 or SHA-256 in hexadecimal; None: not published.

        Raises:
          UserError: it is not found.
        """


class TorchLayout(NamedTuple):
    """A network in torchvision's `state_dict` files.

    Attributes:
      modules: dict prefix such as 'features.0' -> name of the Keras layer.
      adapt: changes the converted arrays of the layers for the preprocessing of this
        network, in place.
    """

    modules: Mapping[str, str]
    adapt: Callable[[dict[str, list[np.ndarray]]], None] | None = None


class Published(NamedTuple):
    """A network in weight files.

    Attributes:
      layers: as in Keras's files.
      fetch: function (find) that returns the published weights: the path of a file, or
        dict layer -> arrays.
      torch: the network in torchvision's files; None: it has other weights there.
      torch_hint: what to change for torchvision's files, for messages.
    """

    layers: Sequence[KerasLayer]
    fetch: Callable[[FindFile], str | Mapping[str, Sequence[np.ndarray]]]
    torch: TorchLayout | None = None
    torch_hint: str = ''
