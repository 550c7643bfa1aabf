"""First weights that a network computes from the training images."""

import functools
import math

import estimator_clf.compat  # noqa: F401  Loads TensorFlow without its chatter.

import tensorflow as tf

from estimator_clf.core.errors import ConfigError
from estimator_clf.core.variable_patterns import name_of
from input.sources.base import as_numpy_batches
from model_fns.optimizers.ema import owner_of

v1 = tf.compat.v1

# How many images; for CIFAR-10 as many as airbench takes.
EXAMPLES = 5000

_BATCH, _NUMBERS = 250, 2**23


class DataDependentInitHook(v1.train.SessionRunHook):
    """Puts computed weights into a network, at step 0 only.

    Before any hook that saves, so that the checkpoint of step 0 has the weights; and
    before that of a warm start, which has the last word.

        fit = model_fn.fitted  # Of `make_model_fn`; None: there is nothing to compute.
        hook = DataDependentInitHook(lambda: fit(images(source, 'train')))
        est.train(input_fn, hooks=[hook])

    A moving average of such a variable gets the same value.
    """

    def __init__(self, compute):
        """Makes the hook.

        Args:
          compute: function without arguments that returns dict name of a variable ->
            array; called once, at the latest when the training begins. A name of no
            variable is a ConfigError then.
        """
        self._compute = compute

    @functools.cached_property
    def values(self):
        """dict name of a variable -> array; computed when it is first asked for."""
        return self._compute()

    def begin(self):
        # Of all: which of them are to be set, only `compute` knows.
        self._variables = {}
        for variable in v1.global_variables():
            owner = owner_of(name_of(variable))
            self._variables.setdefault(owner, []).append(variable)

    def after_create_session(self, session, coord):
        del coord
        if int(session.run(v1.train.get_global_step(session.graph))):
            return
        for name, value in self.values.items():
            if name not in self._variables:
                raise ConfigError(
                    f'there is no variable {name!r} to begin with a computed value'
                )
            for variable in self._variables[name]:
                parts = [variable]
                if isinstance(variable, tf.distribute.DistributedValues):
                    parts = variable.values  # Of every replica.
                for part in parts:
                    part.load(value, session)


def make_init_hook(config, source, model_fn):
    """Makes the hook that a run needs.

    Args:
      config: `Config`.
      source: `input.sources.base.DataSource`.
      model_fn: of `make_model_fn`.

    Returns:
      `DataDependentInitHook`; None for a network that computes nothing, and for a run
      that goes
      on: its checkpoints have what it began with.
    """
    fit = getattr(model_fn, 'data_dependent_init', None)
    if fit is None or tf.train.latest_checkpoint(config.model_dir):
        return None
    return DataDependentInitHook(
        lambda: fit(_Images(source, config.train_split, config.eval_crop))
    )


class _Images:
    """`images`, which may be gone through several times."""

    def __init__(self, *args):
        self._args = args

    def __iter__(self):
        return pictures(*self._args)


def pictures(source, split, eval_crop=1.0, count=EXAMPLES):
    """Yields batches of a split's images, uint8 [B, H, W, C], as they are evaluated.

    In a shuffled order that is always the same, for in natural order the first ones are
    often of one class.

    Args:
      source: `input.sources.base.DataSource`.
      split: its name.
      eval_crop: see `DataSource.input_fn`.
      count: how many images at the most; some fewer if it is no multiple of a batch.
    """
    size = source.num_examples[split]
    # Large images fewer at a time: some 12 times their pixels are needed at once.
    batch = max(1, min(_BATCH, size, _NUMBERS // math.prod(source.image_shape)))
    input_fn = source.input_fn(split, batch, training=True, eval_crop=eval_crop)
    for features, _ in as_numpy_batches(input_fn, min(count, size) // batch):
        yield features['image']
