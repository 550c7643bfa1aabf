"""Factory of optimizers."""

from typing import Any

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.optimizers.adamw import AdamW
from model_fns.optimizers.config import OPTIMIZERS, OptimizerSpec
from model_fns.optimizers.muon import Muon

__all__ = ['OPTIMIZERS', 'AdamW', 'Muon', 'OptimizerSpec', 'make']

v1 = tf.compat.v1


def make(
    settings: OptimizerSpec,
    learning_rate: float | tf.Tensor,
    is_step_valid: tf.Tensor | None = None,
) -> Any:
    """Makes the optimizer `settings.name`, a `tf.compat.v1.train.Optimizer`.

    Args:
      settings: the optimizer.
      learning_rate: number or float32 scalar.
      is_step_valid: bool scalar; where false, a step changes neither variables nor
        slots, only the global step. None: always true.
    """
    optimizer = _make(settings, learning_rate)
    if is_step_valid is not None:
        # Of the class, not the object, because the methods below call `super()`.
        kind = type(optimizer)
        optimizer.__class__ = type(kind.__name__, (_Skipping, kind), {})
        optimizer.is_step_valid = is_step_valid
    return optimizer


class _Skipping:
    """Makes the updates of an optimizer conditional.

    At this level, not around `apply_gradients`, which under a strategy leaves its
    replica, and nothing inside of a condition may.
    """

    is_step_valid: tf.Tensor

    def _resource_apply_dense(self, grad, var):
        update = super()._resource_apply_dense
        return tf.cond(self.is_step_valid, lambda: update(grad, var), tf.no_op)

    def _finish(self, update_ops, name_scope):
        finish = super()._finish
        with tf.control_dependencies(update_ops):  # Adam's powers of beta come last.
            return tf.cond(self.is_step_valid, lambda: finish([], name_scope), tf.no_op)


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
            normalize_weights=settings.normalize_weights,
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
