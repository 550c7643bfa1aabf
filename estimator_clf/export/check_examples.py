"""Examples with the checkpoint's own predictions, as a reference for an export.

The pixels come from the input pipeline of evaluation, and the predictions from the
checkpoint through the model_fn: both are independent of the code of the export.
"""

import collections
import dataclasses
import gzip
import io
import itertools
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.checkpoints.saver import saver_of
from estimator_clf.config.config import Config
from estimator_clf.config.step_plan import evaluation_split
from estimator_clf.core.errors import RunError, is_out_of_memory, restore_error_message
from estimator_clf.export.signatures import IMAGE_KEY, VALUES_KEY
from input.dataset_info import DatasetInfo
from input.images.image_shape import header
from input.sources.base import DataSource, as_numpy_batches, evenly_spaced_indices

v1 = tf.compat.v1

FILE_NAME = 'check.tfrecord'

# Examples are spread over this many of a split: reaching one reads all before it.
MAX_POSITION = 1024
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class CheckExample:
    """One example.

    Attributes:
      name: name in messages.
      encoded: the encoded image; None for regression.
      features: features of the model_fn without batch dimension: 'image', uint8
        [H, W, C], or 'x', float32 [D].
    """

    name: str
    encoded: bytes | None
    features: dict[str, np.ndarray]


def from_source(
    source: DataSource,
    split: str,
    count: int = 8,
    eval_crop: float = 1.0,
    max_pixels: int = 0,
) -> list[CheckExample]:
    """Reads examples spread evenly over a split.

    Args:
      source: the data.
      split: name of a split.
      count: maximum number of examples.
      eval_crop: see `DataSource.input_fn`.
      max_pixels: skip larger images, which an export refuses; 0: no limit.

    Raises:
      tf.errors.OpError: the data cannot be read.
    """
    size = min(source.num_examples[split], MAX_POSITION)
    indices = evenly_spaced_indices(size, count)
    batches = as_numpy_batches(source.input_fn(split, _BATCH, eval_crop=eval_crop))
    all_rows = itertools.chain.from_iterable(_rows(features) for features, _ in batches)
    rows = itertools.islice(all_rows, indices[-1] + 1)
    if not source.class_names:
        return [
            _check_example(row) for number, row in enumerate(rows) if number in indices
        ]
    # Matched by key, since corrupt images are missing among the rows; repeated keys are
    # matched by their occurrence too.
    if source.unique_keys:
        encoded = {(key, 0): data for key, data, _ in source.encoded(split, indices)}
    else:
        everything = source.encoded(split, range(indices[-1] + 1))
        counted = enumerate(_with_occurrence(everything, lambda e: e[0]))
        encoded = {key: e[1] for number, (key, e) in counted if number in indices}
    examples = []
    for key, row in _with_occurrence(rows, lambda row: row['key']):
        if key not in encoded or _is_corrupt(source, row['key']):
            continue
        if not max_pixels or _num_pixels(encoded[key]) <= max_pixels:
            examples.append(_check_example(row, encoded[key]))
    return examples


def of_run(config: Config, source: DataSource) -> list[CheckExample]:
    """Reads the examples for the exports of a run; see `from_source`.

    Args:
      config: settings of the run.
      source: its data.
    """
    return from_source(
        source,
        evaluation_split(config, source) or config.data.train_split,
        eval_crop=config.data.eval_crop,
        max_pixels=config.data.max_image_pixels,
    )


