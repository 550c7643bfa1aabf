"""Loss and gradients of one step, with gradient accumulation and optional XLA."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.optimizers import train_op
from model_fns.optimizers.config import OptimizerSpec
from model_fns.optimizers.loss_scaling import LossScale

v1 = tf.compat.v1

# Collections that building a network adds to, except those of variables.
_COLLECTIONS = (v1.GraphKeys.UPDATE_OPS, v1.GraphKeys.SUMMARIES)


def loss_and_gradients(
    loss_of: Callable,
    batch: Sequence[tf.Tensor],
    settings: OptimizerSpec,
    *,
    num_microbatches: int = 1,
    loss_scale: LossScale | None = None,
    xla: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor], list[tf.Tensor | None], list[tf.Variable]]:
    """Computes loss and gradients of a batch.

    Each micro-batch waits for the gradients of the one before, so that memory holds the
    activations of one micro-batch at a time. The sums of loss and gradients are those
    of the whole batch, within rounding, where the outputs for an example depend on that
    example alone. With batch normalization they do not: each micro-batch has its own
    mean and variance, as on a device of its own.

    Args:
      loss_of: function (index of the micro-batch, global step, *tensors of the
        micro-batch) -> (its share of the loss of the batch, dict tag -> its share of a
        metric of the batch). It is called several times and must reuse its variables.
        The index is a number or an int64 scalar, the global step an int64 scalar.
      batch: tensors [B, ...].
      settings: which variables are trained.
      num_microbatches: number of equal micro-batches, processed in order.
      loss_scale: factor of the loss whose gradient is computed; the returned loss is
        not scaled.
      xla: compile network and gradients, to one kernel for each micro-batch.

    Returns:
      Loss and metrics of the batch, gradients as returned by `train_op.gradients`, and
      their variables.

    Raises:
      SettingError: `num_microbatches` does not divide the batch, or this TensorFlow has
        no XLA.
    """
    microbatches = _split(batch, num_microbatches)
    # Once, before it could be incremented; and XLA need not read the variable.
    step = tf.cast(v1.train.get_or_create_global_step(), tf.int64)

    def compute(index, step, *tensors):
        loss, metrics = loss_of(index, step, *tensors)
        scaled = loss * loss_scale.value if loss_scale else loss
        gradients = train_op.gradients(scaled, train_op.trained_variables(settings))
        # The results of a function cannot be None.
        named = {str(i): g for i, g in enumerate(gradients) if g is not None}
        return loss, metrics, named

    if xla:
        compute = _compiled(compute, lambda: loss_of(0, step, *microbatches[0]))
    total: Any = None
    count = None
    for index, tensors in enumerate(microbatches):
        # The moving averages of batch normalization are updated in order, too, or the
        # last bit of a run would depend on which micro-batch comes first.
        before = [*tf.nest.flatten(total), *v1.get_collection(v1.GraphKeys.UPDATE_OPS)]
        with tf.control_dependencies(before if index else []):
            tensors = [tf.identity(tensor) for tensor in tensors]
            results = compute(tf.constant(index, tf.int64), step, *tensors)
            if count not in (None, len(v1.global_variables())):
                raise errors.SettingError(
                    '`gradient_accumulation_steps` builds the network several times on '
                    'one set of variables, but this one makes new ones each time: use '
                    '`tf.compat.v1.get_variable`, as '
                    '`model_fns.layers.layer_builder.LayerBuilder` does'
                )
            if total is not None:
                results = tf.nest.map_structure(tf.add, total, results)
        total, count = results, len(v1.global_variables())
    loss, metrics, gradients = total
    variables = train_op.trained_variables(settings)
    ordered = [gradients.get(str(i)) for i in range(len(variables))]
    return loss, metrics, ordered, variables


def _split(batch, num_microbatches):
    if num_microbatches == 1:
        return [batch]
    size = batch[0].shape[0]
    if size is not None and size % num_microbatches:
        raise errors.SettingError(
            f'`gradient_accumulation_steps` must divide the {size} examples of a step '
            f'on a device, got {num_microbatches}'
        )
    splits = (tf.split(tensor, num_microbatches) for tensor in batch)
    return list(zip(*splits, strict=True))


def _compiled(function, build):
    """Compiles a function to one kernel; `build` makes its variables before."""
    if not tf.test.is_built_with_xla():
        raise errors.SettingError(
            f'`xla`: TensorFlow {tf.__version__}, as installed here, was built without '
            'XLA; set `xla=false`'
        )
    # A compiled function cannot make variables. The other ops of this call are not
    # used, and a session prunes them.
    with _restored_collections():
        build()

    def on_current_device(*tensors):
        # Devices inside of the function, which a strategy would set, let TensorFlow
        # fuse ops for them, before compiling, to ops that XLA does not have.
        with tf.device(None):
            return function(*tensors)

    return tf.function(on_current_device, autograph=False, jit_compile=True)


@contextlib.contextmanager
def _restored_collections():
    before = {name: list(v1.get_collection(name)) for name in _COLLECTIONS}
    yield
    for name, items in before.items():
        v1.get_collection_ref(name)[:] = items
