"""Convolution, dense, batch normalization, dropout: on variables of TensorFlow 1.

Written on `get_variable` and `tf.nn`, the one style of building a network in a model_fn
that does the same thing on every TensorFlow from 2.15 on.

Two properties that the stock layers do not have:

* A weight's first value is a function of (seed, name of the variable). It depends
  neither on the graph's seed nor on how many ops the input pipeline made before it.
* A dropout mask is a function of (seed, name of the layer, global step, replica, part
  of the batch), and so are the regions of fractional pooling. A run that was killed and
  started again drops what the unbroken run would have dropped.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from estimator_clf.core import errors
from model_fns.layers import activations
from model_fns.layers import conv_gradients as convolution
from model_fns.layers import fractional_max_pool as fractional

v1 = tf.compat.v1

# The deviation of a standard normal cut off at two deviations; dividing by it gives the
# deviation back that the cut takes away. From scipy.stats.truncnorm.std(-2, 2).
_TRUNCATED_STDDEV = 0.87962566103423978

# Fixed, because the default picks another generator, and other numbers, per device.
_RNG = 'philox'

_ACTIVATIONS = {
    'relu': tf.nn.relu,
    'relu6': tf.nn.relu6,
    'leaky_relu': tf.nn.leaky_relu,
    'elu': tf.nn.elu,
    'gelu': tf.nn.gelu,
    'swish': tf.nn.silu,
    'quick_gelu': activations.quick_gelu,
    'selu': tf.nn.selu,
    'tanh': tf.nn.tanh,
    'sigmoid': tf.nn.sigmoid,
    'linear': tf.identity,
}

# Variance of a weight. He: He et al., 2015, equation 10. Glorot: Glorot and Bengio,
# 2010, equation 12. LeCun: LeCun et al., 1998, equation 16. PyTorch: what its layers
# have unless told otherwise, uniform there (`torch.nn.Linear.reset_parameters`).
_VARIANCES = {
    'he_normal': lambda fan_in, fan_out: 2.0 / fan_in,
    'glorot_normal': lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),
    'lecun_normal': lambda fan_in, fan_out: 1.0 / fan_in,
    'pytorch_normal': lambda fan_in, fan_out: 1.0 / (3.0 * fan_in),
    'identity': lambda fan_in, fan_out: 1.0 / (3.0 * fan_in),
    'zeros': None,
}


class LayerBuilder:
    """The layers of one network in one mode.

    Attributes:
        training: whether dropout drops, and batch normalization uses the batch.
        seed: of the first weights and of the dropout.
        compute_dtype: in which the layers compute. Variables are always float32 and
            are cast where they are used.
        dense_input: what the latest `dense` was given, floating [B, D]; None before.
            In the end this is what the network knows of an image.
        frozen: function (name) -> whether the variable of this name is to stay as it
            is. Batch normalization with such moving averages normalizes by them.
        step: int64 scalar: the global step.
        part: which part of the step's batch this is, a number or an int64 scalar.
        parts: into how many parts it was cut.
        pass_number: outside of training, which of several passes over the same
            images this is: each has its own regions of fractional pooling.
        random: whether a layer was random outside of training: only then is one pass
            another than the next.
        trains: whether a layer so far has a variable that is not frozen.
        cut: function (tensor) -> tensor, asked for the input of every layer from the
            first on that has something to train, or is random in training; see
            trunk.py.
        conv_gradients: of convolutions in training, see `convolution.conv2d`.
    """

    def __init__(
        self,
        training: bool,
        seed: int = 0,
        compute_dtype=tf.float32,
        *,
        frozen: Callable[[str], bool] = lambda name: False,
        step: tf.Tensor | None = None,
        part: int | tf.Tensor = 0,
        parts: int = 1,
        pass_number: int = 0,
        cut: Callable[[tf.Tensor], tf.Tensor] | None = None,
        conv_gradients: str = 'tensorflow',
    ):
        self.training = training
        self.seed = seed
        self.compute_dtype = tf.as_dtype(compute_dtype)
        self.frozen = frozen
        self.step = step
        self.part = part
        self.parts = parts
        self.pass_number = pass_number
        self.random = False
        self.trains = False
        self.cut = cut or (lambda x: x)
        self.conv_gradients = conv_gradients
        self.dense_input = None

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
        """Convolution.

        Args:
            name: of the variable scope that holds `kernel` and `bias`.
            x: [B, H, W, C].
            filters: output channels.
            kernel: its side in pixels, or height and width.
            strides: in pixels, in both directions.
            padding: 'SAME' or 'VALID'.
            use_bias: leave it out before batch normalization, which has its own.
            kernel_initializer: 'he_normal' (the default), 'glorot_normal',
                'lecun_normal', 'pytorch_normal', 'zeros' or, for an odd kernel,
                'identity': the first outputs are the inputs, as far as there are as
                many of both, the others as by 'pytorch_normal'.
            groups: into how many equal groups the channels are cut, of which the n-th
                of the outputs sees the n-th of the inputs only.

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
            x = self.entered(x, 'kernel', *(['bias'] if use_bias else []))
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
        """Matrix product plus bias.

        Args:
            name: of the variable scope that holds `kernel` and `bias`.
            x: [B, D].
            units: outputs.
            use_bias: whether there is a bias.
            kernel_initializer: as in `conv`.

        Returns:
            `compute_dtype` [B, units].
        """
        _check_positive(name, units=units)
        with v1.variable_scope(name):
            x = self.entered(x, 'kernel', *(['bias'] if use_bias else []))
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
        """Batch normalization over all axes but the last (Ioffe and Szegedy, 2015).

        In training it puts the updates of the moving averages into the collection
        `UPDATE_OPS`; `training.train_op` runs them. Each part of a batch that was cut
        is normalized by its own statistics, and moves the averages by so much less that
        all parts together move them as far as one whole batch.

        Args:
            name: of the variable scope that holds `gamma`, `beta`, `moving_mean` and
                `moving_variance`.
            x: [B, H, W, C] or [B, C].
            momentum: weight of the old moving average at each step.
            epsilon: added to the variance.
            zero_gamma: whether `gamma` starts at 0 instead of 1.
            scale: whether there is a `gamma`.

        Returns:
            `compute_dtype`, of the shape of `x`.
        """
        with v1.variable_scope(name):
            channels = _static(name, x, -1)
            x = self.entered(
                x,
                *(['gamma'] if scale else []),
                'beta',
                'moving_mean',
                'moving_variance',
            )
            gamma = tf.ones((channels,))
            if scale:
                first = tf.zeros if zero_gamma else tf.ones
                gamma = _variable('gamma', (channels,), first)
            beta = _variable('beta', (channels,), tf.zeros)
            mean = _moving_average('moving_mean', (channels,), tf.zeros)
            variance = _moving_average('moving_variance', (channels,), tf.ones)
            x = tf.cast(x, self.compute_dtype)
            # The fused op takes images only.
            flat = x.shape.rank == 2
            inputs = x[:, tf.newaxis, tf.newaxis, :] if flat else x
            if self.training and not self._frozen_averages():
                old = momentum ** (1.0 / self.parts)
                y, batch_mean, batch_variance = v1.nn.fused_batch_norm(
                    inputs, gamma, beta, epsilon=epsilon, is_training=True
                )
                for average, value in (
                    (mean, batch_mean),
                    (variance, batch_variance),
                ):
                    change = (average - value) * (1.0 - old)
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
        self, name: str, x: tf.Tensor, rate: float, whole: bool = False
    ) -> tf.Tensor:
        """Zeroes a share of the values in training (Srivastava et al., 2014).

        Args:
            name: two layers with one name and one scope would drop alike.
            x: any shape.
            rate: share of the values that become 0; the others grow by 1 / (1 - rate).
            whole: drop all of an example or nothing (stochastic depth, Huang et al.,
                2016).

        Returns:
            Of the shape and type of `x`; `x` itself where not training.

        Raises:
            SettingError: `rate` is not in [0, 1).
        """
        if not 0 <= rate < 1:
            raise errors.SettingError(
                f'{name}: the dropout rate must be at least 0 and below 1, got {rate}'
            )
        if rate == 0:
            return x
        x = self.cut(x)
        if not self.training:
            return x
        seed = self._training_seed(f'{name}/dropout')
        shape = tf.shape(x)
        if whole:
            shape = tf.concat([shape[:1], tf.ones_like(shape[1:])], 0)
        # Drawing is most of the cost, so each 32 random bits decide on two values: to
        # 2^-16 the share is exact. Not `tf.nn.experimental.stateless_dropout`, which
        # draws 32 for each, and for which XLA makes other floats of the same bits.
        count = tf.reduce_prod(shape)
        bits = tf.random.stateless_uniform(
            [(count + 1) // 2], seed, None, None, tf.int32, alg=_RNG
        )
        halves = tf.reshape(tf.bitcast(bits, tf.int16), [-1])[:count]
        least = min(round(rate * 2**16), 2**16 - 1) - 2**15
        kept = tf.cast(tf.reshape(halves, shape) >= least, x.dtype)
        # A product: `tf.where` takes somewhat longer.
        dropped = x * (kept * tf.cast(1.0 / (1.0 - rate), x.dtype))
        dropped.set_shape(x.shape)
        return dropped

    def entered(self, x: tf.Tensor, *names: str) -> tf.Tensor:
        """To be called by a layer with variables, inside its scope, before it computes.

        Args:
            x: its input.
            *names: of its variables.

        Returns:
            What to take for its input.
        """
        scope = v1.get_variable_scope().name
        if not all(self.frozen(f'{scope}/{name}') for name in names):
            self.trains = True
        return self.cut(x) if self.trains else x

    def variable(
        self,
        name: str,
        shape: tuple[int, ...],
        kernel_initializer: str | float = 'he_normal',
        fans: tuple[float, float] | None = None,
        trainable: bool = True,
    ) -> tf.Variable:
        """A variable in the scope around, for a layer that is not one of these.

        Args:
            name: of the variable.
            shape: its shape.
            kernel_initializer: as in `conv`, or a number, which all values begin with.
            fans: how many inputs an output sees, and outputs an input; None: those of
                a convolution or a dense layer.
            trainable: whether training may move it.
        """
        if not isinstance(kernel_initializer, str):
            initializer = v1.constant_initializer(kernel_initializer)
        else:
            initializer = self._initializer(name, shape, kernel_initializer, fans)
        return _variable(name, shape, initializer, trainable)

    def max_pool(
        self, x: tf.Tensor, size: int = 2, strides: int = 2, padding: str = 'VALID'
    ) -> tf.Tensor:
        """Largest value of each window of `size` by `size` pixels."""
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
        """Largest value of each of height by width random regions, see fractional.py.

        In training each step has its own regions, the same for all images of its
        batch; else they follow from seed, layer and `pass_number` alone, so that what a
        image is taken for does not depend on its company.

        Args:
            name: two layers with one name and one scope would have the same regions.
            x: [B, H, W, C]; H and W are at least height and width, at most twice those.
            height: of the output in pixels.
            width: also.
            pseudo_random: how the regions are drawn, see `fractional.boundaries`.
            overlapping: whether neighbouring regions share a row or column of pixels.

        Returns:
            Of the type of `x`, [B, height, width, C].
        """
        x = self.cut(x)
        starts = []
        for axis, outputs in ((1, height), (2, width)):
            what = f'{name}/regions{axis}'
            if self.training:
                seed = self._training_seed(what)
            else:
                seed = tf.constant(
                    [self._layer_seed(f'{what}/evaluation'), self.pass_number], tf.int64
                )
            starts.append(
                fractional.boundaries(
                    _static(name, x, axis), outputs, seed, pseudo_random
                )
            )
        self.random = True
        return fractional.max_pool(x, *starts, overlapping)

    def local_response_norm(
        self, x: tf.Tensor, radius: int, bias: float, alpha: float, beta: float
    ) -> tf.Tensor:
        """Divides by the activity of neighbouring channels (Krizhevsky et al., 2012).

        `x / (bias + alpha * sum(x ** 2)) ** beta`, the sum over the channels up to
        `radius` away: section 3.3 of the paper, where radius is n / 2, bias is k.

        Returns:
            Of the type and shape of `x`; computed in float32.
        """
        y = tf.nn.local_response_normalization(
            tf.cast(x, tf.float32), radius, bias, alpha, beta
        )
        return tf.cast(y, x.dtype)

    def global_average_pool(self, x: tf.Tensor) -> tf.Tensor:
        """The mean over all pixels: [B, H, W, C] to [B, C], computed in float32."""
        return tf.cast(tf.reduce_mean(tf.cast(x, tf.float32), axis=(1, 2)), x.dtype)

    def flatten(self, x: tf.Tensor) -> tf.Tensor:
        """[B, ...] to [B, product of the rest]; the rest must be known."""
        sizes = [_static('flatten', x, axis) for axis in range(1, x.shape.rank)]
        return tf.reshape(x, (-1, math.prod(sizes)))

    def activation(self, name: str):
        """Looks up a function by name.

        Raises:
            SettingError: there is no such activation.
        """
        if name not in _ACTIVATIONS:
            raise errors.unknown('activation', 'activation', name, _ACTIVATIONS)
        return _ACTIVATIONS[name]

    def initializer_for(self, activation: str) -> str:
        """The `kernel_initializer` that suits a layer before this activation."""
        if activation in ('tanh', 'sigmoid', 'linear'):
            return 'glorot_normal'
        # SELU normalizes itself only from 1 / fan_in (Klambauer et al., 2017).
        return 'lecun_normal' if activation == 'selu' else 'he_normal'

    def _convolution(self, x, kernel, strides, padding):
        if self.training and strides == 1 and None not in x.shape[1:]:
            return convolution.conv2d(x, kernel, self.conv_gradients, padding)
        return tf.nn.conv2d(x, kernel, strides, padding)

    def _layer_seed(self, what):
        return _hash(self.seed, f'{v1.get_variable_scope().name}/{what}')

    def _training_seed(self, what):
        """int64 [2], for what is random in one layer and differs from step to step."""
        step = self.step
        if step is None:
            step = tf.cast(v1.train.get_or_create_global_step(), tf.int64)
        replica = tf.cast(
            tf.distribute.get_replica_context().replica_id_in_sync_group, tf.int64
        )
        # The generator takes two numbers: one for the layer, one for step and replica.
        # Two to the 16th is more replicas, times parts, than anybody has.
        replica = replica * self.parts + tf.cast(self.part, tf.int64)
        layer = tf.constant(self._layer_seed(what), tf.int64)
        return tf.stack([layer, step * 2**16 + replica])

    def _frozen_averages(self):
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
        if kind not in _VARIANCES:
            raise errors.unknown('kernel_initializer', 'initializer', kind, _VARIANCES)
        if kind == 'zeros':
            return tf.zeros
        # In a convolution every output sees kernel * kernel pixels of each channel.
        field = math.prod(shape[:-2])
        variance = _VARIANCES[kind](*(fans or (field * shape[-2], field * shape[-1])))
        normal = _normal(self.seed, f'{v1.get_variable_scope().name}/{name}', variance)
        return _identity(normal) if kind == 'identity' else normal

    def _add_bias(self, y, units):
        bias = _variable('bias', (units,), tf.zeros)
        return tf.nn.bias_add(y, tf.cast(bias, self.compute_dtype))


def _hash(seed, name):
    """A number in [0, 2 ** 63) that is the same in every process and version."""
    digest = hashlib.sha256(f'{seed}/{name}'.encode()).digest()
    return int.from_bytes(digest[:8], 'big') >> 1


def _normal(seed, name, variance):
    """Initializer: normal, cut off at two deviations, from (seed, name) alone."""
    stddev = math.sqrt(variance) / _TRUNCATED_STDDEV

    # Stateless, because even an explicit seed of `tf.random.truncated_normal` is mixed
    # with the graph's seed.
    def initializer(shape, dtype=tf.float32):
        key = tf.constant([_hash(seed, name), 0], tf.int64)
        return tf.random.stateless_truncated_normal(
            shape, seed=key, stddev=stddev, dtype=dtype, alg=_RNG
        )

    return initializer


def _identity(others):
    """Initializer of a convolution: its first filters hand a channel on each."""

    def initializer(shape, dtype=tf.float32):
        height, width, channels, filters = tuple(shape)
        first = min(channels, filters)
        kernel = np.zeros((height, width, channels, first), np.float32)
        kernel[height // 2, width // 2, range(first), range(first)] = 1.0
        rest = others(shape, dtype)[..., first:]
        return tf.concat([tf.cast(kernel, dtype), rest], axis=-1)

    return initializer


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
    # ON_READ: each replica updates its own, and a checkpoint saves the mean of them.
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
