"""Initial weights that a network computes from training images."""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import numpy as np
import tensorflow as tf

from estimator_clf.config.config import Config
from estimator_clf.core.errors import ConfigError
from estimator_clf.core.variable_patterns import name_of
from input.sources.base import DataSource, as_numpy_batches
from model_fns.optimizers.ema import owner_of

v1 = tf.compat.v1

# Number of images; for CIFAR-10 that of airbench.
EXAMPLES = 5000

# Maximum images, and maximum pixel values, of a batch.
_BATCH, _NUMBERS = 250, 2**23


class DataDependentInitHook(tf.compat.v1.train.SessionRunHook):
    """Sets computed initial weights, at step 0 only.

    It must precede every hook that saves, so that the checkpoint of step 0 has the
    weights, and the hook of a warm start, which overrides them.

        compute = model_fn.data_dependent_init  # None: nothing is computed.
        hook = DataDependentInitHook(lambda: compute(images(source, 'train')))
        estimator.train(input_fn, hooks=[hook])

    A moving average of such a variable gets the same value.
    """

    def __init__(self, compute: Callable[[], Mapping[str, np.ndarray]]):
        """Makes the hook.

        Args:
          compute: function without arguments that returns dict name of a variable ->
            array; called once, at the latest when the training starts. A name without
            a variable raises ConfigError then.
        """
        self._compute = compute

    @functools.cached_property
    def values(self) -> Mapping[str, np.ndarray]:
        """dict name of a variable -> array; computed at the first access."""
        return self._compute()

    def begin(self) -> None:
        # Of all variables: the names to set are known only after `compute`.
        self._variables: dict[str, list] = {}
        for variable in v1.global_variables():
            owner = owner_of(name_of(variable))
            self._variables.setdefault(owner, []).append(variable)

    def after_create_session(self, session: Any, coord: Any) -> None:
        del coord
        if int(session.run(v1.train.get_global_step(session.graph))):
            return
        for name, value in self.values.items():
            if name not in self._variables:
                raise ConfigError(
                    f'there is no variable {name!r} to initialize with a computed value'
                )
            for variable in self._variables[name]:
                parts = [variable]
                if isinstance(variable, tf.distribute.DistributedValues):
                    parts = variable.values  # Of every replica.
                for part in parts:
                    part.load(value, session)


def make_init_hook(
    config: Config, source: DataSource, model_fn: Callable
) -> DataDependentInitHook | None:
    """Makes the hook of a run.

    Args:
      config: settings of the run.
      source: `input.sources.base.DataSource` of its data.
      model_fn: of `make_model_fn`.

    Returns:
      `DataDependentInitHook`; None for a network that computes nothing, and for a
      resumed run, whose checkpoints have its weights.
    """
    compute = getattr(model_fn, 'data_dependent_init', None)
    if compute is None or tf.train.latest_checkpoint(config.run.model_dir):
        return None
    batches = _Batches(source, config.data.train_split, config.data.eval_crop)
    return DataDependentInitHook(lambda: compute(batches))


class _Batches:
    """`images` as an iterable that can be iterated several times."""

    def __init__(self, *args: Any):
        self._args = args

    def __iter__(self) -> Iterator[np.ndarray]:
        return images(*self._args)


def images(
    source: DataSource, split: str, eval_crop: float = 1.0, count: int = EXAMPLES
) -> Iterator[np.ndarray]:
    """Yields batches of a split's images, uint8 [B, H, W, C], as evaluation reads them.

    The order is shuffled, always in the same way: in natural order the first images
    are often of one class.

    Args:
      source: `input.sources.base.DataSource`.
      split: name of the split.
      eval_crop: see `DataSource.input_fn`.
      count: maximum number of images, rounded down to whole batches.
    """
    size = source.num_examples[split]
    # Smaller batches of large images: some 12 times their pixels are needed at once.
    batch = max(1, min(_BATCH, size, _NUMBERS // math.prod(source.image_shape)))
    input_fn = source.input_fn(split, batch, training=True, eval_crop=eval_crop)
    for features, _ in as_numpy_batches(input_fn, min(count, size) // batch):
        yield features['image']