def random_examples(
    info: DatasetInfo,
    decode: Callable[..., Any] | None,
    count: int = 8,
    max_pixels: int | None = None,
) -> list[CheckExample]:
    """Makes random examples, for exports without data.

    Args:
      info: description of the data.
      decode: see `export_saved_model`; None for regression.
      count: number of examples.
      max_pixels: maximum size of an image, at least that of the network's input; None:
        no limit.
    """
    random = np.random.default_rng(0)
    if decode is None:
        return [
            CheckExample(f'random {i}', None, {'x': x})
            for i, x in enumerate(
                random.normal(size=(count, *info.image_shape)).astype(np.float32)
            )
        ]
    from PIL import Image

    height, width, channels = info.image_shape
    files = []
    for number in range(count):
        # Of the network's size and larger, in every file format.
        size = (height + 7 * (number // 4), width + 5 * (number // 4), channels)
        if max_pixels and size[0] * size[1] > max_pixels:
            size = (height, width, channels)
        pixels = random.integers(0, 256, size, dtype=np.uint8)
        buffer = io.BytesIO()
        kind = ('PNG', 'JPEG', 'BMP', 'GIF')[number % 4]
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(buffer, kind)
        files.append(buffer.getvalue())
    with tf.Graph().as_default(), v1.Session() as session:
        encoded = v1.placeholder(tf.string, [])
        decoded = decode(encoded)
        images = [session.run(decoded, {encoded: data}) for data in files]
    return [
        CheckExample(f'random {i}', data, {'image': image})
        for i, (data, image) in enumerate(zip(files, images, strict=True))
    ]


def predict(
    model_fn: Callable[..., Any], checkpoint: str, examples: Sequence[CheckExample]
) -> dict[str, np.ndarray]:
    """Predicts with the weights of a checkpoint, in a new graph.

    Returns:
      Predictions by name, [number of examples, …].

    Raises:
      tf.errors.OpError: the checkpoint is corrupt or belongs to another network.
    """
    features = {
        name: np.stack([example.features[name] for example in examples])
        for name in examples[0].features
    }
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.create_global_step()
        inputs = {
            name: v1.placeholder(array.dtype, [None, *array.shape[1:]])
            for name, array in features.items()
        }
        spec = model_fn(inputs, None, mode=estimator.ModeKeys.PREDICT)
        saver_of(spec).restore(session, checkpoint)
        return session.run(
            spec.predictions, {inputs[name]: array for name, array in features.items()}
        )


def restore(spec: Any, session: Any, checkpoint: str) -> None:
    """Restores the weights of an `EstimatorSpec`'s graph.

    Raises:
      RunError: the checkpoint is corrupt or belongs to another network.
    """
    try:
        saver_of(spec).restore(session, checkpoint)
    except (ValueError, tf.errors.OpError) as error:
        if is_out_of_memory(error):
            raise
        raise RunError(
            f'{checkpoint}: {restore_error_message(error) or error}'
        ) from None


def write(
    path: str,
    examples: Sequence[CheckExample],
    predictions: dict[str, np.ndarray],
    tolerance: float = 1e-5,
) -> None:
    """Writes examples as TFRecords.

    A record is a `tf.Example` that the signatures `examples` and `classify` accept;
    further features hold `check/name`, the features of the network
    (`check/feature/…`) and the predictions (`check/prediction/…`), serialized, and
    `check/tolerance`, the maximum accepted difference of a probability. The file is
    compressed: the pixels of eight photos are larger than a small network.
    """
    with tf.io.TFRecordWriter(path, 'GZIP') as file:
        for number, check_example in enumerate(examples):
            values = {
                'check/name': _bytes(check_example.name.encode()),
                'check/tolerance': _floats([tolerance]),
            }
            if check_example.encoded is not None:
                values[IMAGE_KEY] = _bytes(check_example.encoded)
            else:
                values[VALUES_KEY] = _floats(check_example.features['x'].tolist())
            for name, array in check_example.features.items():
                values[f'check/feature/{name}'] = _tensor(array)
            for name, array in predictions.items():
                values[f'check/prediction/{name}'] = _tensor(array[number])
            example = tf.train.Example(features=tf.train.Features(feature=values))
            file.write(example.SerializeToString(deterministic=True))


def read(
    path: str,
) -> tuple[list[bytes], list[CheckExample], dict[str, np.ndarray], float]:
    """Reads a file of `write`.

    Returns:
      (serialized examples, examples, predictions by name [N, …], tolerance).

    Raises:
      ValueError: the file is empty.
      tf.errors.OpError, DecodeError, LookupError: the file is corrupt, or of another
        kind.
    """
    records: list[bytes] = []
    examples: list[CheckExample] = []
    predictions: dict[str, list[np.ndarray]] = {}
    tolerance = 0.0
    for record in v1.io.tf_record_iterator(path, _options(path)):
        values = tf.train.Example.FromString(record).features.feature
        features = {}
        for name in sorted(values):
            kind, _, short = name.removeprefix('check/').partition('/')
            if kind == 'feature' and short:
                features[short] = _array(values[name])
            elif kind == 'prediction' and short:
                predictions.setdefault(short, []).append(_array(values[name]))
        encoded = values[IMAGE_KEY].bytes_list.value[0] if IMAGE_KEY in values else None
        name = values['check/name'].bytes_list.value[0].decode()
        tolerance = values['check/tolerance'].float_list.value[0]
        records.append(record)
        examples.append(CheckExample(name, encoded, features))
    if not records:
        raise ValueError('it is empty')
    stacked = {n: np.stack(arrays) for n, arrays in predictions.items()}
    return records, examples, stacked, tolerance


def _options(path: str) -> tf.io.TFRecordOptions:
    """Returns how a file is read; exports of version 0.2.0 have uncompressed ones."""
    with open(path, 'rb') as file:
        data = file.read()
    if not data.startswith(b'\x1f\x8b'):
        return tf.io.TFRecordOptions('')
    try:
        gzip.decompress(data)  # TensorFlow does not notice a missing end.
    except (EOFError, zlib.error) as error:
        raise ValueError(str(error)) from None
    return tf.io.TFRecordOptions('GZIP')


def _rows(features: dict[str, np.ndarray]) -> Iterator[dict[str, Any]]:
    keys = [key.decode('utf-8', 'replace') for key in features['key']]
    name = 'image' if 'image' in features else 'x'
    for key, value in zip(keys, features[name], strict=True):
        yield {'key': key, name: value}


def _with_occurrence(
    items: Iterable[Any], key_of: Callable[[Any], str]
) -> Iterator[tuple[tuple[str, int], Any]]:
    """Yields ((key, number of earlier items with this key), item)."""
    seen: collections.Counter[str] = collections.Counter()
    for item in items:
        key = key_of(item)
        yield (key, seen[key]), item
        seen[key] += 1


def _is_corrupt(source: DataSource, key: str) -> bool:
    """Whether an image with this key is corrupt, which shifts later occurrences."""
    return source.corrupt_images is not None and key in source.corrupt_images


def _num_pixels(encoded: bytes) -> int:
    try:
        height, width, _ = header(encoded)
    except (OSError, ValueError):
        return 0
    return height * width


def _check_example(row: dict[str, Any], encoded: bytes | None = None) -> CheckExample:
    # Without the directory, so that the export does not leak paths of this machine.
    name = os.path.basename(row.pop('key'))
    return CheckExample(name, encoded, row)


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _floats(values: Sequence[float]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _tensor(array: np.ndarray) -> tf.train.Feature:
    return _bytes(tf.make_tensor_proto(np.asarray(array)).SerializeToString())


def _array(feature: tf.train.Feature) -> np.ndarray:
    proto = v1.make_tensor_proto(0)  # The only public way to obtain a TensorProto.
    proto.ParseFromString(feature.bytes_list.value[0])
    return tf.make_ndarray(proto)
