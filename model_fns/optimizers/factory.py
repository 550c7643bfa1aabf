"""The optimizers, made from their settings."""

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.optimizers.adamw import AdamW
from model_fns.optimizers.config import OPTIMIZERS, OptimizerSpec
from model_fns.optimizers.muon import Muon

__all__ = ['OPTIMIZERS', 'AdamW', 'Muon', 'OptimizerSpec', 'make']

v1 = tf.compat.v1


def make(
    settings: OptimizerSpec, learning_rate, applied: tf.Tensor | None = None
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
        return AdamW(learning_rate, settings.decay_of, **adam)
    if name == 'muon':
        return Muon(
            learning_rate,
            momentum,
            settings.decay_of,
            epsilon=adam['epsilon'],
            rescale=settings.normalize_weights,
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
    raise errors.unknown('optimizer', 'optimizer', name, OPTIMIZERS)


def _or(value, default):
    return default if value is None else value
