"""The train_op: clipping, weight decay, update, averages of the weights."""

from collections.abc import Sequence

import tensorflow as tf

from estimator_clf.core import errors, variable_patterns
from estimator_clf.core.graph_collections import proxy_variable_names
from estimator_clf.core.variable_patterns import name_of
from model_fns.optimizers import ema, factory, lookahead, lr_schedules
from model_fns.optimizers.config import DECOUPLED, OptimizerSpec
from model_fns.optimizers.loss_scaling import LossScale

v1 = tf.compat.v1


def train_op(
    loss: tf.Tensor, settings: OptimizerSpec
) -> tuple[tf.Operation, tf.Tensor]:
    """Makes the op of one training step from its loss.

    Args:
      loss: float32 scalar, the mean over the batch of the replica.
      settings: how to train.

    Returns:
      The op, and the learning rate of the step, float32 scalar.

    Raises:
      ValueError: `loss` does not depend on a trainable variable.
      SettingError: a pattern that matches no variable, or no variable left to train.
    """
    variables = trained_variables(settings)
    return build_train_op(gradients(loss, variables), variables, settings)


def trained_variables(settings: OptimizerSpec) -> list[tf.Variable]:
    """Returns the trainable variables of the graph that are not frozen.

    Raises:
      SettingError: a pattern that matches no variable, or no variable left to train.
    """
    names = [name_of(v) for v in v1.global_variables()]
    names = [n for n in names if n != 'global_step' and not n.endswith(ema.SUFFIX)]
    variable_patterns.check_found('freeze', settings.freeze, names)
    variable_patterns.check_found('train_only', settings.train_only, names)
    trainable = v1.trainable_variables()
    # The patterns are about the main network, not about the proxy of hard example
    # mining.
    proxy = proxy_variable_names()
    trained = [
        v for v in trainable if name_of(v) in proxy or not settings.frozen(name_of(v))
    ]
    if trainable and all(name_of(v) in proxy for v in trained):
        given = ' and '.join(
            f'`{name}={",".join(getattr(settings, name))}`'
            for name in ('freeze', 'train_only')
            if getattr(settings, name)
        )
        raise errors.SettingError(
            f'{given} must leave something to train, but all variables are frozen'
        )
    for name in ('lr_multipliers', 'decay_multipliers'):
        variable_patterns.check_found(
            name,
            [pattern for pattern, _ in getattr(settings, name)],
            [name_of(v) for v in trained],
        )
    return trained


def gradients(
    loss: tf.Tensor, variables: Sequence[tf.Variable]
) -> list[tf.Tensor | None]:
    """Computes the gradient of the loss by each variable; None for an independent one.

    Dense, so that clipping and decay handle one kind of gradient only.
    """
    found = v1.gradients(loss, variables, gate_gradients=True) if variables else []
    return [g if g is None else tf.convert_to_tensor(g) for g in found]


