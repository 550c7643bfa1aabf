"""Loss and gradients of one step: in one go or in parts, compiled or not."""

import contextlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.optimizers import train_op
from model_fns.optimizers.config import OptimizerSpec
from model_fns.optimizers.loss_scaling import LossScale

v1 = tf.compat.v1

# What building a network leaves in the graph besides variables.
_TRACES = (v1.GraphKeys.UPDATE_OPS, v1.GraphKeys.SUMMARIES)


def loss_and_gradients(
    loss_of: Callable,
    batch: Sequence[tf.Tensor],
    settings: OptimizerSpec,
    *,
    parts: int = 1,
    loss_scale: LossScale | None = None,
    xla: bool = False,
):
    """Sends a batch through the network and back.

    In parts, each waits for the gradients of the one before: what has to be in memory
    at one time are the activations of one part. The sums of loss and gradients are
    those of the whole batch, within rounding, where an example's outputs depend on that
    example alone. Batch normalization is where they do not: each part has its own
    mean and variance, as on a device of its own.

    Args:
        loss_of: function (part, step, *tensors of the part) -> (the part's share in the
            batch's loss, dict tag -> the part's share in a metric of the batch). Called
            several times, it must use its variables again. `part` is a number or an
            int64 scalar, `step` the global step, int64.
        batch: tensors [B, ...].
        settings: which variables are trained.
        parts: number of equal parts, one after the other.
        loss_scale: multiplies the loss whose gradient is taken; the loss that is
            returned is not multiplied.
        xla: compile it, network and gradients, to one kernel for each part.

    Returns:
        The batch's loss, its metrics (dict), gradients as `training.gradients` gives
        them, and the variables that they belong to.

    Raises:
        SettingError: `parts` does not divide the batch, or this TensorFlow has no XLA.
    """
    pieces = _cut(batch, parts)
    # Once, before anything could increment it; and XLA need not read the variable.
    step = tf.cast(v1.train.get_or_create_global_step(), tf.int64)

    def one(part, step, *tensors):
        loss, shown = loss_of(part, step, *tensors)
        scaled = loss * loss_scale.value if loss_scale else loss
        found = train_op.gradients(scaled, train_op.trained_variables(settings))
        # A function's results cannot be None.
        found = {str(i): g for i, g in enumerate(found) if g is not None}
        return loss, shown, found

    if xla:
        one = _compiled(one, lambda: loss_of(0, step, *pieces[0]))
    total, count = None, None
    for part, tensors in enumerate(pieces):
        # The moving averages of batch normalization, too: in order, or the last bit of
        # a run would depend on which part comes first.
        before = [*tf.nest.flatten(total), *v1.get_collection(v1.GraphKeys.UPDATE_OPS)]
        with tf.control_dependencies(before if part else []):
            tensors = [tf.identity(tensor) for tensor in tensors]
            found = one(tf.constant(part, tf.int64), step, *tensors)
            if count not in (None, len(v1.global_variables())):
                raise errors.SettingError(
                    '`gradient_accumulation_steps` builds the network several times on one set of '
                    'variables; this one makes new ones each time: let it use '
                    '`tf.compat.v1.get_variable`, as `model_fns.layers.layer_builder.LayerBuilder` does'
                )
            if total is not None:
                found = tf.nest.map_structure(tf.add, total, found)
        total, count = found, len(v1.global_variables())
    loss, shown, found = total
    variables = train_op.trained_variables(settings)
    return loss, shown, [found.get(str(i)) for i in range(len(variables))], variables


def _cut(batch, parts):
    if parts == 1:
        return [batch]
    size = batch[0].shape[0]
    if size is not None and size % parts:
        raise errors.SettingError(
            f'`gradient_accumulation_steps` must divide the {size} examples of a step on a '
            f'device, got {parts}'
        )
    return list(zip(*(tf.split(tensor, parts) for tensor in batch), strict=True))


def _compiled(function, build):
    """Makes one kernel of a function, whose variables `build` makes before."""
    if not tf.test.is_built_with_xla():
        raise errors.SettingError(
            f'`xla`: TensorFlow {tf.__version__}, as installed here, was built without '
            'XLA; leave the flag out'
        )
    # A compiled function cannot make variables. What else this leaves in the graph
    # nothing asks for, and a session drops it.
    with _leaving_no_traces():
        build()

    def anywhere(*tensors):
        # It runs where it is called. Devices inside, which a strategy would set, let
        # TensorFlow merge ops for them, before compiling, to such as XLA does not know.
        with tf.device(None):
            return function(*tensors)

    return tf.function(anywhere, autograph=False, jit_compile=True)


@contextlib.contextmanager
def _leaving_no_traces():
    before = {name: list(v1.get_collection(name)) for name in _TRACES}
    yield
    for name, items in before.items():
        v1.get_collection_ref(name)[:] = items
