"""What is wished for, beside the kind of image."""

import dataclasses

from estimator_clf.explain import activation_maximization


@dataclasses.dataclass(frozen=True)
class Wish:
    """How to explain; every kind reads what it knows of.

    Attributes:
      layer: name of a layer, for features, maximize and dream; '': each kind's usual.
      units: channels or units of that layer; empty: the first ones, or all together.
      class_name: the class to explain; '': the one that is predicted, or every one.
      steps: of the kinds that go by steps; 0: as usual.
      baseline: 'mean' or 'black', where integrated gradients begin.
      patch: side of the occluding patch in pixels; 0: as usual.
      stride: by how much it moves; 0: a third of its side.
      smoothness: see `maximize.maximize`.
      sparsity: also.
      dream_size: the longest side of a dream in pixels; 0: as usual.
      max_pixels: refuse larger images to dream on; 0: any.
      seed: of all that is random.
    """

    layer: str = ''
    units: tuple = ()
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


@dataclasses.dataclass(frozen=True)
class Figure:
    """A sheet that was made.

    Attributes:
      name: of its file, without directory and '.png'.
      image: `PIL.Image.Image`.
      said: lines for the terminal: what was measured on the way.
    """

    name: str
    picture: object
    said: tuple = ()
