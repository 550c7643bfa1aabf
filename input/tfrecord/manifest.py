"""manifest.json: what `input.convert.to_tfrecords` says about the shards that it wrote."""

import json
import os

from estimator_clf.core.errors import DataError
from input.dataset_info import DatasetInfo

NAME = 'manifest.json'
_VERSION = 1


class Manifest:
    """The facts about a directory of shards.

    Attributes:
      info: `DatasetInfo`.
      class_names: list of str.
      image_shape: (height, width, channels).
      shards: dict split -> list of dicts 'file' (name), 'examples', 'bytes'.
    """

    def __init__(self, info, shards):
        """Makes the manifest.

        Args:
          info: `DatasetInfo`.
          shards: see the attribute.
        """
        self.info = info
        self.class_names = list(info.class_names)
        self.image_shape = tuple(info.image_shape)
        self.shards = shards
        self._by_name = {s['file']: s for part in shards.values() for s in part}

    def write(self, directory):
        """Writes it into a directory."""
        content = {
            'version': _VERSION,
            'info': json.loads(self.info.to_json()),
            'splits': self.shards,
        }
        with open(os.path.join(directory, NAME), 'w', encoding='utf-8') as file:
            json.dump(content, file, indent=1)
            file.write('\n')

    def count(self, path):
        """Returns the number of records of a file; None if it is not listed.

        Raises:
          DataError: the file is not as long as it was.
        """
        shard = self._by_name.get(os.path.basename(path))
        if shard is None:
            return None
        size = os.path.getsize(path)
        if size != shard['bytes']:
            what = 'cut short' if size < shard['bytes'] else 'another file'
            raise DataError(
                f'{path} must be {shard["bytes"]} bytes long, as {NAME} beside it '
                f'says, got {size}: it is {what}; get it again'
            )
        return shard['examples']

    def check_complete(self, splits):
        """Raises DataError if a listed file is not among the `Shard`s found."""
        found = {shard.name for shards in splits.values() for shard in shards}
        for name in self._by_name:
            if name not in found:
                raise DataError(f'{name} is missing, which {NAME} beside it lists')


def read_manifest(directory):
    """Reads the manifest of a directory.

    Returns:
      `Manifest`, or None if there is none.

    Raises:
      DataError: it cannot be understood.
    """
    path = os.path.join(directory, NAME)
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        if not isinstance(content, dict) or 'splits' not in content:
            return None  # Somebody else's file of that name.
        if content['version'] != _VERSION:
            raise DataError(
                f'{path} is of version {content["version"]}, known is {_VERSION}; '
                'convert the data again'
            )
        info = DatasetInfo.from_json(json.dumps(content['info']))
        return Manifest(info, content['splits'])
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f'{path} cannot be understood ({error!r}); convert the data again, or '
            'remove it'
        ) from None
