"""From a network's name to a model_fn."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core import errors, graph_collections
from model_fns.heads import head, test_time_augmentation
from model_fns.heads.hard_example_mining import HardExampleMiner
from model_fns.heads.stochastic_ensemble import averaged
from model_fns.layers.frozen_backbone import BackboneSplit
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.network import Network
from model_fns.optimizers import ema, train_op
from model_fns.optimizers.config import (
    COMPUTE_DTYPES,
    CONV_GRADIENTS,
    OptimizerSpec,
    check_number,
)
from model_fns.optimizers.gradient_accumulation import loss_and_gradients
from model_fns.optimizers.loss_scaling import LossScale

v1 = tf.compat.v1


def make_model_fn(
    network: str | Callable,
    *,
    num_classes: int = 1,
    class_names: Sequence[str] | None = None,
    mean: float | Sequence[float] = 0.0,
    stddev: float | Sequence[float] = 1.0,
    network_args: Mapping[str, object] | None = None,
    optimizer: OptimizerSpec | None = None,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | None = None,
    loss: str = 'cross_entropy',
    eval_samples: int = 1,
    eval_views: tuple[bool, int] | None = None,
    export_views: bool = False,
    seed: int = 0,
    compute_dtype: str = 'float32',
    eval_dtype: str = 'float32',
    gradient_accumulation_steps: int = 1,
    xla: bool = False,
    conv_gradients: str = 'tensorflow',
    hard_example_fraction: float = 1.0,
    proxy: str | Callable | None = None,
    proxy_args: Mapping[str, object] | None = None,
) -> Callable:
    """Makes a model_fn that a bare `estimator.Estimator` can be given.

    Args:
        network: a name in `registry.names()`, or a function
            `build(net, images, num_classes, *, settings…) -> logits` of your own,
            where `net` is a `layers.LayerBuilder`.
        num_classes: of a classifier, at least 2; a regression has no use for it.
        class_names: their names, in order; None counts from '0'.
        mean: of the training pixels, in units 0..255: a number, or one per channel.
        stddev: their deviation, also.
        network_args: the network's settings that are not to have their defaults.
        optimizer: None takes `OptimizerSpec()`.
        label_smoothing: see `head.classification`.
        class_weights: see `head.classification`.
        loss: see `head.classification`.
        eval_samples: number of passes over which evaluation, prediction and export
            average, see passes.py.
        eval_views: (mirror, shift) of `views.views`: over which views of an image
            evaluation averages; None: over the image alone.
        export_views: whether prediction and export do so, too.
        seed: of the first weights and of the dropout.
        compute_dtype: one of `settings.COMPUTE_DTYPES`, in which training computes;
            weights, loss, metrics and batch-norm statistics stay float32. Prediction
            and export compute in float32.
        eval_dtype: also, for evaluation.
        gradient_accumulation_steps: number of equal parts in which a training batch
        goes through
            the network, one after the other; see parts.py.
        xla: compile the network and its gradients when training.
        conv_gradients: one of `settings.CONV_GRADIENTS`.
        hardest: the share of each batch, or of each part of it, that is trained on:
            the examples with the largest losses of `proxy`; 1: all. See hardest.py.
        proxy: a small network, as `network`; needed for `hard_example_fraction` below
        1.
        proxy_args: its settings that are not to have their defaults.

    Returns:
        `model_fn(features, labels, mode) -> EstimatorSpec`. A classifier reads
        `features['image']`, uint8 or floating [B, H, W, C] in units 0..255, with
        H, W and C known; a regression reads `features['x']`, floating [B, D]. Both hand
        `features['key']` on to their predictions and ignore all else, but for
        `features['features']`, see `frozen_backbone`, an attribute of the model_fn of a
        classifier; with it, training takes the shape of the images from
        `features['no_image']` and needs no 'image'. Its attribute `data_dependent_init`
        is a
        function (iterable of images, uint8 [B, H, W, C]) -> dict name -> array of
        first weights that are computed from training images, for
        `estimator_clf.training.data_dependent_init.DataDependentInitHook`; None for a
        network that has none.

    Raises:
        SettingError: an unknown network, setting or type; at once, not when training
            starts.
    """
    pictures = {'num_classes': num_classes, 'mean': mean, 'stddev': stddev}
    run = Network(network, network_args, **pictures)
    kind = run.kind
    if compute_dtype not in COMPUTE_DTYPES:
        raise errors.unknown('precision', 'type', compute_dtype, COMPUTE_DTYPES)
    if eval_dtype not in COMPUTE_DTYPES:
        raise errors.unknown('eval_precision', 'type', eval_dtype, COMPUTE_DTYPES)
    if conv_gradients not in CONV_GRADIENTS:
        raise errors.unknown('conv_gradients', 'kind', conv_gradients, CONV_GRADIENTS)
    check_number(
        'gradient_accumulation_steps', gradient_accumulation_steps, least=1, whole=True
    )
    check_number('eval_samples', eval_samples, least=1, whole=True)
    if eval_samples > 1 and (kind == 'regression' or loss != 'cross_entropy'):
        raise errors.SettingError(
            '`eval_samples` averages the probabilities of a softmax: it needs a '
            'classifier and `loss=cross_entropy`'
        )
    if eval_views and (kind == 'regression' or eval_samples > 1):
        raise errors.SettingError(
            '`eval_tta` is for images, and does not go together with `eval_samples`'
        )
    optimizer = optimizer or OptimizerSpec()
    picker = None
    if hard_example_fraction != 1:
        if kind == 'regression' or not proxy or class_weights is not None:
            raise errors.SettingError(
                '`hard_example_fraction` is for classifiers, needs `proxy`, and does not go together '
                'with `class_weights`'
            )
        picker = HardExampleMiner(hard_example_fraction, proxy, proxy_args, **pictures)
    elif proxy:
        raise errors.SettingError('`proxy` needs `hard_example_fraction` below 1')

    def train(inputs, labels, image_shape=None):
        if labels is None:
            raise ValueError('labels are needed to train and to evaluate, got None')
        if picker and image_shape:
            raise errors.SettingError(
                '`hard_example_fraction` does not go together with `cache_features`: the proxy looks '
                'at the images'
            )
        if kind == 'regression':
            loss_from = head.regression_loss(gradient_accumulation_steps)
        else:
            loss_from = head.classification_loss(
                labels,
                num_classes=num_classes,
                label_smoothing=label_smoothing,
                class_weights=class_weights,
                kind=loss,
                parts=gradient_accumulation_steps,
            )
        losses_of = functools.partial(
            head.example_losses,
            num_classes=num_classes,
            label_smoothing=label_smoothing,
            kind=loss,
        )
        built = []

        def loss_of(part, step, inputs, labels):
            cut = None
            if image_shape:
                inputs, cut = _without_images(inputs, image_shape)

            def layers(cut=None, frozen=optimizer.frozen):
                return LayerBuilder(
                    True,
                    seed,
                    compute_dtype,
                    frozen=frozen,
                    step=step,
                    part=part,
                    parts=gradient_accumulation_steps,
                    cut=cut,
                    conv_gradients=conv_gradients,
                )

            reuse = True if built else None
            if picker:
                # `freeze` speaks of the network that is trained.
                free = functools.partial(layers, frozen=lambda name: False)
                inputs, labels, losses = picker.choose(
                    free, inputs, labels, losses_of, reuse
                )
                aside = tf.reduce_mean(losses) / gradient_accumulation_steps
            logits = run(layers(cut), inputs, reuse)
            if not built:
                _refuse_keras_3()
                if cut:
                    cut.check(logits, optimizer.frozen)
            built.append(part)
            total, shown = loss_from(logits, labels)
            if picker:  # The proxy's loss has a gradient, and does not count.
                total += aside - tf.stop_gradient(aside)
            return total, shown

        loss_scale = LossScale() if compute_dtype == 'float16' else None
        total, shown, gradients, variables = loss_and_gradients(
            loss_of,
            (inputs, tf.convert_to_tensor(labels)),
            optimizer,
            parts=gradient_accumulation_steps,
            loss_scale=loss_scale,
            xla=xla,
        )
        op, rate = train_op.build_train_op(gradients, variables, optimizer, loss_scale)
        shown = {**shown, 'learning_rate': rate}
        if loss_scale:
            shown['loss_scale'] = loss_scale.value
        return head.training_spec(total, shown, op)

    def model_fn(features, labels, mode):
        if mode == estimator.ModeKeys.TRAIN and 'no_image' in features:
            shape = features['no_image'].shape[1:].as_list()
            return train(features['features'], labels, shape)
        inputs = _feature(features, 'x' if kind == 'regression' else 'image')
        if mode == estimator.ModeKeys.TRAIN:
            return train(inputs, labels)
        cut, frozen = None, lambda name: False
        if mode == estimator.ModeKeys.EVAL and 'features' in features:
            cut, frozen = BackboneSplit(inputs, features['features']), optimizer.frozen
        with contextlib.ExitStack() as stack:
            if optimizer.ema_decay or optimizer.lookahead:
                stack.enter_context(ema.reading(optimizer.frozen))

            def layers(number=0):
                return LayerBuilder(
                    False,
                    seed,
                    eval_dtype if mode == estimator.ModeKeys.EVAL else 'float32',
                    frozen=frozen,
                    pass_number=number,
                    cut=cut,
                )

            if eval_views and (mode == estimator.ModeKeys.EVAL or export_views):
                if cut:
                    raise errors.SettingError(
                        '`eval_tta` does not go together with `cache_features`'
                    )
                logits, net = test_time_augmentation.averaged(
                    run, layers, inputs, test_time_augmentation.views(*eval_views)
                )
            else:
                logits, net = averaged(run, layers, inputs, eval_samples)
        if cut:
            cut.check(logits, frozen)
        _refuse_keras_3()
        if mode == estimator.ModeKeys.EVAL:
            graph_collections.publish(
                graph_collections.EVAL_TENSORS, embeddings=net.dense_input
            )
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

    def frozen_backbone(features, training):
        """What the frozen part of the network makes of images, float32 [B, …].

        In training it computes in `compute_dtype`; the rest of the network, given this
        as `features['features']`, then does what it does behind the frozen part.

        Raises:
            SettingError: the network has no frozen part that could be cut off.
        """
        inputs = _feature(features, 'image')
        cut = BackboneSplit(inputs)
        dtype = compute_dtype if training else eval_dtype
        net = LayerBuilder(training, seed, dtype, frozen=optimizer.frozen, cut=cut)
        cut.check(run(net, inputs), optimizer.frozen)
        return tf.cast(cut.found, tf.float32)

    model_fn.data_dependent_init = (
        picker.data_dependent_init(run) if picker else run.data_dependent_init
    )
    if kind == 'classification':
        model_fn.frozen_backbone = frozen_backbone
        head.check_classification(
            num_classes, class_names, label_smoothing, class_weights, loss
        )
    return model_fn


def _without_images(features, image_shape):
    """Images that nobody will look at, and the cut that makes sure of it."""
    images = tf.zeros([tf.shape(features)[0], *image_shape], tf.uint8)
    images.set_shape([features.shape[0], *image_shape])
    return images, BackboneSplit(images, features)


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
    directory = os.path.dirname(os.path.abspath(keras.__file__)) + os.sep
    for variable in v1.global_variables():
        # A variable does not know who made it; its op's traceback does.
        if any(frame.filename.startswith(directory) for frame in variable.op.traceback):
            raise errors.SettingError(
                f'the variable {variable.name!r} belongs to a Keras 3 layer, which is '
                f'silently wrong inside an Estimator; use `model_fns.layers.layer_builder.LayerBuilder`, '
                f'or layers of the package tf_keras'
            )
