"""Averages over several passes of a network that is random outside of training."""

from collections.abc import Callable

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers.layer_builder import LayerBuilder


def averaged(run: Callable, layers: Callable[[int], LayerBuilder], inputs, passes: int):
    """Sends the same inputs through the network several times.

    The probabilities are averaged, not the logits: Graham, 2014, section 4 ("12
    tests"). One pass goes after the other, so that several take the memory of one.

    Args:
        run: function (net, inputs, reuse) -> logits, floating [B, classes]; where
            `reuse` is True it must use its variables again.
        layers: function (number of the pass) -> `LayerBuilder` that is not training.
        inputs: tensor.
        passes: how many, at least 1.

    Returns:
        The logits of one pass, or, of more, float32 [B, classes] such that their
        softmax is the mean of all softmaxes; and the `LayerBuilder` of the last pass.

    Raises:
        SettingError: several passes of a network in which nothing is random.
    """
    net = layers(0)
    logits = run(net, inputs, None)
    if passes == 1:
        return logits, net
    if not net.random:
        raise errors.SettingError(
            f'`eval_samples`: in this network nothing is random outside of training: '
            f'all {passes} passes would be the same; leave the flag out (fmp is a '
            f'network that gains by it)'
        )
    found = [tf.nn.log_softmax(logits)]
    for number in range(1, passes):
        with tf.control_dependencies([found[-1]]):
            net = layers(number)
            found.append(tf.nn.log_softmax(run(net, tf.identity(inputs), True)))
    # By logarithms: a probability that float32 rounds to 0 has a finite one.
    mean = tf.reduce_logsumexp(tf.stack(found), axis=0)
    return mean - tf.math.log(tf.constant(passes, mean.dtype)), net
