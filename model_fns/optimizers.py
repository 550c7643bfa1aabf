"""The optimizers, and the one place where a train_op is made."""

import tensorflow as tf

from model_fns import errors, schedules
from model_fns.settings import OPTIMIZERS, OptimizerSettings

__all__ = ['OPTIMIZERS', 'AdamW', 'OptimizerSettings', 'make', 'train_op']

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
        decay = var.assign_sub(
            rate * self._weight_decay * var.read_value(), read_value=False
        )
        with tf.control_dependencies([decay]):
            return super()._resource_apply_dense(grad, var)


def make(settings: OptimizerSettings, learning_rate) -> v1.train.Optimizer:
    """Makes the optimizer that `settings.name` names.

    Args:
        settings: what to make.
        learning_rate: number or float32 scalar tensor.
    """
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


def train_op(loss: tf.Tensor, settings: OptimizerSettings):
    """Makes the op of one training step.

    In this order: the gradient of `loss`; clipped by the norm of all variables
    together; plus the weight decay, where it is not decoupled (so that clipping does
    not shrink the decay, and `loss` stays the plain loss); applied. The op also runs
    the updates in the collection `UPDATE_OPS` (batch normalisation) and increments the
    global step.

    Under a strategy it is called once per replica, as a model_fn is. Clipping then sums
    the gradients over the replicas first, at the price of a second all-reduce: it is
    the global batch's gradient that is clipped, not each replica's share.

    Args:
        loss: float32 scalar, the mean over the (replica's) batch.
        settings: how to train.

    Returns:
        The op, and the learning rate of this step as a float32 scalar tensor.

    Raises:
        ValueError: `loss` depends on no trainable variable.
    """
    step = v1.train.get_or_create_global_step()
    rate = schedules.learning_rate(
        step,
        base=settings.learning_rate,
        schedule=settings.schedule,
        total_steps=settings.total_steps,
        warmup_steps=settings.warmup_steps,
        decay_rate=settings.decay_rate,
        boundaries=settings.boundaries,
        power=settings.power,
        end=settings.end_learning_rate,
    )
    optimizer = make(settings, rate)
    pairs = [(g, v) for g, v in optimizer.compute_gradients(loss) if g is not None]
    if not pairs:
        raise ValueError('the loss depends on no trainable variable')
    # Dense, so that clipping and decay need not tell two kinds of gradient apart.
    gradients = [tf.convert_to_tensor(gradient) for gradient, _ in pairs]
    variables = [variable for _, variable in pairs]

    # `apply_gradients` sums over the replicas: what is to count once is divided first.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if settings.clip_norm:
        if replicas > 1:
            gradients = _sum_over_replicas(gradients, variables)
        gradients, _ = tf.clip_by_global_norm(gradients, settings.clip_norm)
        gradients = [gradient / replicas for gradient in gradients]
    if settings.weight_decay and settings.name != 'adamw':
        share = settings.weight_decay / replicas
        gradients = [
            g + share * v if v.shape.rank >= settings.decay_min_rank else g
            for g, v in zip(gradients, variables, strict=True)
        ]

    apply = optimizer.apply_gradients(
        list(zip(gradients, variables, strict=True)), global_step=step
    )
    # Not `control_dependencies` around the gradients: that would make the step wait for
    # the moving averages.
    updates = v1.get_collection(v1.GraphKeys.UPDATE_OPS)
    return tf.group(apply, *updates), rate


def _sum_over_replicas(gradients, variables):
    # Not `ReplicaContext.all_reduce`: it looks for the variables behind its arguments
    # by name, and in a graph does not find those of the second replica.
    def merged(strategy, gradients, variables):
        return strategy.extended.batch_reduce_to(
            tf.distribute.ReduceOp.SUM, list(zip(gradients, variables, strict=True))
        )

    context = tf.distribute.get_replica_context()
    return context.merge_call(merged, args=(gradients, variables))


def _or(value, default):
    return default if value is None else value
