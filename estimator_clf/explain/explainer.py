"""Restored classifier with gradients with respect to its pixels."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.core.class_names import find_class, listed
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.hardware.devices import session_config
from estimator_clf.explain.layers import Layer, find_layers, get_layer
from estimator_clf.export.check_examples import restore
from input.dataset_info import DatasetInfo

v1 = tf.compat.v1

# Maximum number of images per session run.
BATCH = 64


Units = int | Sequence[int] | np.ndarray


class Objective(TypedDict):
    """Tensors of a differentiable objective."""

    unit: tf.Tensor
    value: tf.Tensor
    image: tf.Tensor
    pixels: tf.Tensor


class Explainer:
    """Graph and session of a classifier, with gradients with respect to the pixels.

        explainer = Explainer(model_fn, checkpoint, info)
        explainer.probabilities(images)

    Images are float32 [B, H, W, C] in 0..255, and gradients are in these units:
    normalization is part of the network.

    Attributes:
      shape: (H, W, C) of an image.
      class_names: in the order of the labels.
      mean: float32 [C], mean color of the training images.
      layers: layers by name.
      graph: graph of the network.
      image: float32 [B, H, W, C], the tensor to feed.
      scores: float32 [B, classes], output of the last layer.
      step: global step of the checkpoint.
      variables: variables of the network in the order of the graph.
    """

    def __init__(
        self, model_fn: Callable[..., Any], checkpoint: str, info: DatasetInfo
    ) -> None:
        """Builds the network in prediction mode and restores its weights.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec of a classifier.
          checkpoint: path prefix of the checkpoint.
          info: description of the data.

        Raises:
          ConfigError: the model is not a classifier of images.
          RunError: the checkpoint is corrupt or belongs to another network.
        """
        if not info.class_names or len(info.image_shape) != 3:
            raise ConfigError(
                '`model_dir` must be a run of an image classifier; this is a '
                'regression, which has neither images nor classes to explain'
            )
        height, width, channels = info.image_shape
        self.shape = (height, width, channels)
        self.class_names = [str(name) for name in info.class_names]
        mean = np.broadcast_to(np.asarray(info.mean, np.float32), self.shape[-1:])
        self.mean = np.array(mean)
        self.graph = tf.Graph()
        self._session: Any = v1.Session(graph=self.graph, config=_session_config())
        self._objectives: dict[tuple[str, str], Objective] = {}
        with self.graph.as_default():
            step = v1.train.create_global_step()
            # `image` is a transformed copy of the pixels unless it is fed itself.
            self._pixels = v1.placeholder(tf.float32, [None, *self.shape])
            self._transforms = v1.placeholder(tf.float32, [None, 8])
            transformed = _transformed(self._pixels, self._transforms, self.shape[:2])
            self.image = v1.placeholder_with_default(transformed, [None, *self.shape])
            spec = model_fn({'image': self.image}, None, estimator.ModeKeys.PREDICT)
            self._probabilities = spec.predictions['probabilities']
            logits = spec.predictions['logits']
            restore(spec, self._session, checkpoint)
            self.step = int(self._session.run(step))
            # Includes untrainable ones: a network may have fixed filters.
            self.variables = [v for v in v1.global_variables() if v is not step]
            self.layers = find_layers(self.image, logits, self.variables)
            # Instead of `logits`: with `loss=squared_error` these are logarithms of
            # sigmoids, which are flat for confident predictions.
            last = [
                layer.tensor
                for layer in self.layers.values()
                if layer.tensor.shape[1:] == logits.shape[1:]
            ]
            self.scores = tf.cast(last[-1], tf.float32) if last else logits

    def layer(self, name: str, unit: int | None = None) -> Layer:
        """Returns the layer with this name, see `layers.get_layer`."""
        return get_layer(self.layers, name, unit)

    def class_index(self, name: str) -> int:
        """Returns the label of a class.

        Raises:
          ConfigError: the class does not exist.
        """
        number = find_class(name, self.class_names)
        if number is None:
            raise ConfigError(
                f'`class_name` must be one of {listed(self.class_names)}, got {name!r}'
            )
        return number

    def value(self, variable: Any) -> Any:
        """Returns the value of a variable or tensor of the graph."""
        return self._session.run(variable)

    def run(self, tensor: Any, images: np.ndarray) -> Any:
        """Computes a tensor for any number of images, in batches.

        Args:
          tensor: [B, …], or a list of such tensors.
          images: floating [N, H, W, C].

        Returns:
          Array [N, …], or a list of such arrays.
        """
        batches = [
            self._session.run(tensor, {self.image: images[i : i + BATCH]})
            for i in range(0, len(images), BATCH)
        ]
        if isinstance(tensor, list):
            return [np.concatenate(arrays) for arrays in zip(*batches, strict=True)]
        return np.concatenate(batches)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 [N, classes] of floating [N, H, W, C]."""
        return self.run(self._probabilities, images)

    def class_scores(self, images: np.ndarray, classes: Units) -> np.ndarray:
        """Returns float32 [N]: the score of one class per image."""
        scores = self.run(self.scores, images)
        return scores[np.arange(len(images)), classes]

    def objective(self, tensor: Any, kind: str = 'value') -> Objective:
        """Builds a differentiable objective, once per tensor and kind.

        Args:
          tensor: [B, units] or [B, H, W, channels].
          kind: 'value': the fed unit, for a channel its mean over all positions;
            'square': the mean square of all units.

        Returns:
          The argument of `gradient`.
        """
        key = (tensor.name, kind)
        if key not in self._objectives:
            with self.graph.as_default():
                unit = v1.placeholder(tf.int32, [None])
                flat = tf.cast(tensor, tf.float32)
                axes = list(range(1, flat.shape.rank))
                if kind == 'square':
                    value = tf.reduce_mean(tf.square(flat), axes)
                else:
                    means = tf.reduce_mean(flat, axes[:-1]) if axes[:-1] else flat
                    value = tf.gather(means, unit, batch_dims=1)
                # The images are independent: the gradient of the sum has the gradient
                # of each.
                total = tf.reduce_sum(value)
                image, pixels = tf.gradients(total, [self.image, self._pixels])
                self._objectives[key] = {
                    'unit': unit,
                    'value': value,
                    'image': image,
                    'pixels': pixels,
                }
        return self._objectives[key]

    def gradient(
        self, objective: Objective, images: np.ndarray, units: Units
    ) -> tuple[np.ndarray, np.ndarray]:
        """Computes an objective and its gradient, for at most `BATCH` images.

        Args:
          objective: from `objective`.
          images: floating [N, H, W, C].
          units: unit, channel or class: one for all images or one per image.

        Returns:
          (float32 [N], float32 [N, H, W, C]).
        """
        feed = {self.image: images, objective['unit']: _per_image(units, images)}
        return self._session.run([objective['value'], objective['image']], feed)

    def gradients(
        self, objective: Objective, images: np.ndarray, units: Units
    ) -> tuple[np.ndarray, np.ndarray]:
        """Computes the same as `gradient` for any number of images."""
        indices = _per_image(units, images)
        batches = [
            self.gradient(objective, images[i : i + BATCH], indices[i : i + BATCH])
            for i in range(0, len(images), BATCH)
        ]
        values, gradients = zip(*batches, strict=True)
        return np.concatenate(values), np.concatenate(gradients)

    def transformed_gradient(
        self,
        objective: Objective,
        images: np.ndarray,
        units: Units,
        transforms: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Computes the same as `gradient` for transformed images.

        Args:
          objective: see `gradient`.
          images: see `gradient`.
          units: see `gradient`.
          transforms: float32 [N, 8], see `tf.raw_ops.ImageProjectiveTransformV3`.

        Returns:
          As `gradient`; the gradient is with respect to the original pixels.
        """
        feed = {
            self._pixels: images,
            self._transforms: transforms,
            objective['unit']: _per_image(units, images),
        }
        return self._session.run([objective['value'], objective['pixels']], feed)

    def close(self) -> None:
        """Closes the session."""
        self._session.close()


def _per_image(units: Units, images: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.asarray(units, np.int32), len(images))


def _session_config() -> Any:
    config = session_config()
    # The remapper logs an error, and fails, at the gradient of a leaky ReLU (seen with
    # TensorFlow 2.21).
    rewriting = config.graph_options.rewrite_options
    rewriting.remapping = type(rewriting).OFF
    return config


def _transformed(
    pixels: tf.Tensor, transforms: tf.Tensor, size: tuple[int, int]
) -> tf.Tensor:
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=transforms,
        output_shape=tf.constant(size, tf.int32),
        interpolation='BILINEAR',
        fill_mode='NEAREST',
        fill_value=0.0,
    )
