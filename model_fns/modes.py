"""Training, evaluation and prediction of a model: features to `EstimatorSpec`."""

import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Mapping, Sequence

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core import errors, graph_collections
from model_fns.heads import estimator_spec, losses
from model_fns.heads.classification import classification
from model_fns.heads.hard_example_mining import HardExampleMiner
from model_fns.heads.regression import regression
from model_fns.heads.stochastic_ensemble import average_probabilities
from model_fns.heads.test_time_augmentation import augmented_views, average_logits
from model_fns.layers.frozen_backbone import BackboneSplit
from model_fns.layers.layer_builder import LayerBuilder
from model_fns.layers.network import Network
from model_fns.optimizers import ema, train_op
from model_fns.optimizers.config import OptimizerSpec
from model_fns.optimizers.gradient_accumulation import loss_and_gradients
from model_fns.optimizers.loss_scaling import LossScale
from model_fns.specs import HeadSpec, ModelSpec, RuntimeSpec

v1 = tf.compat.v1
ModeKeys = estimator.ModeKeys


@dataclasses.dataclass(frozen=True)
class ModelContext:
    """Specifications and networks of a model, shared by all modes.

    Attributes:
      model: network, classes and input normalization.
      head: loss, evaluation and prediction.
      optimizer: how to train.
      runtime: seed, precision and execution.
      network: the network of `model`.
      miner: hard example mining; None: without.
    """

    model: ModelSpec
    head: HeadSpec
    optimizer: OptimizerSpec
    runtime: RuntimeSpec
    network: Network
    miner: HardExampleMiner | None = None

    @classmethod
    def make(
        cls,
        model: ModelSpec,
        head: HeadSpec,
        optimizer: OptimizerSpec,
        runtime: RuntimeSpec,
    ) -> 'ModelContext':
        """Looks up the networks.

        Raises:
          SettingError: `head` does not fit `model`.
        """
        head.check_model(model)
        miner = None
        if head.proxy:
            proxy = ModelSpec(
                head.proxy,
                head.proxy_args,
                num_classes=model.num_classes,
                mean=model.mean,
                stddev=model.stddev,
            )
            miner = HardExampleMiner(head.hard_example_fraction, proxy)
        return cls(model, head, optimizer, runtime, Network(model), miner)


def train(
    context: ModelContext,
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor | None,
) -> estimator.EstimatorSpec:
    """Makes the `EstimatorSpec` of training.

    Args:
      context: the model.
      features: `image`, or `x` of a regression; or the output of the frozen backbone as
        `features`, with the shape of the images as that of `no_image`.
      labels: [B] or [B, classes].

    Raises:
      SettingError: a setting that the network cannot use.
      ValueError: missing or malformed features or labels.
    """
    if 'no_image' in features:
        inputs = features['features']
        image_shape = features['no_image'].shape[1:].as_list()
    else:
        inputs, image_shape = _inputs(context, features), None
    labels = losses.required_labels(labels)
    if context.miner and image_shape:
        raise errors.SettingError(
            '`hard_example_fraction` below 1 and `cache_features` cannot be combined: '
            'the proxy needs the images'
        )
    runtime = context.runtime
    num_microbatches = runtime.gradient_accumulation_steps
    if context.model.kind == 'regression':
        loss_fn = losses.regression_loss(num_microbatches)
    else:
        loss_fn = losses.classification_loss(
            labels, context.model.num_classes, context.head, num_microbatches
        )
    loss_scale = LossScale() if runtime.compute_dtype == 'float16' else None
    loss, metrics, gradients, variables = loss_and_gradients(
        _MicrobatchLoss(context, loss_fn, image_shape),
        (inputs, labels),
        context.optimizer,
        num_microbatches=num_microbatches,
        loss_scale=loss_scale,
        xla=runtime.xla,
    )
    op, learning_rate = train_op.build_train_op(
        gradients, variables, context.optimizer, loss_scale
    )
    metrics = {**metrics, 'learning_rate': learning_rate}
    if loss_scale:
        metrics['loss_scale'] = loss_scale.value
    return estimator_spec.with_train_op(loss, metrics, op)


