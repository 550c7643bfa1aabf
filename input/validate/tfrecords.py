"""Scans TFRecord files to the end, or to the first corrupt record."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from estimator_clf.core.errors import DataError, is_out_of_memory
from input.formats.tfrecord import names_in_file
from input.images.tf_messages import short_reason
from input.sampling.stateless_random import is_validation_example
from input.sources.base import as_numpy_batches
from input.sources.records import record_dataset, record_ids
from input.split_names import canonical
from input.tfrecord.diagnose import Features
from input.tfrecord.files import Shard, compression_of, count_records
from input.tfrecord.manifest import read_manifest
from input.tfrecord.shard_names import find_shards, unused_files
from input.validate.report import Finding


class TFRecordScan:
    """The files of a dataset in TFRecords.

    Attributes:
      shards: dict split -> shards that can be read, corrupt ones with 0 records.
      class_names: names in files next to the records, or None.
      findings: the findings; grows while records are read.
    """

    def __init__(self, data_dir: str | None, validation_split: float | None = None):
        """Inspects the files, not yet the records.

        Raises:
          DataError: no such directory, or no such files in it.
        """
        if not data_dir:
            raise DataError('`data_dir` is required for `dataset=tfrecord`')
        self.findings: list[Finding] = []
        self.shards: dict[str, list[Shard]] = {}
        self._fraction = validation_split or 0.0
        self._manifest = self._try(read_manifest, data_dir)
        self.class_names = self._try(names_in_file, data_dir, self._manifest)
        if self.class_names is None and self._manifest:
            self.class_names = self._manifest.class_names
        try:
            found = find_shards(data_dir)
        except DataError:
            if not os.path.isdir(data_dir):
                raise
            found = {}  # `open_dataset` reports what is wrong with them.
        unused = unused_files(data_dir, found).items() if found else ()
        for reason, path, count in unused:
            number = f'{count} files, ' if os.path.isdir(path) else ''
            self.findings.append(Finding('ignored', path, number + reason))
        for split in found:
            if not canonical(split):
                detail = (
                    f'is the split {split!r}, which `train_split={split}` trains on; '
                    'files of one split are called train-00000-of-00002, …'
                )
                self.findings.append(Finding('ignored', found[split][0], detail, split))
        for split in sorted(found, key=lambda split: split != 'train'):
            shards = [self._shard(path, split) for path in found[split]]
            self.shards[split] = [shard for shard in shards if shard]
        self._hold = bool(validation_split) and 'validation' not in self.shards

    def __len__(self) -> int:
        return sum(s.count for shards in self.shards.values() for s in shards)

    def _try(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except DataError as error:
            self.findings.append(Finding('corrupt_file', arguments[0], str(error)))
            return None

    def _shard(self, path: str, split: str) -> Shard | None:
        try:
            compression = compression_of(path)
            count = count_records(path, compression)
            if self._manifest and self._manifest.count(path) not in (count, None):
                raise DataError(
                    f'has {count} records, but the manifest lists another number'
                )
        except DataError as error:
            detail = str(error).removeprefix(f'{path} ')
            self.findings.append(Finding('corrupt_file', path, detail, split))
            try:
                return Shard(path, 0, compression=compression_of(path))
            except DataError:
                return None
        return Shard(path, count, compression=compression)

    def records(self) -> Iterator[tuple[str, str, bytes]]:
        """Yields (name of the record, split, its bytes)."""
        for split, shards in self.shards.items():
            for shard in shards:
                yield from self._records_of(split, shard)

    def _records_of(self, split: str, shard: Shard) -> Iterator[tuple[str, str, bytes]]:
        held = None
        if self._hold and split == 'train' and shard.count:
            held = is_validation_example(record_ids(shard), self._fraction)
        done = 0

        def dataset():
            return record_dataset(shard.path, shard.compression).prefetch(16)

        try:
            for serialized in as_numpy_batches(dataset):
                held_out = held is not None and held[done]
                name = f'{shard.path}, record {done}'
                yield name, 'validation' if held_out else split, serialized
                done += 1
        except tf.errors.OpError as error:
            if is_out_of_memory(error):
                raise
            if shard.count:  # Otherwise it is reported already.
                detail = f'reading fails at record {done} of {shard.count}: '
                detail += short_reason(error)
                self.findings.append(Finding('corrupt_file', shard.path, detail, split))


def features_of(options: Mapping[str, Any]) -> Features:
    """Returns the feature names of options of `input.formats.tfrecord`."""
    given = {
        field.name: options.get(option)
        for field, option in zip(
            dataclasses.fields(Features),
            ('image_key', 'label_key', 'text_key', 'label_offset'),
            strict=True,
        )
    }
    return Features(**{k: v for k, v in given.items() if v not in (None, '')})
