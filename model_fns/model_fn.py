"""From a network's name to a model_fn."""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from estimator_clf.compat import estimator

import tensorflow as tf

from model_fns import averaging, errors, head, registry, training, watched
from model_fns.layers import Layers
from model_fns.loss_scale import LossScale
from model_fns.parts import loss_and_gradients
from model_fns.passes import averaged
from model_fns.settings import COMPUTE_DTYPES, OptimizerSettings, check_number
from model_fns.standardize import standardize

v1 = tf.compat.v1


def make_model_fn(
    network: str | Callable,
    *,
    num_classes: int = 1,
    class_names: Sequence[str] | None = None,
    mean: float | Sequence[float] = 0.0,
    stddev: float | Sequence[float] = 1.0,
    network_args: Mapping[str, object] | None = None,
    optimizer: OptimizerSettings | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
    loss: str = 'cross_entropy',
    eval_passes: int = 1,
    seed: int = 0,
    compute_dtype: str = 'float32',
    accumulate_steps: int = 1,
    xla: bool = False,
) -> Callable:
    """Makes a model_fn that a bare `estimator.Estimator` can be given.

    Args:
        network: a name in `registry.names()`, or a function
            `build(net, images, num_classes, *, settings…) -> logits` of your own,
            where `net` is a `layers.Layers`.
        num_classes: of a classifier, at least 2; a regression has no use for it.
        class_names: their names, in order; None counts from '0'.
        mean: of the training pixels, in units 0..255: a number, or one per channel.
        stddev: their deviation, likewise.
        network_args: the network's settings that are not to have their defaults.
        optimizer: None takes `OptimizerSettings()`.
        label_smoothing: see `head.classification`.
        class_weights: see `head.classification`.
        loss: see `head.classification`.
        eval_passes: number of passes over which evaluation, prediction and export
            average, see passes.py.
        seed: of the first weights and of the dropout.
        compute_dtype: one of `settings.COMPUTE_DTYPES`, in which training computes;
            weights, loss, metrics and batch-norm statistics stay float32. Evaluation,
            prediction and export compute in float32.
        accumulate_steps: number of equal parts in which a training batch goes through
            the network, one after the other; see parts.py.
        xla: compile the network and its gradients when training.

    Returns:
        `model_fn(features, labels, mode) -> EstimatorSpec`. A classifier reads
        `features['image']`, uint8 or floating [B, H, W, C] in units 0..255, with
        H, W and C known; a regression reads `features['x']`, floating [B, D]. Both hand
        `features['key']` on to their predictions and ignore all else.

    Raises:
        SettingError: an unknown network, setting or type; at once, not when training
            starts.
    """
    if callable(network):
        build, name, kind = network, network.__name__, 'classification'
    else:
        build, name = registry.get(network), network
        kind = registry.head(network)
    network_args = dict(network_args or {})
    registry.check_args(build, network_args)
    if compute_dtype not in COMPUTE_DTYPES:
        raise errors.unknown('--precision', 'type', compute_dtype, COMPUTE_DTYPES)
    check_number('accumulate_steps', accumulate_steps, least=1, whole=True)
    check_number('eval_passes', eval_passes, least=1, whole=True)
    if eval_passes > 1 and (kind == 'regression' or loss != 'cross_entropy'):
        raise errors.SettingError(
            '--eval_passes averages the probabilities of a softmax: it needs a '
            'classifier and --loss=cross_entropy'
        )
    optimizer = optimizer or OptimizerSettings()

    def run(net, inputs, reuse=None):
        if kind == 'regression':
            inputs, outputs = tf.cast(inputs, tf.float32), 1
        else:
            inputs, outputs = standardize(inputs, mean, stddev), num_classes
        with v1.variable_scope(name, reuse=reuse):
            outputs = _built(build, net, inputs, outputs, network_args)
        return tf.cast(outputs, tf.float32)

    def train(inputs, labels):
        if labels is None:
            raise ValueError('labels are needed to train and to evaluate, got None')
        if kind == 'regression':
            loss_from = head.regression_loss(accumulate_steps)
        else:
            loss_from = head.classification_loss(
                labels,
                num_classes=num_classes,
                label_smoothing=label_smoothing,
                class_weights=class_weights,
                kind=loss,
                parts=accumulate_steps,
            )
        built = []

        def loss_of(part, step, inputs, labels):
            net = Layers(
                True,
                seed,
                compute_dtype,
                frozen=optimizer.frozen,
                step=step,
                part=part,
                parts=accumulate_steps,
            )
            logits = run(net, inputs, reuse=True if built else None)
            if not built:
                _refuse_keras_3()
            built.append(part)
            return loss_from(logits, labels)

        loss_scale = LossScale() if compute_dtype == 'float16' else None
        total, shown, gradients, variables = loss_and_gradients(
            loss_of,
            (inputs, tf.convert_to_tensor(labels)),
            optimizer,
            parts=accumulate_steps,
            loss_scale=loss_scale,
            xla=xla,
        )
        op, rate = training.apply(gradients, variables, optimizer, loss_scale)
        shown = {**shown, 'learning_rate': rate}
        if loss_scale:
            shown['loss_scale'] = loss_scale.value
        return head.training_spec(total, shown, op)

    def model_fn(features, labels, mode):
        inputs = _feature(features, 'x' if kind == 'regression' else 'image')
        if mode == estimator.ModeKeys.TRAIN:
            return train(inputs, labels)
        with contextlib.ExitStack() as stack:
            if optimizer.ema_decay:
                stack.enter_context(averaging.reading(optimizer.frozen))
            logits, net = averaged(
                run,
                lambda number: Layers(False, seed, pass_number=number),
                inputs,
                eval_passes,
            )
        _refuse_keras_3()
        if mode == estimator.ModeKeys.EVAL:
            watched.offer(embeddings=net.dense_input)
        if kind == 'regression':
            return head.regression(mode, features, logits, labels, optimizer=optimizer)
        return head.classification(
            mode,
            features,
            logits,
            labels,
            num_classes=num_classes,
            class_names=class_names,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
            loss=loss,
            optimizer=optimizer,
        )

    if kind == 'classification':
        head.check_classification(
            num_classes, class_names, label_smoothing, class_weights, loss
        )
    return model_fn


