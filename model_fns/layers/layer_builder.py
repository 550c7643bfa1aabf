"""Layers of networks, on `get_variable` and `tf.nn`.

This style of building a network in a model_fn works the same on every TensorFlow from
2.15 on. Two properties that the stock layers do not have:

* The initial values of a weight are a function of (seed, name of the variable).
* A dropout mask is a function of (seed, name of the layer, global step, replica,
  micro-batch), and so are the regions of fractional max-pooling. A run that was killed
  and resumed drops what the unbroken run would have dropped.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers import activations, conv_gradients, fractional_max_pool
from model_fns.layers.dropout import dropout
from model_fns.layers.initializers import hash_seed, make_initializer

v1 = tf.compat.v1


class LayerBuilder:
    """The layers of one network in one mode.

    Attributes:
      training: whether dropout drops, and batch normalization uses the batch.
      seed: of the initial weights and of dropout.
      compute_dtype: type that the layers compute in. Variables are float32 and are cast
        where they are used.
      frozen: function (name of a variable) -> whether it is frozen. Batch normalization
        with frozen moving averages normalizes by them.
      step: global step, int64 scalar; None: of the graph.
      microbatch: index of the micro-batch, a number or an int64 scalar.
      num_microbatches: number of micro-batches that the batch is split into.
      sample: outside of training, index of the sample of a stochastic ensemble: each
        has its own regions of fractional max-pooling.
      split: function (tensor) -> tensor, called with the input of every layer from the
        first one on that is trained, or stochastic in training; see `BackboneSplit`.
      conv_gradients: of convolutions in training, see `conv_gradients.conv2d`.
      dense_input: input of the latest `dense`, floating [B, D]; None before. After the
        network is built, these are its features of an image.
      is_stochastic: whether a layer so far is stochastic outside of training.
      has_trainable: whether a layer so far has a variable that is not frozen.
    """

    def __init__(
        self,
        training: bool,
        seed: int = 0,
        compute_dtype: str | tf.DType = tf.float32,
        *,
        frozen: Callable[[str], bool] | None = None,
        step: tf.Tensor | None = None,
        microbatch: int | tf.Tensor = 0,
        num_microbatches: int = 1,
        sample: int = 0,
        split: Callable[[tf.Tensor], tf.Tensor] | None = None,
        conv_gradients: str = 'tensorflow',
    ) -> None:
        """Sets the mode; see the attributes."""
        self.training = training
        self.seed = seed
        self.compute_dtype = tf.as_dtype(compute_dtype)
        self.frozen = frozen or (lambda name: False)
        self.step = step
        self.microbatch = microbatch
        self.num_microbatches = num_microbatches
        self.sample = sample
        self.split = split or (lambda x: x)
        self.conv_gradients = conv_gradients
        self.dense_input: tf.Tensor | None = None
        self.is_stochastic = False
        self.has_trainable = False

    def conv(
        self,
        name: str,
        x: tf.Tensor,
        filters: int,
        kernel: int | tuple[int, int],
        strides: int = 1,
        padding: str = 'SAME',
        use_bias: bool = True,
        kernel_initializer: str | None = None,
        groups: int = 1,
    ) -> tf.Tensor:
        """Computes a convolution.

        Args:
          name: of the variable scope with `kernel` and `bias`.
          x: [B, H, W, C].
          filters: output channels.
          kernel: side in pixels, or height and width.
          strides: in pixels, in both directions.
          padding: 'SAME' or 'VALID'.
          use_bias: False before batch normalization, which has its own.
          kernel_initializer: see `make_initializer`; None: 'he_normal'.
          groups: number of equal groups of channels; the n-th group of outputs depends
            on the n-th group of inputs only.

        Returns:
          `compute_dtype` [B, H', W', filters].

        Raises:
          SettingError: a size below 1, or groups that do not divide the channels.
        """
        size = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
        _check_positive(
            name, filters=filters, kernel=min(size), strides=strides, groups=groups
        )
        channels = _static(name, x, -1)
        if channels % groups or filters % groups:
            raise errors.SettingError(
                f'{name}: {groups} groups must divide the {channels} channels and the '
                f'{filters} filters'
            )
        with v1.variable_scope(name):
            x = self.layer_input(x, 'kernel', *(['bias'] if use_bias else []))
            shape = (*size, channels // groups, filters)
            weights = self._weights(shape, kernel_initializer)
            # One by one: on a CPU `tf.nn.conv2d` has no gradient for groups.
            xs = tf.split(tf.cast(x, self.compute_dtype), groups, axis=-1)
            ws = tf.split(weights, groups, axis=-1)
            ys = [
                self._convolution(x, w, strides, padding.upper())
                for x, w in zip(xs, ws, strict=True)
            ]
            y = ys[0] if groups == 1 else tf.concat(ys, axis=-1)
            return self._add_bias(y, filters) if use_bias else y

    def dense(
        self,
        name: str,
        x: tf.Tensor,
        units: int,
        use_bias: bool = True,
        kernel_initializer: str | None = None,
    ) -> tf.Tensor:
        """Computes a matrix product plus bias.

        Args:
          name: of the variable scope with `kernel` and `bias`.
          x: [B, D].
          units: outputs.
          use_bias: whether there is a bias.
          kernel_initializer: as in `conv`.

        Returns:
          `compute_dtype` [B, units].
        """
        _check_positive(name, units=units)
        with v1.variable_scope(name):
            x = self.layer_input(x, 'kernel', *(['bias'] if use_bias else []))
            self.dense_input = x
            weights = self._weights((_static(name, x, -1), units), kernel_initializer)
            y = tf.matmul(tf.cast(x, self.compute_dtype), weights)
            return self._add_bias(y, units) if use_bias else y

    def batch_norm(
        self,
        name: str,
        x: tf.Tensor,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        zero_gamma: bool = False,
        scale: bool = True,
    ) -> tf.Tensor:
        """Normalizes over all axes but the last (Ioffe and Szegedy, 2015).

        In training the updates of the moving averages are added to the collection
        `UPDATE_OPS`, which `train_op.build_train_op` runs. Each micro-batch is
        normalized by its own statistics and moves the averages by less, so that all
        micro-batches together move them as far as one whole batch.

        Args:
          name: of the variable scope with `gamma`, `beta`, `moving_mean` and
            `moving_variance`.
          x: [B, H, W, C] or [B, C].
          momentum: weight of the old moving average in each step.
          epsilon: added to the variance.
          zero_gamma: whether `gamma` starts at 0 instead of 1.
          scale: whether there is a `gamma`.

        Returns:
          `compute_dtype`, shape of `x`.
        """
        with v1.variable_scope(name):
            channels = _static(name, x, -1)
            x = self.layer_input(
                x,
                *(['gamma'] if scale else []),
                'beta',
                'moving_mean',
                'moving_variance',
            )
            gamma = tf.ones((channels,))
            if scale:
                initial = tf.zeros if zero_gamma else tf.ones
                gamma = _variable('gamma', (channels,), initial)
            beta = _variable('beta', (channels,), tf.zeros)
            mean = _moving_average('moving_mean', (channels,), tf.zeros)
            variance = _moving_average('moving_variance', (channels,), tf.ones)
            x = tf.cast(x, self.compute_dtype)
            # The fused op accepts images only.
            flat = x.shape.rank == 2
            inputs = x[:, tf.newaxis, tf.newaxis, :] if flat else x
            if self.training and not self._has_frozen_averages():
                retained = momentum ** (1.0 / self.num_microbatches)
                y, batch_mean, batch_variance = v1.nn.fused_batch_norm(
                    inputs, gamma, beta, epsilon=epsilon, is_training=True
                )
                for average, value in (
                    (mean, batch_mean),
                    (variance, batch_variance),
                ):
                    change = (average - value) * (1.0 - retained)
                    v1.add_to_collection(
                        v1.GraphKeys.UPDATE_OPS,
                        average.assign_sub(change, read_value=False),
                    )
            else:
                y, _, _ = v1.nn.fused_batch_norm(
                    inputs,
                    gamma,
                    beta,
                    mean=mean,
                    variance=variance,
                    epsilon=epsilon,
                    is_training=False,
                )
            return y[:, 0, 0, :] if flat else y

    def dropout(
        self, name: str, x: tf.Tensor, rate: float, per_example: bool = False
    ) -> tf.Tensor:
        """Sets a share of the values to 0 in training, see `dropout.dropout`.

        Args:
          name: part of the seed: layers in one scope need different names.
          x: any shape.
          rate: share of the values that become 0; the others are multiplied by
            1 / (1 - rate).
          per_example: drop all values of an example or none.

        Returns:
          Shape and dtype of `x`; `x` itself outside of training.

        Raises:
          SettingError: `rate` is not in [0, 1).
        """
        if not 0 <= rate < 1:
            raise errors.SettingError(
                f'{name}: the dropout rate must be at least 0 and below 1, got {rate}'
            )
        if rate == 0:
            return x
        x = self.split(x)
        if not self.training:
            return x
        return dropout(x, rate, self._training_seed(f'{name}/dropout'), per_example)

    def layer_input(self, x: tf.Tensor, *names: str) -> tf.Tensor:
        """Returns the input of a layer with variables.

        A layer that is not one of these calls this inside its scope and computes on the
        result, so that a frozen backbone before it can be excluded.

        Args:
          x: its input.
          *names: of its variables.
        """
        scope = v1.get_variable_scope().name
        if not all(self.frozen(f'{scope}/{name}') for name in names):
            self.has_trainable = True
        return self.split(x) if self.has_trainable else x

    def variable(
        self,
        name: str,
        shape: tuple[int, ...],
        kernel_initializer: str | float = 'he_normal',
        fans: tuple[float, float] | None = None,
        trainable: bool = True,
    ) -> tf.Variable:
        """Makes a variable in the current scope, for a layer that is not one of these.

        Args:
          name: of the variable.
          shape: its shape.
          kernel_initializer: as in `conv`, or a number, which all values start at.
          fans: (fan_in, fan_out); None: those of a convolution or a dense layer.
          trainable: whether training may change it.
        """
        if not isinstance(kernel_initializer, str):
            initializer = v1.constant_initializer(kernel_initializer)
        else:
            initializer = self._initializer(name, shape, kernel_initializer, fans)
        return _variable(name, shape, initializer, trainable)

    def max_pool(
        self, x: tf.Tensor, size: int = 2, strides: int = 2, padding: str = 'VALID'
    ) -> tf.Tensor:
        """Computes the maximum of each window of `size` by `size` pixels."""
        return tf.nn.max_pool2d(x, size, strides, padding.upper())

    def fractional_max_pool(
        self,
        name: str,
        x: tf.Tensor,
        height: int,
        width: int,
        pseudo_random: bool = False,
        overlapping: bool = True,
    ) -> tf.Tensor:
        """Computes the maximum of height by width random regions.

        In training each step has its own regions, the same for all images of its batch;
        otherwise they are a function of seed, layer and `sample`, so that the
        prediction for an image does not depend on the rest of its batch. See
        `layers.fractional_max_pool`.

        Args:
          name: part of the seed: layers in one scope need different names.
          x: [B, H, W, C]; H and W are at least height and width, at most twice those.
          height: of the output in pixels.
          width: of the output in pixels.
          pseudo_random: how the regions are sampled, see
            `fractional_max_pool.boundaries`.
          overlapping: whether neighboring regions share a row or column of pixels.

        Returns:
          Dtype of `x`, [B, height, width, C].
        """
        x = self.split(x)
        starts = []
        for axis, outputs in ((1, height), (2, width)):
            key = f'{name}/regions{axis}'
            if self.training:
                seed = self._training_seed(key)
            else:
                seed = tf.constant(
                    [self._layer_seed(f'{key}/evaluation'), self.sample], tf.int64
                )
            starts.append(
                fractional_max_pool.boundaries(
                    _static(name, x, axis), outputs, seed, pseudo_random
                )
            )
        self.is_stochastic = True
        return fractional_max_pool.max_pool(x, starts[0], starts[1], overlapping)

    def local_response_norm(
        self, x: tf.Tensor, radius: int, bias: float, alpha: float, beta: float
    ) -> tf.Tensor:
        """Divides by the activity of neighboring channels (Krizhevsky et al., 2012).

        `x / (bias + alpha * sum(x ** 2)) ** beta`, the sum over the channels up to
        `radius` away: section 3.3 of the paper, where radius is n / 2, bias is k.

        Returns:
          Dtype and shape of `x`; computed in float32.
        """
        y = tf.nn.local_response_normalization(
            tf.cast(x, tf.float32), radius, bias, alpha, beta
        )
        return tf.cast(y, x.dtype)

    def global_average_pool(self, x: tf.Tensor) -> tf.Tensor:
        """Computes the mean of all pixels: [B, H, W, C] to [B, C], in float32."""
        return tf.cast(tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2)), x.dtype)

    def flatten(self, x: tf.Tensor) -> tf.Tensor:
        """Reshapes [B, ...] to [B, product of the rest]; the rest must be known."""
        sizes = [_static('flatten', x, axis) for axis in range(1, x.shape.rank)]
        return tf.reshape(x, (-1, math.prod(sizes)))

    def activation(self, name: str) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns the activation function of this name.

        Raises:
          SettingError: an unknown activation.
        """
        return activations.get(name)

    def initializer_for(self, activation: str) -> str:
        """Returns the `kernel_initializer` that suits a layer before an activation."""
        return activations.initializer_for(activation)

    def _convolution(self, x, kernel, strides, padding):
        if self.training and strides == 1 and None not in x.shape[1:]:
            return conv_gradients.conv2d(x, kernel, self.conv_gradients, padding)
        return tf.nn.conv2d(x, kernel, strides, padding)

    def _layer_seed(self, key):
        return hash_seed(self.seed, f'{v1.get_variable_scope().name}/{key}')

    def _training_seed(self, key):
        """Makes the seed, int64 [2], of a layer that is random in each step."""
        step = self.step
        if step is None:
            step = tf.cast(v1.train.get_or_create_global_step(), tf.int64)
        replica = tf.cast(
            tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64
        )
        # The generator takes two numbers: one for the layer, one for step and replica.
        # Two to the 16th is more replicas, times micro-batches, than any run has.
        replica = replica * self.num_microbatches + tf.cast(self.microbatch, tf.int64)
        layer = tf.constant(self._layer_seed(key), tf.int64)
        return tf.stack([layer, step * 2**16 + replica])

    def _has_frozen_averages(self):
        scope = v1.get_variable_scope().name
        return any(
            self.frozen(f'{scope}/{name}')
            for name in ('moving_mean', 'moving_variance')
        )

    def _weights(self, shape, kernel_initializer):
        kind = kernel_initializer or 'he_normal'
        initializer = self._initializer('kernel', shape, kind)
        return tf.cast(_variable('kernel', shape, initializer), self.compute_dtype)

    def _initializer(self, name, shape, kind, fans=None):
        full_name = f'{v1.get_variable_scope().name}/{name}'
        return make_initializer(kind, self.seed, full_name, shape, fans)

    def _add_bias(self, y, units):
        bias = _variable('bias', (units,), tf.zeros)
        return tf.nn.bias_add(y, tf.cast(bias, self.compute_dtype))


def _variable(name, shape, initializer, trainable=True):
    return v1.get_variable(
        name,
        shape,
        tf.float32,
        initializer=initializer,
        trainable=trainable,
        use_resource=True,
    )


def _moving_average(name, shape, initializer):
    # ON_READ: each replica updates its own, and a checkpoint saves their mean.
    return v1.get_variable(
        name,
        shape,
        tf.float32,
        initializer=initializer,
        trainable=False,
        use_resource=True,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
    )


def _static(name, x, axis):
    size = x.shape[axis]
    if size is None:
        raise ValueError(
            f'{name}: axis {axis} of its input must be known when the graph is built, '
            f'got the shape {x.shape}'
        )
    return size


def _check_positive(layer, **values):
    for name, value in values.items():
        if value < 1:
            raise errors.SettingError(
                f'{layer}: {name} must be at least 1, got {value}'
            )
