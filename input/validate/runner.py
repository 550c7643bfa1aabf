"""The check itself: a stream of examples through many threads into a ledger."""

import collections
import concurrent.futures
import dataclasses
import os

import tensorflow as tf

from estimator_clf.core.errors import DataError
from input.images.image_shape import parse_size
from input.registry import open_dataset
from input.sources.in_memory import ArraySource
from input.validate import class_names as names
from input.validate.directory import DirectoryScan
from input.validate.example_index import ExampleIndex
from input.validate.image import ImageInspector, hash_pixels, is_blank, quiet_pillow
from input.validate.report import Finding
from input.validate.tfrecords import TFRecordScan, features_of

# What a network gets if the data cannot be opened to say.
_USUAL = (64, 64)

_FILE_FORMATS = ('image_folder', 'tfrecord')


def check_data(source_args, report, *, workers=None, progress=None):
    """Looks at every example of a dataset.

    Images are decoded by the function that training decodes them with, in threads:
    reading, decoding and hashing all happen outside of Python's lock, and
    processes would each have to load TensorFlow.

    Args:
      source_args: dict of arguments for `input.open_dataset`.
      report: `Report` that takes what is found.
      workers: number of threads; by default one per core.
      progress: function (examples done, examples in all), called now and then.

    Returns:
      dict split -> dict class -> number of examples, the unreadable ones too.

    Raises:
      DataError: arguments that cannot be, such as a directory that is not there.
    """
    args = {k: v for k, v in source_args.items() if v not in (None, '')}
    source, refusal = _open(args)
    check = _Check(report, source, args, workers or _cores(), progress)
    format_name = args['name'].partition(':')[0]
    with quiet_pillow():
        if format_name == 'image_folder':
            check.directory()
        elif format_name == 'tfrecord':
            check.records()
        elif isinstance(source, ArraySource):
            check.arrays()
        elif source is not None and source.class_names:
            check.encoded()
    if refusal:
        report.add(Finding('refused', args.get('data_dir', args['name']), refusal))
    return check.finish()


@dataclasses.dataclass
class _Example:
    """One example on its way; `data` is its image, or where that can be had."""

    where: str
    split: str
    label: str | None
    data: bytes | None = None
    kind: str | None = None  # Of what is wrong with it but for its image.
    detail: str = ''


class _Check:
    """Checks one dataset."""

    def __init__(self, report, source, args, workers, progress):
        self._report, self._source, self._args = report, source, args
        self._workers, self._progress = workers, progress
        self._ledger = ExampleIndex()
        self._total = 0

    def directory(self):
        """Checks a directory of images."""
        scan = DirectoryScan(
            self._args.get('data_dir'),
            self._args.get('label_pattern'),
            self._args.get('validation_split'),
        )
        self._report_all(scan.findings)
        self._total = sum(map(len, scan.examples.values()))

        def examples():
            for split, found in scan.examples.items():
                for path, label in found:
                    yield _Example(path, split, label)

        look = self._inspector()

        def work(example):
            try:
                with open(example.where, 'rb') as file:
                    data = file.read()
            except OSError as error:
                return example, [('unreadable', error.strerror)], None
            return example, [], look(data, example.where)

        self._run(work, examples())

    def records(self):
        """Checks TFRecord files."""
        scan = TFRecordScan(
            self._args.get('data_dir'), self._args.get('validation_split')
        )
        features = features_of(self._args)
        class_names = scan.class_names
        if self._source is not None:
            class_names = self._source.class_names
        self._total = len(scan)
        look = self._inspector()

        def examples():
            for where, split, serialized in scan.records():
                yield _Example(where, split, None, serialized)

        def work(example):
            try:
                data, label = features.read(example.data)
            except DataError as error:
                return example, [('unreadable', str(error))], None
            example.label, wrong = _class_of(label, class_names)
            findings = [('label_out_of_range', wrong)] if wrong else []
            return example, findings, look(data)

        self._run(work, examples())
        self._report_all(scan.findings)

    def encoded(self):
        """Checks any other source of encoded images, by what it hands out."""
        self._total = sum(self._source.num_examples.values())
        class_names, look = self._source.class_names, self._inspector()
        broken = []

        def examples():
            for split in self._source.num_examples:
                try:
                    for key, data, label in self._source.encoded(split):
                        yield _Example(key, split, class_names[label], data)
                except tf.errors.OpError as error:
                    broken.append((split, error))

        self._run(lambda example: (example, [], look(example.data)), examples())
        for split, error in broken:
            why = self._source.explain(error) or error.message
            self._report.add(
                Finding('unreadable', self._source.name, f'breaks off: {why}', split)
            )

    def arrays(self):
        """Checks decoded images in memory."""
        self._total = sum(self._source.num_examples.values())
        for split in self._source.num_examples:
            for key, image, label in self._source.images(split):
                name = self._source.class_names[label]
                if is_blank(image):
                    detail = f'all pixels are {image[0, 0].tolist()}'
                    self._report.add(Finding('blank', key, detail, split, name))
                digest = hash_pixels(image) or 1
                self._ledger.add(key, split, name, digest, digest)
                self._tell()

    def finish(self):
        """Says what only all examples together tell; returns the counts."""
        counts = {s: dict(n) for s, n in self._ledger.counts.items()}
        if 'image_folder' != self._args['name'] and self._source is not None:
            for split in self._source.num_examples:
                for name in self._source.class_names:
                    counts.setdefault(split, {}).setdefault(name, 0)
        self._report_all(self._ledger.same())
        self._report_all(names.missing(counts))
        self._report_all(names.skewed(counts))
        # What is trained on first; for the others their own order.
        return dict(sorted(counts.items(), key=lambda item: item[0] != 'train'))

    def _report_all(self, findings):
        for finding in findings:
            self._report.add(finding)

    def _inspector(self):
        if self._source is not None:
            *size, channels = self._source.image_shape
        else:
            size = parse_size(self._args.get('image_size')) or _USUAL
            channels = self._args.get('channels') or 3
        return ImageInspector(size, channels, self._workers)

    def _run(self, work, examples):
        """Sends examples through `work` in threads; notes the answers in order."""
        waiting = collections.deque()
        pool = concurrent.futures.ThreadPoolExecutor(self._workers)
        try:
            for example in examples:
                waiting.append(pool.submit(work, example))
                # Enough to keep the threads busy; more would only hold bytes.
                if len(waiting) > 8 * self._workers:
                    self._note(*waiting.popleft().result())
            while waiting:
                self._note(*waiting.popleft().result())
        finally:
            pool.shutdown(cancel_futures=True)

    def _note(self, example, findings, look):
        if look is not None:
            findings = findings + look.findings
        for kind, detail in findings:
            self._report.add(
                Finding(kind, example.where, detail, example.split, example.label)
            )
        self._ledger.add(
            example.where,
            example.split,
            example.label or '(none)',
            look.data if look else 0,
            look.pixels if look else 0,
        )
        self._tell()

    def _tell(self):
        if self._progress:
            self._progress(len(self._ledger), max(self._total, len(self._ledger)))


def _open(args):
    """(source or None, why training would refuse the data or None)."""
    try:
        return open_dataset(**args), None
    except DataError as error:
        # A mistake in a flag is for the caller. Data is what is to be checked.
        if str(error).startswith('--') or not os.path.exists(args.get('data_dir', '')):
            raise
        return None, str(error)


def _class_of(label, class_names):
    """(name of the class or None, what is wrong or None) of a record's label."""
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


def _cores():
    if hasattr(os, 'sched_getaffinity'):  # What a container lets us have.
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