def evaluate(
    context: ModelContext,
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor | None,
) -> estimator.EstimatorSpec:
    """Makes the `EstimatorSpec` of evaluation.

    Args:
      context: the model.
      features: `image`, or `x` of a regression; with `features`, the output of the
        frozen backbone, the backbone is not run.
      labels: [B] or [B, classes].

    Raises:
      SettingError: a setting that the network cannot use.
      ValueError: missing or malformed features or labels.
    """
    inputs = _inputs(context, features)
    split = None
    if 'features' in features:
        split = BackboneSplit(inputs, features['features'])
        if context.head.eval_views:
            raise errors.SettingError(
                '`eval_tta` and `cache_features` cannot be combined'
            )
    logits, net = _infer(
        context, inputs, context.runtime.eval_dtype, context.head.eval_views, split
    )
    if split:
        split.check(logits, context.optimizer.frozen)
    _refuse_keras_3_layers()
    graph_collections.publish(
        graph_collections.EVAL_TENSORS, embeddings=net.dense_input
    )
    return _apply_head(context, ModeKeys.EVAL, features, logits, labels)


def predict(
    context: ModelContext, features: Mapping[str, tf.Tensor]
) -> estimator.EstimatorSpec:
    """Makes the `EstimatorSpec` of prediction and export, computed in float32.

    Args:
      context: the model.
      features: `image`, or `x` of a regression; `key` is copied to the predictions.

    Raises:
      SettingError: a setting that the network cannot use.
      ValueError: missing or malformed features.
    """
    head = context.head
    views = head.eval_views if head.export_views else None
    logits, _ = _infer(context, _inputs(context, features), 'float32', views)
    _refuse_keras_3_layers()
    return _apply_head(context, ModeKeys.PREDICT, features, logits, None)


def frozen_backbone(
    context: ModelContext, features: Mapping[str, tf.Tensor], training: bool
) -> tf.Tensor:
    """Computes the output of the frozen backbone of a classifier.

    Given as `features['features']`, it replaces the backbone in training and
    evaluation.

    Args:
      context: the model.
      features: `image`.
      training: whether to compute in `compute_dtype` or in `eval_dtype`.

    Returns:
      float32 [B, …].

    Raises:
      SettingError: the network has no frozen backbone that can be split off.
    """
    images = _feature(features, 'image')
    split = BackboneSplit(images)
    runtime = context.runtime
    net = LayerBuilder(
        training,
        runtime.seed,
        runtime.compute_dtype if training else runtime.eval_dtype,
        frozen=context.optimizer.frozen,
        split=split,
    )
    split.check(context.network(net, images), context.optimizer.frozen)
    return tf.cast(split.found, tf.float32)


