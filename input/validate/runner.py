"""Runs the check: a stream of examples through threads into an index."""

import collections
import concurrent.futures
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from estimator_clf.core.errors import DataError, is_out_of_memory
from estimator_clf.core.hardware.cpu_info import available_cores
from input.images.image_shape import parse_size
from input.images.limits import MAX_IMAGE_PIXELS
from input.registry import open_dataset
from input.sources.base import DataSource
from input.sources.in_memory import ArraySource
from input.validate import class_names as names
from input.validate.directory import DirectoryScan
from input.validate.example_index import ExampleIndex
from input.validate.image import (
    ImageInspector,
    ImageReport,
    hash_pixels,
    is_blank,
    quiet_pillow,
)
from input.validate.report import Finding, Report
from input.validate.tfrecords import TFRecordScan, features_of

# Size of the network's input if the data cannot be opened to infer it.
_DEFAULT_SIZE = (64, 64)

Progress = Callable[[int, int], object]


def check_data(
    source_args: Mapping[str, Any],
    report: Report,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[str, int]]:
    """Checks every example of a dataset.

    Images are decoded by the function that training uses, in threads: reading, decoding
    and hashing all release Python's lock, and processes would each have to load
    TensorFlow.

    Args:
      source_args: arguments for `input.open_dataset`.
      report: collects the findings.
      workers: number of threads; by default one per core.
      progress: function (examples done, total), called regularly.

    Returns:
      dict split -> dict class -> number of examples, including unreadable ones.

    Raises:
      DataError: invalid arguments, such as a directory that does not exist.
    """
    args = {k: v for k, v in source_args.items() if v not in (None, '')}
    source, refusal = _open(args)
    report.class_names = source.class_names if source is not None else ()
    check = _Check(report, source, args, workers or available_cores(), progress)
    format_name = args['name'].partition(':')[0]
    with quiet_pillow():
        if format_name == 'image_folder':
            check.directory()
        elif format_name == 'tfrecord':
            check.records()
        elif isinstance(source, ArraySource):
            check.arrays(source)
        elif source is not None and source.class_names:
            check.encoded(source)
    for note in source.known_losses if source else ():
        report.add(Finding('stored_form', args.get('data_dir', args['name']), note))
    if refusal:
        report.add(Finding('refused', args.get('data_dir', args['name']), refusal))
    return check.finish()


@dataclasses.dataclass
class _Example:
    """One example; `data` is its image or its record, empty until a file is read."""

    where: str
    split: str
    label: str | None
    data: bytes = b''


# An example, its findings apart from its image, and the report on its image.
Checked = tuple[_Example, list[tuple[str, str]], ImageReport | None]


