"""A few examples with the checkpoint's own predictions, to hold an export against.

The pixels come through the input pipeline that evaluation reads with, and the
predictions straight from the checkpoint by the model_fn: neither has passed through
anything that belongs to the export.
"""

import collections
import dataclasses
import io
import itertools
import os

from estimator_clf.compat import estimator

import numpy as np
import tensorflow as tf

from estimator_clf.checkpoints.saver import saver_of
from estimator_clf.config.step_plan import evaluation_split
from estimator_clf.core.errors import RunError, restore_error_message
from estimator_clf.export.signatures import IMAGE_KEY, VALUES_KEY
from input.images.image_shape import header
from input.sources.base import as_numpy_batches, evenly_spaced_indices

v1 = tf.compat.v1

FILE_NAME = 'check.tfrecord'

# Examples are spread over this many of a split: further ones cost reading up to them.
SPREAD = 1024
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Sample:
    """One example.

    Attributes:
      name: what it is called in messages.
      encoded: the image as bytes; None for regression.
      features: dict of what the model_fn takes, without the batch dimension: 'image',
        uint8 [H, W, C], or 'x', float32 [D].
    """

    name: str
    encoded: bytes | None
    features: dict


def take(source, split, count=8, eval_crop=1.0, max_pixels=0):
    """Takes examples from the data, spread over a split.

    Args:
      source: `input.sources.base.DataSource`.
      split: name of a split.
      count: how many.
      eval_crop: see `DataSource.input_fn`.
      max_pixels: leave larger images out, which an export refuses; 0: none.

    Returns:
      List of `Sample`.

    Raises:
      tf.errors.OpError: data that cannot be read.
    """
    size = min(source.num_examples[split], SPREAD)
    wanted = evenly_spaced_indices(size, count)
    batches = as_numpy_batches(source.input_fn(split, _BATCH, eval_crop=eval_crop))
    rows = itertools.chain.from_iterable(_rows(features) for features, _ in batches)
    rows = itertools.islice(rows, wanted[-1] + 1)
    if not source.class_names:
        return [_sample(row) for number, row in enumerate(rows) if number in wanted]
    # By their keys, since what cannot be read is missing among the rows; and by how
    # often a key has come before, where they may come again.
    if source.unique_keys:
        encoded = {(key, 0): data for key, data, _ in source.encoded(split, wanted)}
    else:
        everything = source.encoded(split, range(wanted[-1] + 1))
        counted = enumerate(_counted(everything, lambda example: example[0]))
        encoded = {place: e[1] for number, (place, e) in counted if number in wanted}
    samples = []
    for place, row in _counted(rows, lambda row: row['key']):
        if place not in encoded or _left_out(source, row['key']):
            continue
        if not max_pixels or _pixels(encoded[place]) <= max_pixels:
            samples.append(_sample(row, encoded[place]))
    return samples


def of_run(config, source):
    """Takes those that the exports of a run are held against; see `take`.

    Args:
      config: `Config` of the run.
      source: `input.sources.base.DataSource`.
    """
    split = evaluation_split(config, source) or config.train_split
    limits = {'eval_crop': config.eval_crop, 'max_pixels': config.max_pixels}
    return take(source, split, **limits)


