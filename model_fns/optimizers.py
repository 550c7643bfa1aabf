"""The optimizers, made from their settings."""

import tensorflow as tf

from model_fns import errors
from model_fns.settings import OPTIMIZERS, OptimizerSettings

__all__ = ['OPTIMIZERS', 'AdamW', 'OptimizerSettings', 'make']

v1 = tf.compat.v1


class AdamW(v1.train.AdamOptimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019, algorithm 2).

    Before each step `w -= learning_rate * weight_decay * w`: the learning rate takes
    the place of the paper's schedule multiplier, as in PyTorch and Keras, so that a
    decay found there can be used here.
    """

    def __init__(self, learning_rate, weight_decay, decay_min_rank=2, **kwargs):
        """Makes the optimizer.

        Args:
            learning_rate: number or float32 scalar tensor.
            weight_decay: see the class.
            decay_min_rank: variables of a lower rank do not decay.
            **kwargs: of `AdamOptimizer`.
        """
        super().__init__(learning_rate, name='AdamW', **kwargs)
        self._weight_decay = weight_decay
        self._decay_min_rank = decay_min_rank

    # At this depth, and not around `apply_gradients`, because here a strategy has
    # already summed the gradients and `var` is the one copy that is to be changed.
    def _resource_apply_dense(self, grad, var):
        if self._weight_decay == 0 or var.shape.rank < self._decay_min_rank:
            return super()._resource_apply_dense(grad, var)
        rate = tf.cast(self._lr_t, var.dtype.base_dtype)
        # Behind the gradient: it is that of the weights before the decay, and nothing
        # else keeps the decay from running before the network has read them.
        with tf.control_dependencies([grad]):
            decay = var.assign_sub(
                rate * self._weight_decay * var.read_value(), read_value=False
            )
        with tf.control_dependencies([decay]):
            return super()._resource_apply_dense(grad, var)


def make(
    settings: OptimizerSettings, learning_rate, applied: tf.Tensor | None = None
) -> v1.train.Optimizer:
    """Makes the optimizer that `settings.name` names.

    Args:
        settings: what to make.
        learning_rate: number or float32 scalar tensor.
        applied: bool scalar; where it is false, a step changes nothing but the global
            step, neither variables nor slots. None: every step counts.
    """
    optimizer = _make(settings, learning_rate)
    if applied is not None:
        # Its class, not the object: the methods below call `super()`.
        kind = type(optimizer)
        optimizer.__class__ = type(kind.__name__, (_Skipping, kind), {})
        optimizer.applied = applied
    return optimizer


class _Skipping:
    """Puts what changes variables into a condition.

    At this depth, and not around `apply_gradients`, which under a strategy leaves its
    replica, as nothing inside of a condition may.
    """

    def _resource_apply_dense(self, grad, var):
        change = super()._resource_apply_dense
        return tf.cond(self.applied, lambda: change(grad, var), tf.no_op)

    def _finish(self, update_ops, name_scope):
        finish = super()._finish
        with tf.control_dependencies(update_ops):  # Adam's powers of beta come last.
            return tf.cond(self.applied, lambda: finish([], name_scope), tf.no_op)


def _make(settings, learning_rate):
    name = settings.name
    momentum = settings.momentum
    adam = {
        'beta1': settings.beta1,
        'beta2': settings.beta2,
        'epsilon': _or(settings.epsilon, 1e-8),
    }
    if name == 'sgd':
        return v1.train.GradientDescentOptimizer(learning_rate)
    if name == 'momentum':
        return v1.train.MomentumOptimizer(learning_rate, momentum)
    if name == 'nesterov':
        return v1.train.MomentumOptimizer(learning_rate, momentum, use_nesterov=True)
    if name == 'adam':
        return v1.train.AdamOptimizer(learning_rate, **adam)
    if name == 'adamw':
        return AdamW(
            learning_rate, settings.weight_decay, settings.decay_min_rank, **adam
        )
    if name == 'rmsprop':
        return v1.train.RMSPropOptimizer(
            learning_rate,
            decay=_or(settings.rho, 0.9),
            epsilon=_or(settings.epsilon, 1e-10),
        )
    if name == 'adagrad':
        return v1.train.AdagradOptimizer(learning_rate)
    if name == 'adadelta':
        # rho and epsilon of Zeiler, 2012, section 4.1; TensorFlow's own epsilon, 1e-8,
        # makes the first steps ten times as short.
        return v1.train.AdadeltaOptimizer(
            learning_rate,
            rho=_or(settings.rho, 0.95),
            epsilon=_or(settings.epsilon, 1e-6),
        )
    if name == 'ftrl':
        return v1.train.FtrlOptimizer(learning_rate)
    raise errors.unknown('--optimizer', 'optimizer', name, OPTIMIZERS)


def _or(value, default):
    return default if value is None else value
