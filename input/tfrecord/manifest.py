"""manifest.json: the shards that `input.convert` wrote, with their sizes."""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from estimator_clf.core.errors import DataError
from input.dataset_info import DatasetInfo
from input.tfrecord.files import Shard

NAME = 'manifest.json'
_VERSION = 1


class Manifest:
    """Facts about a directory of shards.

    Attributes:
      info: facts about the dataset.
      class_names: names in the order of the labels.
      image_shape: (height, width, channels).
      shards: dict split -> list of dicts 'file' (name), 'examples', 'bytes'.
    """

    def __init__(self, info: DatasetInfo, shards: Mapping[str, list[dict[str, Any]]]):
        """Makes the manifest.

        Args:
          info: see the attribute.
          shards: see the attribute.
        """
        self.info = info
        self.class_names = list(info.class_names)
        self.image_shape = tuple(info.image_shape)
        self.shards = shards
        self._by_name = {s['file']: s for part in shards.values() for s in part}

    def write(self, directory: str) -> None:
        """Writes the file into a directory."""
        content = {
            'version': _VERSION,
            'info': json.loads(self.info.to_json()),
            'splits': self.shards,
        }
        with open(os.path.join(directory, NAME), 'w', encoding='utf-8') as file:
            json.dump(content, file, indent=1)
            file.write('\n')

    def count(self, path: str) -> int | None:
        """Returns the number of records of a file; None if it is not listed.

        Raises:
          DataError: the file has another size than when it was written.
        """
        shard = self._by_name.get(os.path.basename(path))
        if shard is None:
            return None
        size = os.path.getsize(path)
        if size != shard['bytes']:
            what = 'cut short' if size < shard['bytes'] else 'another file'
            raise DataError(
                f'{path} must be {shard["bytes"]} bytes long, as {NAME} next to '
                f'it lists, got {size}: it is {what}; get it again'
            )
        return shard['examples']

    def check_complete(self, splits: Mapping[str, Iterable[Shard]]) -> None:
        """Raises DataError if a listed file is not among the shards found."""
        found = {shard.name for shards in splits.values() for shard in shards}
        for name in self._by_name:
            if name not in found:
                raise DataError(f'{name} is missing, which {NAME} lists')


def read_manifest(directory: str) -> Manifest | None:
    """Reads the manifest of a directory.

    Returns:
      The manifest, or None if there is none.

    Raises:
      DataError: it cannot be parsed.
    """
    path = os.path.join(directory, NAME)
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        if not isinstance(content, dict) or 'splits' not in content:
            return None  # A file of another program.
        if content['version'] != _VERSION:
            raise DataError(
                f'{path} must be of version {_VERSION}, got {content["version"]}; '
                'convert the data again'
            )
        info = DatasetInfo.from_json(json.dumps(content['info']))
        return Manifest(info, content['splits'])
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f'{path} cannot be parsed ({error!r}); convert the data again, or remove it'
        ) from None