def made_up(info, decode, count=8, max_pixels=None):
    """Makes examples of noise, where there is no data.

    Args:
      info: `DatasetInfo`.
      decode: see `export_saved_model`; None for regression.
      count: how many.
      max_pixels: no image has more, unless the network's own have; None: any number.

    Returns:
      List of `Sample`.
    """
    random = np.random.default_rng(0)
    if decode is None:
        return [
            Sample(f'made up {i}', None, {'x': x})
            for i, x in enumerate(
                random.normal(size=(count, *info.image_shape)).astype(np.float32)
            )
        ]
    from PIL import Image

    height, width, channels = info.image_shape
    pictures = []
    for number in range(count):
        # As large as wanted, and larger; each kind that there is.
        size = (height + 7 * (number // 4), width + 5 * (number // 4), channels)
        if max_pixels and size[0] * size[1] > max_pixels:
            size = info.image_shape
        pixels = random.integers(0, 256, size, dtype=np.uint8)
        file = io.BytesIO()
        kind = ('PNG', 'JPEG', 'BMP', 'GIF')[number % 4]
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(file, kind)
        pictures.append(file.getvalue())
    with tf.Graph().as_default(), v1.Session() as session:
        one = v1.placeholder(tf.string, [])
        decoded = decode(one)
        images = [session.run(decoded, {one: data}) for data in pictures]
    return [
        Sample(f'made up {i}', data, {'image': image})
        for i, (data, image) in enumerate(zip(pictures, images, strict=True))
    ]


def predict(model_fn, checkpoint, samples):
    """Predicts with the weights of a checkpoint, in a graph of its own.

    Returns:
      dict name of the prediction -> array [number of samples, …].

    Raises:
      tf.errors.OpError: the checkpoint is corrupt or of another network.
    """
    features = {
        name: np.stack([sample.features[name] for sample in samples])
        for name in samples[0].features
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


def restore(spec, session, checkpoint):
    """Restores the weights of a spec's graph.

    Raises:
      RunError: the checkpoint is corrupt, or of another network.
    """
    try:
        saver_of(spec).restore(session, checkpoint)
    except (ValueError, tf.errors.OpError) as error:
        raise RunError(
            f'{checkpoint}: {restore_error_message(error) or error}'
        ) from None


def write(path, samples, predictions, tolerance=1e-5):
    """Writes samples as TFRecords.

    A record is a `tf.Example` that the signatures `examples` and `classify` take as it
    is; further features hold `check/name`, the tensors fed to the network
    (`check/feature/…`) and the predictions (`check/prediction/…`), serialized, and
    `check/tolerance`, the largest difference of a probability that is not a fault.
    """
    with tf.io.TFRecordWriter(path) as file:
        for number, sample in enumerate(samples):
            values = {
                'check/name': _bytes(sample.name.encode()),
                'check/tolerance': _floats([tolerance]),
            }
            if sample.encoded is not None:
                values[IMAGE_KEY] = _bytes(sample.encoded)
            else:
                values[VALUES_KEY] = _floats(sample.features['x'].tolist())
            for name, array in sample.features.items():
                values[f'check/feature/{name}'] = _tensor(array)
            for name, array in predictions.items():
                values[f'check/prediction/{name}'] = _tensor(array[number])
            example = tf.train.Example(features=tf.train.Features(feature=values))
            file.write(example.SerializeToString(deterministic=True))


def read(path):
    """Reads what `write` wrote.

    Returns:
      (list of serialized examples, list of `Sample`, dict name -> array [N, …] of
      predictions, tolerance).

    Raises:
      ValueError: the file is empty.
      tf.errors.OpError, DecodeError, LookupError: it is corrupt, or another.
    """
    records, samples, predictions, tolerance = [], [], {}, 0.0
    for record in v1.io.tf_record_iterator(path):
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
        samples.append(Sample(name, encoded, features))
    if not records:
        raise ValueError('it is empty')
    predictions = {n: np.stack(arrays) for n, arrays in predictions.items()}
    return records, samples, predictions, tolerance


def _rows(features):
    keys = [key.decode('utf-8', 'replace') for key in features['key']]
    name = 'image' if 'image' in features else 'x'
    for key, value in zip(keys, features[name], strict=True):
        yield {'key': key, name: value}


def _counted(items, key_of):
    """Yields ((key, how many of this key came before), item)."""
    seen = collections.Counter()
    for item in items:
        key = key_of(item)
        yield (key, seen[key]), item
        seen[key] += 1


def _left_out(source, key):
    """Whether one of this key was: the count of those behind it is of no use then."""
    return source.corrupt_images is not None and key in source.corrupt_images


def _pixels(encoded):
    try:
        height, width, _ = header(encoded)
    except (OSError, ValueError):
        return 0
    return height * width


def _sample(row, encoded=None):
    # Where the data lay on this machine is nobody's business.
    name = os.path.basename(row.pop('key'))
    return Sample(name, encoded, row)


def _bytes(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _floats(values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _tensor(array):
    return _bytes(tf.make_tensor_proto(np.asarray(array)).SerializeToString())


def _array(feature):
    proto = v1.make_tensor_proto(0)  # The only public way to the message's class.
    proto.ParseFromString(feature.bytes_list.value[0])
    return tf.make_ndarray(proto)
