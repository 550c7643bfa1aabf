"""Explains what is wrong with a record: not an Example, or features of another kind."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import estimator_clf.compat  # noqa: F401  Configures TensorFlow's logging first.

import tensorflow as tf

from estimator_clf.core.errors import DataError

_KINDS = {'bytes_list': 'text', 'int64_list': 'integer', 'float_list': 'float'}


@dataclasses.dataclass(frozen=True)
class Features:
    """Names of the features of a record.

    Attributes:
      image: name of the feature with the encoded image.
      label: name of the feature with the class's number.
      text: name of the feature with the class's name; '': none.
      offset: label of the first class.
    """

    image: str = 'image/encoded'
    label: str = 'image/class/label'
    text: str = 'image/class/text'
    offset: int = 0

    def read(self, serialized: bytes) -> tuple[bytes, int | str | None]:
        """Parses a record as training does.

        Returns:
          (encoded image, class as number or name, or None).

        Raises:
          DataError: what is wrong with it.
        """
        features = parse(serialized)
        image = _values(features, self.image, 'text')
        if not image:
            raise DataError(
                f'it has no feature {self.image!r}; it has: {listed(features)}'
            )
        label = _values(features, self.label, 'integer')
        if label:
            return image[0], label[0] - self.offset
        text = _values(features, self.text, 'text') if self.text else ()
        return image[0], text[0].decode('utf-8', 'replace') if text else None

    def why_invalid(self, serialized: bytes) -> str | None:
        """Returns what is wrong with the features of a record; None: nothing."""
        try:
            self.read(serialized)
        except DataError as error:
            return str(error)
        return None


def parse(serialized: bytes) -> Mapping[str, Any]:
    """Parses a record to a mapping name -> `tf.train.Feature`.

    Raises:
      DataError: it is not a tf.train.Example.
    """
    try:
        return tf.train.Example.FromString(serialized).features.feature
    except Exception:  # Of protobuf; which class depends on its version.
        raise DataError(
            f'it is not a tf.train.Example ({len(serialized)} bytes that begin with '
            f'{serialized[:8]!r})'
        ) from None


def kinds(features: Mapping[str, Any]) -> dict[str, str]:
    """Returns dict name -> kind of the features of a record that have values."""
    found = {}
    for name in sorted(features):
        kind, values = _content(features[name])
        if values:
            found[name] = kind if len(values) == 1 else f'{len(values)} x {kind}'
    return found


def listed(features: Mapping[str, Any]) -> str:
    """Lists the features of a record with their kinds."""
    pairs = kinds(features).items()
    return ', '.join(f'{name} ({kind})' for name, kind in pairs) or 'nothing'


def _values(features: Mapping[str, Any], name: str, kind: str) -> Sequence[Any]:
    """Returns the only value of a feature in a list; empty where it is missing."""
    found, values = _content(features[name]) if name in features else ('', ())
    if values and (found != kind or len(values) != 1):
        found = kinds(features)[name]
        raise DataError(f'its feature {name!r} must be one {kind}, got {found}')
    return values


def _content(feature: Any) -> tuple[str, Sequence[Any]]:
    """Returns (kind, values) of a `tf.train.Feature`."""
    field = feature.WhichOneof('kind')
    return (_KINDS[field], getattr(feature, field).value) if field else ('', ())