class _Check:
    """Checks one dataset."""

    def __init__(
        self,
        report: Report,
        source: DataSource | None,
        args: Mapping[str, Any],
        workers: int,
        progress: Progress | None,
    ):
        self._report, self._source, self._args = report, source, args
        self._workers, self._progress = workers, progress
        self._index = ExampleIndex()
        self._total = 0

    def directory(self) -> None:
        """Checks a directory of images."""
        scan = DirectoryScan(
            self._args.get('data_dir'),
            self._args.get('label_pattern'),
            self._args.get('validation_split'),
            self._args.get('splits', True),
        )
        self._report_all(scan.findings)
        self._total = sum(map(len, scan.examples.values()))

        def examples():
            for split, found in scan.examples.items():
                for path, label in found:
                    yield _Example(path, split, label)

        inspect = self._inspector()

        def work(example):
            try:
                with open(example.where, 'rb') as file:
                    data = file.read()
            except OSError as error:
                return example, [('unreadable', error.strerror or str(error))], None
            return example, [], inspect(data, example.where)

        self._run(work, examples())

    def records(self) -> None:
        """Checks TFRecord files."""
        scan = TFRecordScan(
            self._args.get('data_dir'), self._args.get('validation_split')
        )
        features = features_of(self._args)
        class_names: Sequence[str] | None = scan.class_names
        if self._source is not None:
            class_names = self._source.class_names
        self._total = len(scan)
        inspect = self._inspector()

        def examples():
            for where, split, serialized in scan.records():
                yield _Example(where, split, None, serialized)

        def work(example):
            try:
                data, label = features.read(example.data)
            except DataError as error:
                return example, [('unreadable', str(error))], None
            example.label, problem = _class_of(label, class_names)
            findings = [('label_out_of_range', problem)] if problem else []
            return example, findings, inspect(data)

        self._run(work, examples())
        self._report_all(scan.findings)

    def encoded(self, source: DataSource) -> None:
        """Checks any other source of encoded images."""
        self._total = sum(source.num_examples.values())
        inspect = self._inspector()
        errors = []

        def examples():
            for split in source.num_examples:
                try:
                    for key, data, label in source.encoded(split):
                        yield _Example(key, split, source.class_names[label], data)
                except tf.errors.OpError as error:
                    if is_out_of_memory(error):
                        raise
                    errors.append((split, error))

        self._run(lambda example: (example, [], inspect(example.data)), examples())
        for split, error in errors:
            reason = source.explain(error) or error.message
            self._report.add(
                Finding('unreadable', source.name, f'reading fails: {reason}', split)
            )

    def arrays(self, source: ArraySource) -> None:
        """Checks decoded images in memory."""
        self._total = sum(source.num_examples.values())
        for split in source.num_examples:
            for key, image, label in source.images(split):
                name = source.class_names[label]
                if is_blank(image):
                    detail = f'all pixels are {image[0, 0].tolist()}'
                    self._report.add(Finding('blank', key, detail, split, name))
                digest = hash_pixels(image) or 1
                self._index.add(key, split, name, digest, digest)
                self._report_progress()

    def finish(self) -> dict[str, dict[str, int]]:
        """Adds the findings on all examples together; returns the counts."""
        counts = {s: dict(n) for s, n in self._index.counts.items()}
        if 'image_folder' != self._args['name'] and self._source is not None:
            for split in self._source.num_examples:
                for name in self._source.class_names:
                    counts.setdefault(split, {}).setdefault(name, 0)
        self._report_all(self._index.duplicates())
        self._report_all(names.missing(counts))
        self._report_all(names.skewed(counts))
        # The training split first; the others in their own order.
        return dict(sorted(counts.items(), key=lambda item: item[0] != 'train'))

    def _report_all(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._report.add(finding)

    def _inspector(self) -> ImageInspector:
        size: Sequence[int]
        if self._source is not None:
            *size, channels = self._source.image_shape
        else:
            size = parse_size(self._args.get('image_size')) or _DEFAULT_SIZE
            channels = self._args.get('channels') or 3
        limit = self._args.get('max_image_pixels', MAX_IMAGE_PIXELS)
        return ImageInspector(size, channels, self._workers, limit)

    def _run(
        self, work: Callable[[_Example], Checked], examples: Iterator[_Example]
    ) -> None:
        """Applies `work` to examples in threads; records the results in order."""
        waiting: collections.deque[concurrent.futures.Future[Checked]]
        waiting = collections.deque()
        pool = concurrent.futures.ThreadPoolExecutor(self._workers)
        try:
            for example in examples:
                waiting.append(pool.submit(work, example))
                # Enough to keep the threads busy; more would only use memory.
                if len(waiting) > 8 * self._workers:
                    self._record(*waiting.popleft().result())
            while waiting:
                self._record(*waiting.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)

    def _record(
        self,
        example: _Example,
        findings: list[tuple[str, str]],
        image: ImageReport | None,
    ) -> None:
        if image is not None:
            findings = findings + image.findings
        for kind, detail in findings:
            self._report.add(
                Finding(kind, example.where, detail, example.split, example.label)
            )
        self._index.add(
            example.where,
            example.split,
            example.label or '(none)',
            image.data if image else 0,
            image.pixels if image else 0,
        )
        self._report_progress()

    def _report_progress(self) -> None:
        if self._progress:
            self._progress(len(self._index), max(self._total, len(self._index)))


def _open(args: Mapping[str, Any]) -> tuple[DataSource | None, str | None]:
    """Returns (source or None, why training refuses the data or None)."""
    try:
        return open_dataset(**args), None
    except DataError as error:
        # An invalid argument is an error of the caller; invalid data is a finding.
        if str(error).startswith('`') or not os.path.exists(args.get('data_dir', '')):
            raise
        return None, str(error)


def _class_of(
    label: int | str | None, class_names: Sequence[str] | None
) -> tuple[str | None, str | None]:
    """Returns (name of the class or None, problem or None) of a record's label."""
    if label is None:
        return None, 'has no label'
    if isinstance(label, str):
        if class_names is None or label in class_names:
            return label, None
        return label, f'no class is called {label!r}'
    if class_names is None:
        return str(label), None if label >= 0 else f'the label is {label}'
    if 0 <= label < len(class_names):
        return class_names[label], None
    return str(label), f'must be from 0 to {len(class_names) - 1}, got {label}'
