"""The one place where a train_op is made."""

import tensorflow as tf

from estimator_clf.core import errors, variable_patterns
from estimator_clf.core.graph_collections import proxy_variable_names
from estimator_clf.core.variable_patterns import name_of
from model_fns.optimizers import ema, factory, lookahead, lr_schedules
from model_fns.optimizers.config import DECOUPLED, OptimizerSpec
from model_fns.optimizers.loss_scaling import LossScale

v1 = tf.compat.v1


def train_op(loss: tf.Tensor, settings: OptimizerSpec):
    """Makes the op of one training step, from its loss.

    Args:
        loss: float32 scalar, the mean over the (replica's) batch.
        settings: how to train.

    Returns:
        The op, and the learning rate of this step as a float32 scalar tensor.

    Raises:
        ValueError: `loss` depends on no trainable variable.
        SettingError: a pattern that no variable's name has, or nothing left to train.
    """
    variables = trained_variables(settings)
    return build_train_op(gradients(loss, variables), variables, settings)


def trained_variables(settings: OptimizerSpec) -> list[tf.Variable]:
    """The trainable variables that there are and that are not frozen.

    Raises:
        SettingError: a pattern that no variable's name has, or nothing left to train.
    """
    there = [name_of(v) for v in v1.global_variables()]
    there = [n for n in there if n != 'global_step' and not n.endswith(ema.SUFFIX)]
    variable_patterns.check_found('freeze', settings.freeze, there)
    variable_patterns.check_found('train_only', settings.train_only, there)
    variables = v1.trainable_variables()
    # They speak of the network that is trained, not of one that chooses its examples.
    beside = proxy_variable_names()
    kept = [
        v for v in variables if name_of(v) in beside or not settings.frozen(name_of(v))
    ]
    if variables and all(name_of(v) in beside for v in kept):
        flags = ' and '.join(
            f'`{flag}={",".join(getattr(settings, flag))}`'
            for flag in ('freeze', 'train_only')
            if getattr(settings, flag)
        )
        raise errors.SettingError(
            f'{flags} must leave something to train, but nothing is left'
        )
    for name in ('lr_multipliers', 'decay_multipliers'):
        variable_patterns.check_found(
            name,
            [pattern for pattern, _ in getattr(settings, name)],
            [name_of(v) for v in kept],
        )
    return kept


def gradients(loss: tf.Tensor, variables) -> list[tf.Tensor | None]:
    """The gradient of the loss by each variable; None where it does not depend on it.

    Dense, so that clipping and decay need not tell two kinds of gradient apart.
    """
    found = v1.gradients(loss, variables, gate_gradients=True) if variables else []
    return [g if g is None else tf.convert_to_tensor(g) for g in found]


