"""Stochastic ensemble: averages the predictions of several random forward passes."""

from collections.abc import Callable

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder


def average_probabilities(
    network: Callable,
    make_layers: Callable[[int], LayerBuilder],
    inputs: tf.Tensor,
    num_samples: int,
) -> tuple[tf.Tensor, LayerBuilder]:
    """Averages the probabilities of several forward passes over the same inputs.

    The probabilities are averaged, not the logits: Graham, 2014, section 4 ("12
    tests"). The passes run one after the other, so that several need the memory of one.

    Args:
      network: function (net, inputs, reuse) -> logits, floating [B, classes]; with
        `reuse` True it must reuse its variables.
      make_layers: function (index of the sample) -> `LayerBuilder` in inference mode.
      inputs: [B, …].
      num_samples: number of forward passes, at least 1.

    Returns:
      The logits of a single pass; of several, float32 [B, classes] whose softmax is the
      mean of all softmaxes. And the `LayerBuilder` of the last pass.

    Raises:
      SettingError: several passes of a network that is deterministic in inference.
    """
    net = make_layers(0)
    logits = network(net, inputs, None)
    if num_samples == 1:
        return logits, net
    if not net.is_stochastic:
        raise errors.SettingError(
            f'`eval_samples` above 1 requires a network that is stochastic outside of '
            f'training, such as fmp: with this one all {num_samples} samples would be '
            f'the same'
        )
    samples = [tf.nn.log_softmax(logits)]
    for index in range(1, num_samples):
        with tf.control_dependencies([samples[-1]]):
            net = make_layers(index)
            logits = network(net, tf.identity(inputs), True)
            samples.append(tf.nn.log_softmax(logits))
    # In log space: a probability that float32 rounds to 0 has a finite logarithm.
    mean = tf.reduce_logsumexp(tf.stack(samples), axis=0)
    return mean - tf.math.log(tf.constant(num_samples, mean.dtype)), net