class _MicrobatchLoss:
    """Builds the network on one micro-batch; for `loss_and_gradients`."""

    def __init__(
        self,
        context: ModelContext,
        loss_fn: losses.LossFn,
        image_shape: Sequence[int] | None,
    ) -> None:
        """Sets what to build.

        Args:
          context: the model.
          loss_fn: function (logits, labels) -> loss, metrics.
          image_shape: (height, width, channels) where the inputs are the output of the
            frozen backbone; None where they are images or numbers.
        """
        self._context, self._loss_fn = context, loss_fn
        self._image_shape = image_shape
        self._is_built = False

    def __call__(
        self,
        index: int | tf.Tensor,
        step: tf.Tensor,
        inputs: tf.Tensor,
        labels: tf.Tensor,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        context = self._context
        optimizer, runtime = context.optimizer, context.runtime
        num_microbatches = runtime.gradient_accumulation_steps
        make_layers = functools.partial(
            LayerBuilder,
            True,
            runtime.seed,
            runtime.compute_dtype,
            step=step,
            microbatch=index,
            num_microbatches=num_microbatches,
            conv_gradients=runtime.conv_gradients,
        )
        split = None
        if self._image_shape:
            inputs, split = _stand_in_images(inputs, self._image_shape)
        reuse = True if self._is_built else None
        proxy_loss = None
        if context.miner:
            # `freeze` is about the main network only.
            inputs, labels, proxy_losses = context.miner.select(
                make_layers(), inputs, labels, self._example_losses, reuse
            )
            proxy_loss = tf.reduce_mean(proxy_losses) / num_microbatches
        net = make_layers(frozen=optimizer.frozen, split=split)
        logits = context.network(net, inputs, reuse)
        if not self._is_built:
            _refuse_keras_3_layers()
            if split:
                split.check(logits, optimizer.frozen)
        self._is_built = True
        loss, metrics = self._loss_fn(logits, labels)
        if proxy_loss is not None:
            # The gradient of the proxy's loss, without its value.
            loss += proxy_loss - tf.stop_gradient(proxy_loss)
        return loss, metrics

    def _example_losses(self, logits, labels):
        context = self._context
        return losses.example_losses(
            logits, labels, context.model.num_classes, context.head
        )


def _infer(context, inputs, dtype, views, split=None):
    """Builds the network outside of training; returns logits and `LayerBuilder`."""
    optimizer = context.optimizer

    def make_layers(sample=0):
        return LayerBuilder(
            False,
            context.runtime.seed,
            dtype,
            frozen=optimizer.frozen if split else None,
            sample=sample,
            split=split,
        )

    averaged = optimizer.ema_decay or optimizer.lookahead
    with ema.read_averages(optimizer.frozen) if averaged else contextlib.nullcontext():
        if views:
            views = augmented_views(*views)
            return average_logits(context.network, make_layers, inputs, views)
        return average_probabilities(
            context.network, make_layers, inputs, context.head.eval_samples
        )


def _apply_head(context, mode, features, logits, labels):
    if context.model.kind == 'regression':
        return regression(mode, features, logits, labels)
    return classification(
        mode,
        features,
        logits,
        labels,
        num_classes=context.model.num_classes,
        class_names=context.model.class_names,
        head=context.head,
    )


def _stand_in_images(features, image_shape):
    """Makes images that no op reads, and the split that replaces the backbone."""
    images = tf.zeros([tf.shape(features)[0], *image_shape], tf.uint8)
    images.set_shape([features.shape[0], *image_shape])
    return images, BackboneSplit(images, features)


def _inputs(context, features):
    return _feature(features, 'x' if context.model.kind == 'regression' else 'image')


def _feature(features, name):
    if not isinstance(features, Mapping) or name not in features:
        got = sorted(features) if isinstance(features, Mapping) else type(features)
        raise ValueError(f'features must be a dict with {name!r}, got {got}')
    value = tf.convert_to_tensor(features[name])
    if name == 'image' and (value.shape.rank != 4 or None in value.shape[1:]):
        raise ValueError(
            f"features['image'] must be [B, H, W, C] with H, W and C known when the "
            f'graph is built, got {value.shape}; set the shape in the input_fn'
        )
    return value


def _refuse_keras_3_layers():
    """Checks that the graph has no variables of Keras 3 layers.

    In a graph of TensorFlow 1 such a layer trains, but its moving averages are never
    updated, without an error. `tf_keras` does not have this fault.

    Raises:
      SettingError: it has.
    """
    keras = sys.modules.get('keras')
    if not getattr(keras, '__version__', '').startswith('3.'):
        return
    directory = os.path.dirname(os.path.abspath(keras.__file__)) + os.sep
    for variable in v1.global_variables():
        # The variable has no reference to its layer; the traceback of its op does.
        if any(frame.filename.startswith(directory) for frame in variable.op.traceback):
            raise errors.SettingError(
                f'the variable {variable.name!r} belongs to a Keras 3 layer, which is '
                'silently wrong inside an Estimator; use '
                '`model_fns.layers.layer_builder.LayerBuilder`, or layers of the '
                'package tf_keras'
            )