def _built(build, net, inputs, outputs, network_args):
    try:
        return build(net, inputs, outputs, **network_args)
    except errors.SettingError as error:
        if str(error).startswith('--'):
            raise
        # A layer knows its own name, not where its setting came from.
        raise errors.SettingError(f'--network_args: {error}') from None


def _feature(features, name):
    if not isinstance(features, Mapping) or name not in features:
        got = sorted(features) if isinstance(features, Mapping) else type(features)
        raise ValueError(f'features must be a dict that holds {name!r}, got {got}')
    value = tf.convert_to_tensor(features[name])
    if name == 'image' and (value.shape.rank != 4 or None in value.shape[1:]):
        raise ValueError(
            f"features['image'] must be [B, H, W, C] with H, W and C known when the "
            f'graph is built, got {value.shape}; set the shape in the input_fn'
        )
    return value


def _refuse_keras_3():
    """Raises if the network holds a Keras 3 layer.

    In a graph of TensorFlow 1 such a layer trains, but its moving averages never move:
    the model is wrong and nothing says so. `tf_keras` does not have this fault.
    """
    keras = sys.modules.get('keras')
    if not getattr(keras, '__version__', '').startswith('3.'):
        return
    folder = os.path.dirname(os.path.abspath(keras.__file__)) + os.sep
    for variable in v1.global_variables():
        # A variable does not know who made it; its op's traceback does.
        if any(frame.filename.startswith(folder) for frame in variable.op.traceback):
            raise errors.SettingError(
                f'the variable {variable.name!r} belongs to a Keras 3 layer, which is '
                f'silently wrong inside an Estimator; use `model_fns.layers.Layers`, '
                f'or layers of the package tf_keras'
            )