def build_train_op(
    gradients: list[tf.Tensor | None],
    variables: list[tf.Variable],
    settings: OptimizerSpec,
    loss_scale: LossScale | None = None,
):
    """Makes the op of one training step, from its gradients.

    In this order: the gradients clipped by the norm of all variables together (of the
    small network of `hard_example_fraction` by a norm of their own); plus the weight
    decay, where it
    is not decoupled (so that clipping does not shrink the decay, and the loss stays the
    plain loss); applied; moving averages or lookahead. The
    op also runs the updates in the collection `UPDATE_OPS` (batch normalization) and
    increments the global step.

    Under a strategy it is called once per replica, as a model_fn is. Clipping then sums
    the gradients over the replicas first, at the price of a second all-reduce: it is
    the global batch's gradient that is clipped, not each replica's share. So does loss
    scaling: all replicas skip a step, or none.

    Args:
        gradients: of the mean loss of the (replica's) batch, float32, one for each
            variable; those that are None are left out.
        variables: what to train.
        settings: how to train.
        loss_scale: by which the loss was multiplied before its gradient was taken.

    Returns:
        The op, and the learning rate of this step as a float32 scalar tensor.

    Raises:
        ValueError: all gradients are None.
    """
    pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    if not pairs:
        raise ValueError('the loss depends on no trainable variable')
    gradients = [gradient for gradient, _ in pairs]
    variables = [variable for _, variable in pairs]
    averaged = []
    if settings.ema_decay or settings.lookahead:
        beside = proxy_variable_names()
        averaged = ema.shadows(
            [
                v
                for v in v1.global_variables()
                if _in_network(v, settings) and name_of(v) not in beside
            ]
        )
    step = v1.train.get_or_create_global_step()
    rate = lr_schedules.learning_rate(step, **settings.rate_arguments())

    if settings.lookahead and tf.distribute.get_strategy().num_replicas_in_sync > 1:
        raise errors.SettingError(
            '`lookahead` is for one device; give `replicas=1`, or `ema_decay` instead'
        )
    # `apply_gradients` sums over the replicas: what is to count once is divided first.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas > 1:
        gradients = [gradient / replicas for gradient in gradients]
    whole = settings.clip_norm or loss_scale
    if whole and replicas > 1:
        gradients = _sum_over_replicas(gradients, variables)
    applied = None
    if loss_scale:
        gradients = loss_scale.unscaled(gradients)
        applied = loss_scale.is_step_valid(gradients)
    if settings.clip_norm:
        gradients = _clipped(gradients, variables, settings.clip_norm)
    if whole and replicas > 1:
        gradients = [gradient / replicas for gradient in gradients]
    if settings.weight_decay and settings.name not in DECOUPLED:
        shares = [settings.decay_of(name_of(v), v.shape.rank) for v in variables]
        gradients = [
            g + share / replicas * v if share else g
            for g, v, share in zip(gradients, variables, shares, strict=True)
        ]

    op = _apply(gradients, variables, settings, rate, step, applied)
    # Not `control_dependencies` around the gradients: that would make the step wait for
    # the moving averages.
    ops = [op, *v1.get_collection(v1.GraphKeys.UPDATE_OPS)]
    if loss_scale:
        ops.append(loss_scale.update())
    if averaged:
        with tf.control_dependencies(ops):
            if settings.lookahead:
                last = lookahead.update(
                    averaged, *settings.lookahead, settings.total_steps
                )
            else:
                last = ema.update(averaged, settings.ema_decay, applied)
        ops = [last]
    return tf.group(*ops), rate


def _clipped(gradients, variables, norm):
    """Each network's gradients by their own norm: the proxy of `hard_example_fraction` is another."""
    gradients, beside = list(gradients), proxy_variable_names()
    aside = [name_of(v) in beside for v in variables]
    for kind in set(aside):
        places = [n for n, other in enumerate(aside) if other == kind]
        clipped, _ = tf.clip_by_global_norm([gradients[n] for n in places], norm)
        for place, gradient in zip(places, clipped, strict=True):
            gradients[place] = gradient
    return gradients


def _apply(gradients, variables, settings, rate, step, applied):
    """Applies the gradients, at each variable's own rate; increments the step."""
    groups = {1.0: []}
    for pair in zip(gradients, variables, strict=True):
        number = variable_patterns.multiplier(settings.lr_multipliers, name_of(pair[1]))
        groups.setdefault(number, []).append(pair)
    # An optimizer for each rate: a multiplied gradient would be the same to Adam.
    last, *others = [(number, pairs) for number, pairs in groups.items() if pairs]
    ops = [
        factory.make(settings, rate * number, applied).apply_gradients(pairs)
        for number, pairs in others
    ]
    number, pairs = last
    with tf.control_dependencies(ops):
        return factory.make(settings, rate * number, applied).apply_gradients(
            pairs, global_step=step
        )


def _in_network(variable, settings):
    name = name_of(variable)
    own = name == 'global_step' or name.startswith('loss_scale/')
    return not own and not settings.frozen(name)


def _sum_over_replicas(gradients, variables):
    # Not `ReplicaContext.all_reduce`: it looks for the variables behind its arguments
    # by name, and in a graph does not find those of the second replica.
    def merged(strategy, gradients, variables):
        return strategy.extended.batch_reduce_to(
            tf.distribute.ReduceOp.SUM, list(zip(gradients, variables, strict=True))
        )

    context = tf.distribute.get_replica_context()
    return context.merge_call(merged, args=(gradients, variables))
