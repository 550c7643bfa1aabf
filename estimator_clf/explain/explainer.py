"""A checkpoint, held ready to be asked what it sees."""

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.core.devices import session_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.explain.layers import choose_layer, find_layers
from estimator_clf.export.check_examples import restore

v1 = tf.compat.v1

# Images in a batch: the most that a question sends through the network at once.
BATCH = 64


class Explainer:
    """A classifier's graph and session, with gradients down to the pixels.

    explainer = Explainer(model_fn, checkpoint, info)
    explainer.probabilities(images)

    All images are float32 [B, H, W, C] in units 0..255, and gradients are by these
    units: standardizing is part of the network.

    Attributes:
      shape: (H, W, C) of an image.
      class_names: in the order of the classes.
      mean: float32 [C], the mean color of the training images.
      layers: dict name -> `layers.Layer`.
      graph: the `tf.Graph`.
      image: tensor, float32 [B, H, W, C], to be fed.
      scores: tensor, float32 [B, classes]: the last layer's outputs.
      step: int, the global step of the checkpoint.
      variables: list of `tf.Variable`, the network's, in the order of the graph.
    """

    def __init__(self, model_fn, checkpoint, info):
        """Builds the network as prediction has it, and restores its weights.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec of a classifier.
          checkpoint: path prefix of the checkpoint.
          info: `DatasetInfo`.

        Raises:
          ConfigError: it is not a classifier of images.
          RunError: the checkpoint is corrupt, or of another network.
        """
        if not info.class_names or len(info.image_shape) != 3:
            raise ConfigError(
                '`model_dir` must be a run of a classifier of images; this is a '
                'regression, which has neither images nor classes to explain'
            )
        self.shape = tuple(info.image_shape)
        self.class_names = [str(name) for name in info.class_names]
        mean = np.broadcast_to(np.asarray(info.mean, np.float32), self.shape[-1:])
        self.mean = np.array(mean)
        self.graph = tf.Graph()
        self._session = v1.Session(graph=self.graph, config=_session_config())
        self._gradients = {}
        with self.graph.as_default():
            step = v1.train.create_global_step()
            # Moved and turned copies of the pixels; whoever wants none of this feeds
            # `image` itself.
            self._pixels = v1.placeholder(tf.float32, [None, *self.shape])
            self._moves = v1.placeholder(tf.float32, [None, 8])
            moved = _moved(self._pixels, self._moves, self.shape[:2])
            self.image = v1.placeholder_with_default(moved, [None, *self.shape])
            spec = model_fn({'image': self.image}, None, estimator.ModeKeys.PREDICT)
            self._probabilities = spec.predictions['probabilities']
            logits = spec.predictions['logits']
            restore(spec, self._session, checkpoint)
            self.step = int(self._session.run(step))
            # Not the trainable ones alone: a network may have fixed filters.
            self.variables = [v for v in v1.global_variables() if v is not step]
            self.layers = find_layers(self.image, logits, self.variables)
            # Not `logits`: with `loss=squared_error` these are logarithms of sigmoids,
            # and flat where the network is sure.
            last = [
                layer.tensor
                for layer in self.layers.values()
                if layer.tensor.shape[1:] == logits.shape[1:]
            ]
            self.scores = tf.cast(last[-1], tf.float32) if last else logits

    def layer(self, name, unit=None):
        """Returns the `Layer` of that name, see `layers.choose_layer`."""
        return choose_layer(self.layers, name, unit)

    def class_number(self, name):
        """Returns the number of a class.

        Raises:
          ConfigError: there is no such class.
        """
        if name not in self.class_names:
            raise ConfigError(
                f'`class_name` must be one of {", ".join(self.class_names)}, got '
                f'{name!r}'
            )
        return self.class_names.index(name)

    def value(self, variable):
        """Returns the value of a `tf.Variable` of the graph."""
        return self._session.run(variable)

    def run(self, tensor, images):
        """Computes a tensor that has a row for each image, in batches.

        Args:
          tensor: [B, …], or a list of such.
          images: floating [N, H, W, C].

        Returns:
          Array [N, …], or a list of such.
        """
        parts = [
            self._session.run(tensor, {self.image: images[i : i + BATCH]})
            for i in range(0, len(images), BATCH)
        ]
        if isinstance(tensor, list):
            return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        return np.concatenate(parts)

    def probabilities(self, images):
        """Returns float32 [N, classes] of floating [N, H, W, C]."""
        return self.run(self._probabilities, images)

    def class_scores(self, images, classes):
        """Returns float32 [N]: the last layer's output for a class of each image."""
        scores = self.run(self.scores, images)
        return scores[np.arange(len(images)), classes]

    def goal(self, tensor, kind='value'):
        """Makes a goal: what is to be large in an image.

        Args:
          tensor: [B, units] or [B, H, W, channels].
          kind: 'value': of the unit that is asked for, the mean over all pixels of a
            channel; 'square': the mean of the squares of all units.

        Returns:
          What `gradient` takes.
        """
        key = (tensor.name, kind)
        if key not in self._gradients:
            with self.graph.as_default():
                unit = v1.placeholder(tf.int32, [None])
                flat = tf.cast(tensor, tf.float32)
                axes = list(range(1, flat.shape.rank))
                if kind == 'square':
                    value = tf.reduce_mean(tf.square(flat), axes)
                else:
                    means = tf.reduce_mean(flat, axes[:-1]) if axes[:-1] else flat
                    value = tf.gather(means, unit, batch_dims=1)
                # The images do not know of each other: the gradient of the sum is
                # that of each.
                whole = tf.reduce_sum(value)
                image, pixels = tf.gradients(whole, [self.image, self._pixels])
                self._gradients[key] = {
                    'unit': unit,
                    'value': value,
                    'image': image,
                    'pixels': pixels,
                }
        return self._gradients[key]

    def gradient(self, goal, images, units):
        """Computes a goal and its gradient.

        Args:
          goal: from `goal`.
          images: floating [N, H, W, C], at most a batch.
          units: int or [N]: the unit, channel or class for each.

        Returns:
          (float32 [N], float32 [N, H, W, C]).
        """
        units = np.broadcast_to(np.asarray(units, np.int32), len(images))
        feed = {self.image: images, goal['unit']: units}
        return self._session.run([goal['value'], goal['image']], feed)

    def gradients(self, goal, images, units):
        """Likewise, for any number of images."""
        units = np.broadcast_to(np.asarray(units, np.int32), len(images))
        parts = [
            self.gradient(goal, images[i : i + BATCH], units[i : i + BATCH])
            for i in range(0, len(images), BATCH)
        ]
        values, gradients = zip(*parts, strict=True)
        return np.concatenate(values), np.concatenate(gradients)

    def moved_gradient(self, goal, images, units, moves):
        """Likewise, with each image moved before the network sees it.

        Args:
          moves: float32 [N, 8], see `tf.raw_ops.ImageProjectiveTransformV3`.

        Returns:
          As `gradient`; the gradient is by the pixels before they were moved.
        """
        units = np.broadcast_to(np.asarray(units, np.int32), len(images))
        feed = {self._pixels: images, self._moves: moves, goal['unit']: units}
        return self._session.run([goal['value'], goal['pixels']], feed)

    def close(self):
        """Gives the session back."""
        self._session.close()


def _session_config():
    config = session_config()
    # This optimizer logs an error, and gives up, where it meets the gradient of a leaky
    # ReLU (seen on 2.21).
    rewriting = config.graph_options.rewrite_options
    rewriting.remapping = type(rewriting).OFF
    return config


def _moved(pixels, moves, size):
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels,
        transforms=moves,
        output_shape=tf.constant(size, tf.int32),
        interpolation='BILINEAR',
        fill_mode='NEAREST',
        fill_value=0.0,
    )
