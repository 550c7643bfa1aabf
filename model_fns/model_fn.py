"""The model_fn of a network, for `tf.estimator`."""

from collections.abc import Callable, Iterable, Mapping

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors
from model_fns import modes
from model_fns.optimizers.config import OptimizerSpec
from model_fns.specs import HeadSpec, ModelSpec, RuntimeSpec

ModeKeys = estimator.ModeKeys


def make_model_fn(
    model: ModelSpec | str,
    head: HeadSpec | None = None,
    optimizer: OptimizerSpec | None = None,
    runtime: RuntimeSpec | None = None,
) -> 'ModelFn':
    """Makes a model_fn for `estimator.Estimator`.

        make_model_fn(ModelSpec('cnn', num_classes=10, mean=127.0, stddev=70.0))

    Args:
      model: network, classes and input normalization, or the name of a network with
        defaults for the rest.
      head: loss, evaluation and prediction; None: `HeadSpec()`.
      optimizer: how to train; None: `OptimizerSpec()`.
      runtime: seed, precision and execution; None: `RuntimeSpec()`.

    Raises:
      SettingError: specs that do not fit each other; raised here, not in training.
    """
    if not isinstance(model, ModelSpec):
        model = ModelSpec(model)
    return ModelFn(
        modes.ModelContext.make(
            model,
            head or HeadSpec(),
            optimizer or OptimizerSpec(),
            runtime or RuntimeSpec(),
        )
    )


class ModelFn:
    """A model_fn: `model_fn(features, labels, mode) -> EstimatorSpec`.

    A classifier reads `features['image']`, uint8 or floating [B, H, W, C] in units
    0..255, with H, W and C known; a regression reads `features['x']`, floating [B, D].
    Both copy `features['key']` to their predictions and ignore other features, except
    `features['features']`, the output of `frozen_backbone`; training with it reads the
    shape of the images from `features['no_image']` and needs no `image`.

    Attributes:
      context: specifications and networks of the model.
      data_dependent_init: function (iterable of images, uint8 [B, H, W, C]) -> dict
        name of a variable -> array of initial weights that are computed from training
        images, for `DataDependentInitHook`; None for a network without them.
    """

    def __init__(self, context: modes.ModelContext) -> None:
        self.context = context
        self.data_dependent_init: (
            Callable[[Iterable[np.ndarray]], dict[str, np.ndarray]] | None
        ) = (
            context.miner.data_dependent_init(context.network)
            if context.miner
            else context.network.data_dependent_init
        )

    def __call__(
        self,
        features: Mapping[str, tf.Tensor],
        labels: tf.Tensor | None,
        mode: str,
    ) -> estimator.EstimatorSpec:
        """Builds the graph of one mode; see `modes.train`, `evaluate`, `predict`."""
        if mode == ModeKeys.TRAIN:
            return modes.train(self.context, features, labels)
        if mode == ModeKeys.EVAL:
            return modes.evaluate(self.context, features, labels)
        return modes.predict(self.context, features)

    def frozen_backbone(
        self, features: Mapping[str, tf.Tensor], training: bool
    ) -> tf.Tensor:
        """Computes the output of the frozen backbone, float32 [B, …].

        Args:
          features: `image`.
          training: whether to compute in the type of training or of evaluation.

        Raises:
          SettingError: a regression, or a network without a frozen backbone that can
            be split off.
        """
        if self.context.model.kind == 'regression':
            raise errors.SettingError('`cache_features` requires a classifier')
        return modes.frozen_backbone(self.context, features, training)
