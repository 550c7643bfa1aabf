"""Facts about a dataset that are stored with a run and with the exported model."""

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """Facts about a dataset.

    Attributes:
      name: the format's name and variant, such as `cifar10`.
      class_names: names in the order of the labels; empty for regression.
      image_shape: (height, width, channels) of the images in a batch; for
        regression (number of inputs,).
      num_examples: dict split -> number of examples.
      mean: per channel, over the training images, in pixel values 0..255.
      stddev: standard deviation, as `mean`; never 0.
      fingerprints: dict split -> identity of its examples, see
        `input.fingerprint.Identity`; None: not known.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, ...]
    num_examples: dict[str, int]
    mean: tuple[float, ...]
    stddev: tuple[float, ...]
    fingerprints: dict[str, dict[str, Any]] | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.class_names)

    def to_json(self) -> str:
        """Returns the facts as JSON text."""
        fields = dataclasses.asdict(self)
        if self.fingerprints is None:
            del fields['fingerprints']
        return json.dumps(fields, indent=2) + '\n'

    @classmethod
    def from_json(cls, text: str) -> 'DatasetInfo':
        """Inverse of `to_json`."""
        fields = json.loads(text)
        for name in ('class_names', 'image_shape', 'mean', 'stddev'):
            fields[name] = tuple(fields[name])
        return cls(**fields)
