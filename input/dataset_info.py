"""What is known about a dataset, and travels with it to the served model."""

import dataclasses
import json


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
      stddev: also; never 0.
    """

    name: str
    class_names: tuple
    image_shape: tuple
    num_examples: dict
    mean: tuple
    stddev: tuple

    @property
    def num_classes(self):
        """Number of classes; 0 for regression."""
        return len(self.class_names)

    def to_json(self):
        """Returns the facts as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + '\n'

    @classmethod
    def from_json(cls, text):
        """Inverse of `to_json`."""
        fields = json.loads(text)
        for name in ('class_names', 'image_shape', 'mean', 'stddev'):
            fields[name] = tuple(fields[name])
        return cls(**fields)
