"""Training on the hardest examples of each batch, which a small network chooses."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from estimator_clf.core import errors
from estimator_clf.core.graph_collections import PROXY_VARIABLES
from model_fns.layers.network import Network
from model_fns.optimizers.config import check_number

v1 = tf.compat.v1

_SCOPE = 'proxy'


class HardExampleMiner:
    """Leaves of each batch the share with the largest losses.

    Losses are those of a network beside the one that is trained, the proxy, so small
    that to send all examples through it costs little, and trained along with it on the
    examples that are left: easy examples, from which little is left to learn, cost next
    to nothing. Selection of a batch by losses is Loshchilov and Hutter's ("Online Batch
    Selection for Faster Training of Neural Networks", 2015, arXiv:1511.06343), by those
    of a smaller network Coleman et al.'s ("Selection via Proxy", 2020,
    arXiv:1906.11829), and half of each batch, by a proxy that is trained on that half,
    Jordan's (airbench96_faster, github.com/KellerJordan/cifar10-airbench).
    """

    def __init__(
        self,
        share: float,
        proxy: str | Callable,
        args: Mapping[str, object] | None = None,
        **pictures,
    ):
        """Makes it.

        Args:
            share: of the examples of a batch that are left, above 0 and below 1.
            proxy: a classifier, see `Network`.
            args: its settings.
            **images: the further arguments of `Network`.

        Raises:
            SettingError: another share, an unknown proxy or setting, or a regression.
        """
        check_number('hard_example_fraction', share, above=0, below=1)
        with errors.for_argument('proxy'):
            self._proxy = Network(proxy, args, **pictures)
        if self._proxy.kind != 'classification':
            raise errors.SettingError(
                f'`proxy` must be a network for images, got {self._proxy.name!r}'
            )
        self._share = share

    def choose(
        self,
        make_layers: Callable,
        inputs: tf.Tensor,
        labels: tf.Tensor,
        losses_of: Callable,
        reuse: bool | None = None,
    ):
        """Sends a batch, or a part of it, through the proxy.

        Args:
            make_layers: function without arguments -> `LayerBuilder`.
            inputs: images [B, H, W, C] in units 0..255.
            labels: [B] or [B, classes].
            losses_of: function (logits, labels) -> the loss of each example, float32
                [B].
            reuse: True uses the variables that are there again.

        Returns:
            The images and the labels that are left, N = share * B, rounded, at least
            1; and the proxy's losses on them, float32 [N].
        """
        before = {v.name for v in v1.global_variables()}
        with v1.variable_scope(_SCOPE, reuse=reuse), errors.for_argument('proxy'):
            logits = self._proxy(make_layers(), inputs)
        for variable in v1.global_variables():
            if variable.name not in before:
                v1.add_to_collection(PROXY_VARIABLES, variable)
        losses = losses_of(logits, labels)
        chosen = tf.math.top_k(losses, self._count(losses), sorted=False).indices
        # In the order of the batch: `top_k` promises none.
        chosen = tf.sort(chosen)
        return tuple(tf.gather(x, chosen) for x in (inputs, labels, losses))

    def _count(self, losses):
        size = losses.shape[0]
        if size is not None:
            return max(1, round(self._share * size))
        count = tf.round(self._share * tf.cast(tf.shape(losses)[0], tf.float32))
        return tf.maximum(1, tf.cast(count, tf.int32))

    def data_dependent_init(self, network: Network):
        """`Network.data_dependent_init` of a network and of the proxy beside it, in one.

        Where both have one, it goes through the images twice.
        """
        kinds = [
            ('', network.data_dependent_init),
            (f'{_SCOPE}/', self._proxy.data_dependent_init),
        ]
        kinds = [(scope, fit) for scope, fit in kinds if fit]
        if not kinds:
            return None

        def first_weights(batches):
            return {
                scope + name: value
                for scope, fit in kinds
                for name, value in fit(batches).items()
            }

        return first_weights
