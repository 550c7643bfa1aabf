"""Fits the last layer of a network to the features before it."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import numpy as np
import threadpoolctl

from estimator_clf.core.errors import ConfigError
from estimator_clf.training.data_dependent_init import DataDependentInitHook
from estimator_clf.training.transfer import strength
from estimator_clf.training.transfer.defaults import CLASSIFIER
from estimator_clf.training.transfer.strength import Choice, Examples
from estimator_clf.warm_start.assignment import model_variables


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A classifier and how its regularization was chosen.

    Attributes:
      kernel: float64 [D, K], for features as they are.
      bias: float64 [K].
      l2: strength of the regularization.
      choice: how it was chosen; None: it was given.
    """

    kernel: np.ndarray
    bias: np.ndarray
    l2: float
    choice: Choice | None

    def summary(self) -> str:
        """Describes the fit in one sentence."""
        size = f'{self.kernel.shape[0]} numbers of each image'
        text = f'softmax regression on {size}, `classifier_l2={self.l2:.4g}`'
        if self.choice is None:
            return text
        text += f', chosen by {self.choice.method}'
        if self.choice.held_out:
            low, high = self.choice.interval
            best = self.choice.best
            text += (
                f': accuracy {best.accuracy:.4f} (95 % interval {low:.3f} to '
                f'{high:.3f}), cross-entropy {best.cross_entropy:.4f}, '
                f'n = {self.choice.held_out}'
            )
        return text

    def scalars(self) -> dict[str, float]:
        """Returns numbers for the logs."""
        found = {'l2': self.l2}
        if self.choice and self.choice.held_out:
            found['cross_entropy'] = self.choice.best.cross_entropy
            found['accuracy'] = self.choice.best.accuracy
            found['accuracy_low'], found['accuracy_high'] = self.choice.interval
            found['examples'] = float(self.choice.held_out)
        return found

    def facts(self) -> dict[str, Any]:
        """Returns JSON facts for the records of the run."""
        facts: dict[str, Any] = dict(self.scalars())
        if self.choice:
            facts['chosen_by'] = self.choice.method
            facts['candidates'] = [dataclasses.astuple(c) for c in self.choice.tried]
        return facts

    def table(self) -> str:
        """Returns the results of all strengths, in Markdown."""
        rows = [f'| {self.l2:.4g} | given | |']
        if self.choice:
            rows = [
                f'| {c.l2:.4g} | {c.cross_entropy:.4f} | {c.accuracy:.4f} |'
                for c in self.choice.tried
            ]
        head = '| L2 | cross-entropy | accuracy |\n| --- | --- | --- |\n'
        return head + '\n'.join(rows)


@dataclasses.dataclass(frozen=True)
class LastLayer:
    """The layer that is fitted.

    Attributes:
      kernel: name of its variable [D, K].
      bias: name of its variable [K].
      size: D.
      num_classes: K.
      blocks: number of equal blocks of its input, one for each pooling.
    """

    kernel: str
    bias: str
    size: int
    num_classes: int
    blocks: int

    def examples(self, features: np.ndarray, labels: np.ndarray) -> Examples:
        """Makes the examples of a fit.

        Args:
          features: float32 [V, N, …], the output of the frozen part of the network.
          labels: integers [N].

        Raises:
          ConfigError: they are not the input of this layer.
        """
        if features.ndim != 3 or features.shape[-1] != self.size:
            raise ConfigError(
                f'`transfer` fits the layer {self.kernel.rpartition("/")[0]!r} to '
                f'vectors of {self.size} numbers, but the part of the network before '
                f'it ends with the shape {list(features.shape[2:])}: use a network '
                'without other layers after its pooling'
            )
        return Examples(np.asarray(features), np.asarray(labels), self.blocks)

    def hook(self, fitted: Fitted) -> DataDependentInitHook:
        """Makes the hook that sets the weights at step 0."""
        values = {
            self.kernel: fitted.kernel.astype(np.float32),
            self.bias: fitted.bias.astype(np.float32),
        }
        return DataDependentInitHook(lambda: values)


def layer_of(
    model_fn: Callable, input_fn: Callable, options: Mapping[str, object]
) -> LastLayer:
    """Finds the last layer of a network.

    Args:
      model_fn: function (features, labels, mode) -> EstimatorSpec.
      input_fn: that of the training; nothing is read.
      options: of the network; `pooling` may name several, as in avg+max.

    Raises:
      ConfigError: the network has no such layer, or one without a bias.
    """
    shapes = model_variables(model_fn, input_fn)
    pattern = re.compile(rf'(^|/){CLASSIFIER}/(\w+)$')
    found: dict[str, tuple[str, Any]] = {}
    for name, shape in shapes.items():
        match = pattern.search(name)
        if match:
            found[match[2]] = name, shape
    if set(found) != {'kernel', 'bias'} or len(found['kernel'][1]) != 2:
        there = ', '.join(name for name, _ in found.values()) or 'nothing'
        raise ConfigError(
            f'`transfer` needs a network whose last layer is called {CLASSIFIER} and '
            f'has a kernel and a bias; found {there}. Use squeezenet or pretrained'
        )
    (kernel, (size, num_classes)), (bias, _) = found['kernel'], found['bias']
    blocks = len(str(options.get('pooling', '')).split('+'))
    if size % blocks:
        blocks = 1
    return LastLayer(kernel, bias, size, num_classes, blocks)


def fit_and_choose(
    training: Examples,
    num_classes: int,
    *,
    validation: Examples | None = None,
    l2: float | None = None,
    class_weights: np.ndarray | None = None,
    seed: int = 0,
) -> Fitted:
    """Fits a classifier, with the regularization that is given or chosen.

    Args:
      training: features and labels.
      num_classes: K.
      validation: see `strength.choose`.
      l2: strength of the regularization; None: chosen.
      class_weights: [K]; None: all equal.
      seed: of the folds of cross-validation.

    Raises:
      ConfigError: features that are not finite.
    """
    if not np.isfinite(training.x).all():
        raise ConfigError(
            '`transfer`: the features of some images are not finite; check the '
            'pretrained weights'
        )
    # One thread: the bits of a sum depend on their number, and threads that wait for
    # each other on a busy machine take many times as long.
    with threadpoolctl.threadpool_limits(1):
        return _fit_and_choose(
            training, num_classes, validation, l2, class_weights, seed
        )


def _fit_and_choose(training, num_classes, validation, l2, class_weights, seed):
    choice = None
    if l2 is None:
        choice = strength.choose(
            training,
            num_classes,
            validation=validation,
            class_weights=class_weights,
            seed=seed,
        )
        l2 = choice.l2
    kernel, bias = strength.fit(training, num_classes, l2, class_weights)
    return Fitted(kernel, bias, l2, choice)