def build_train_op(
    gradients: Sequence[tf.Tensor | None],
    variables: Sequence[tf.Variable],
    settings: OptimizerSpec,
    loss_scale: LossScale | None = None,
) -> tuple[tf.Operation, tf.Tensor]:
    """Makes the op of one training step from its gradients.

    In this order: clips the gradients by the norm of all variables together (those of
    the proxy of hard example mining by a norm of their own); adds the weight decay, if
    not decoupled (so that clipping does not shrink the decay, and the loss stays the
    plain loss); applies them; updates moving averages or lookahead. The op also runs
    the updates in the collection `UPDATE_OPS` (batch normalization) and increments the
    global step.

    Under a strategy it is called once per replica, like a model_fn. Clipping then sums
    the gradients over the replicas first, at the cost of a second all-reduce: the
    gradient of the global batch is clipped, not the share of each replica. Loss scaling
    does so, too: all replicas skip a step, or none.

    Args:
      gradients: of the mean loss of the batch of the replica, float32, one for each
        variable; None is skipped.
      variables: to train.
      settings: how to train.
      loss_scale: factor of the loss whose gradients these are.

    Returns:
      The op, and the learning rate of the step, float32 scalar.

    Raises:
      ValueError: all gradients are None.
      SettingError: lookahead on several replicas.
    """
    pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
    if not pairs:
        raise ValueError('the loss does not depend on a trainable variable')
    grads = [gradient for gradient, _ in pairs]
    variables = [variable for _, variable in pairs]
    averages = []
    if settings.ema_decay or settings.lookahead:
        averages = ema.make_averages(_averaged_variables(settings))
    step = v1.train.get_or_create_global_step()
    rate = lr_schedules.learning_rate(step, **settings.rate_arguments())

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if settings.lookahead and replicas > 1:
        raise errors.SettingError(
            '`lookahead` supports one device; set `replicas=1`, or use `ema_decay` '
            'instead'
        )
    # `apply_gradients` sums over the replicas: a mean is divided by their number first.
    if replicas > 1:
        grads = [gradient / replicas for gradient in grads]
    needs_sum = replicas > 1 and (settings.clip_norm or loss_scale)
    if needs_sum:
        grads = _sum_over_replicas(grads, variables)
    is_step_valid = None
    if loss_scale:
        grads = loss_scale.unscaled(grads)
        is_step_valid = loss_scale.is_step_valid(grads)
    if settings.clip_norm:
        grads = _clipped(grads, variables, settings.clip_norm)
    if needs_sum:
        grads = [gradient / replicas for gradient in grads]
    if settings.weight_decay and settings.name not in DECOUPLED:
        decays = [settings.decay_of(name_of(v), v.shape.rank) for v in variables]
        grads = [
            g + decay / replicas * v if decay else g
            for g, v, decay in zip(grads, variables, decays, strict=True)
        ]

    op = _apply(grads, variables, settings, rate, step, is_step_valid)
    # Not `control_dependencies` around the gradients: the step would wait for the
    # moving averages.
    ops = [op, *v1.get_collection(v1.GraphKeys.UPDATE_OPS)]
    if loss_scale:
        ops.append(loss_scale.update())
    if averages:
        with tf.control_dependencies(ops):
            if settings.lookahead:
                every, decay = settings.lookahead
                assert settings.total_steps is not None  # By `OptimizerSpec`.
                last = lookahead.update(averages, every, decay, settings.total_steps)
            else:
                last = ema.update(averages, settings.ema_decay, is_step_valid)
        ops = [last]
    return tf.group(*ops), rate


def _averaged_variables(settings):
    """Returns the variables of the main network that are not frozen."""
    proxy = proxy_variable_names()

    def is_averaged(name):
        if name == 'global_step' or name.startswith('loss_scale/'):
            return False
        return not settings.frozen(name) and name not in proxy

    return [v for v in v1.global_variables() if is_averaged(name_of(v))]


def _clipped(gradients, variables, norm):
    """Clips the gradients of the main network and of the proxy, each by its norm."""
    gradients, proxy = list(gradients), proxy_variable_names()
    is_proxy = [name_of(v) in proxy for v in variables]
    for network in set(is_proxy):
        places = [i for i, other in enumerate(is_proxy) if other == network]
        clipped, _ = tf.clip_by_global_norm([gradients[i] for i in places], norm)
        for place, gradient in zip(places, clipped, strict=True):
            gradients[place] = gradient
    return gradients


def _apply(gradients, variables, settings, rate, step, is_step_valid):
    """Applies the gradients, with the rate of each variable; increments the step."""
    groups = {1.0: []}
    for pair in zip(gradients, variables, strict=True):
        number = variable_patterns.multiplier(settings.lr_multipliers, name_of(pair[1]))
        groups.setdefault(number, []).append(pair)
    # One optimizer per rate: Adam is invariant to the scale of the gradient.
    last, *others = [(number, pairs) for number, pairs in groups.items() if pairs]
    ops = [
        factory.make(settings, rate * number, is_step_valid).apply_gradients(pairs)
        for number, pairs in others
    ]
    number, pairs = last
    with tf.control_dependencies(ops):
        return factory.make(settings, rate * number, is_step_valid).apply_gradients(
            pairs, global_step=step
        )


def _sum_over_replicas(gradients, variables):
    # Not `ReplicaContext.all_reduce`: it finds the variables of its arguments by name,
    # and in a graph does not find those of the second replica.
    def merged(strategy, gradients, variables):
        return strategy.extended.batch_reduce_to(
            tf.distribute.ReduceOp.SUM, list(zip(gradients, variables, strict=True))
        )

    context = tf.distribute.get_replica_context()
    return context.merge_call(merged, args=(gradients, variables))
