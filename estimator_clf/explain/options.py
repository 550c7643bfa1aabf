"""Options of explanations."""

import dataclasses

from estimator_clf.explain import activation_maximization


@dataclasses.dataclass(frozen=True)
class ExplainOptions:
    """Options of all kinds of explanations; each kind reads its own.

    Attributes:
      layer: name of a layer, for features, maximize and dream; '': the default layer.
      units: channels or units of that layer; empty: the first ones, or all together.
      class_name: class to explain; '': the predicted class, or all classes.
      steps: number of steps of iterative kinds; 0: the default of the kind.
      baseline: 'mean' or 'black', the baseline of integrated gradients.
      patch: side of the occluding patch in pixels; 0: the default.
      stride: step of the patch in pixels; 0: a third of its side.
      smoothness: see `activation_maximization.maximize`.
      sparsity: see `activation_maximization.maximize`.
      dream_size: longest side of a dream in pixels; 0: the default.
      max_pixels: maximum size of images to dream on; 0: no limit.
      seed: of all random numbers.
    """

    layer: str = ''
    units: tuple[int, ...] = ()
    class_name: str = ''
    steps: int = 0
    baseline: str = 'mean'
    patch: int = 0
    stride: int = 0
    smoothness: float = activation_maximization.SMOOTHNESS
    sparsity: float = activation_maximization.SPARSITY
    dream_size: int = 0
    max_pixels: int = 0
    seed: int = 0
