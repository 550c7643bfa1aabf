"""One run of `benchmarks/input.py` with TensorFlow, in its own process."""

import functools
import glob
import os
import time

import estimator_clf.compat  # noqa: F401  Silences TensorFlow.

import numpy as np
import tensorflow as tf

from estimator_clf.core.hardware.devices import session_config
from input import open_dataset
from input.corrupt_images import CorruptImages

v1 = tf.compat.v1

SIZE = (224, 224)
BATCH = {'crop': 32, 'resize': 32, 'cached': 32, 'cifar': 512}

AUGMENT = {
    'crop': 'resized_crop(0.25), flip',
    'cifar': 'flip, crop(4), cutout(8), brightness(0.2), contrast(0.2), '
    'saturation(0.2)',
}

# Minimum warm-up.
_WARM_SECONDS, _WARM_BATCHES = 2.0, 20


def measure(options):
    """Runs one program; returns dict of images, seconds, CPU seconds, speed."""
    batch = BATCH[options.workload]
    run = _in_graph if options.child == 'ours' else _eagerly
    make = {
        'ours': _ours,
        'decode': _decode,
        'keras': _keras_layers if options.workload == 'cifar' else _keras,
        'keras_reshuffled': functools.partial(_keras, reshuffled=True),
        'tutorial': _tutorial,
        'tutorial_parallel': functools.partial(_tutorial, calls=tf.data.AUTOTUNE),
    }[options.child]
    dataset, epoch = make(options, batch)
    return run(dataset, batch, options.seconds, epoch)


def timed(step, batch, seconds, epoch=0):
    """Times steps, after a warm-up.

    Args:
      step: function that reads a batch; returns the number of its images, or None
        for `batch`.
      batch: images in it.
      seconds: duration of the measurement.
      epoch: minimum number of warm-up batches.
    """
    until = time.perf_counter() + _WARM_SECONDS
    done = 0
    while done < max(_WARM_BATCHES, epoch) or time.perf_counter() < until:
        step()
        done += 1
    begin, cpu, images = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < seconds:
        count = step()
        images += batch if count is None else count
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return {
        'images': images,
        'seconds': wall,
        'cpu_seconds': cpu,
        'images_per_second': images / wall,
    }


def _in_graph(input_fn, batch, seconds, epoch):
    """Reads like an Estimator: in a session that does not fetch the batch."""
    with tf.Graph().as_default():
        iterator = v1.data.make_initializable_iterator(input_fn())
        read = tf.group(*tf.nest.flatten(iterator.get_next()))
        with v1.Session(config=session_config()) as session:
            session.run(iterator.initializer)
            return timed(session.make_callable(read), batch, seconds, epoch)


def _eagerly(dataset, batch, seconds, epoch):
    """Reads like `fit` and a custom training loop."""
    iterator = iter(dataset)
    # Keras ends each epoch with a smaller batch.
    return timed(lambda: len(tf.nest.flatten(next(iterator))[0]), batch, seconds, epoch)


def _ours(options, batch):
    workload = options.workload
    if workload == 'cifar':
        source = open_dataset('cifar10', options.cifar)
    else:
        source = open_dataset('image_folder', options.data_dir, image_size=SIZE[0])
        source.corrupt_images = CorruptImages(10)  # As in `launch.train`.
        source.set_cache('decoded' if workload == 'cached' else 'none')
    augment = AUGMENT.get(workload, '')
    return source.input_fn('train', batch, training=True, augment=augment), 0


def _files(options):
    pattern = os.path.join(options.data_dir, 'train', '*', '*')
    return sorted(glob.glob(pattern))


def _decode(options, batch):
    contents = []
    for path in _files(options):
        with open(path, 'rb') as file:
            contents.append(file.read())
    dataset = tf.data.Dataset.from_tensor_slices(np.array(contents, object)).repeat()

    def decode(data):
        return tf.io.decode_jpeg(data, channels=3)[0, 0]  # Without copying the image.

    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset.batch(batch).prefetch(2), 0


def _keras(options, batch, reshuffled=False):
    import keras

    dataset = keras.utils.image_dataset_from_directory(
        os.path.join(options.data_dir, 'train'),
        image_size=SIZE,
        batch_size=batch,
        verbose=False,
    )
    num_images = len(_files(options))
    if reshuffled:
        dataset = dataset.unbatch().cache().shuffle(num_images).repeat()
        dataset = dataset.batch(batch)
    elif options.workload == 'cached':
        dataset = dataset.cache().repeat()
    else:
        dataset = dataset.repeat()
    epoch = -(-num_images // batch) if options.workload == 'cached' else 0
    return dataset.prefetch(tf.data.AUTOTUNE), epoch


def _keras_layers(options, batch):
    import keras

    whole = {'value_range': (0, 255)}
    layers = keras.Sequential(
        [
            keras.layers.RandomFlip('horizontal'),
            keras.layers.RandomTranslation(4 / 32, 4 / 32, fill_mode='reflect'),
            keras.layers.RandomErasing(1.0, scale=(1 / 16, 1 / 16), **whole),
            keras.layers.RandomBrightness(0.2, **whole),
            keras.layers.RandomContrast(0.2, **whole),
            keras.layers.RandomSaturation(0.2, **whole),
        ]
    )
    arrays = open_dataset('cifar10', options.cifar)._arrays['train']
    dataset = tf.data.Dataset.from_tensor_slices(arrays)
    dataset = dataset.shuffle(len(arrays[0])).repeat().batch(batch)
    dataset = dataset.map(
        lambda images, labels: (layers(images, training=True), labels),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return dataset.prefetch(tf.data.AUTOTUNE), 0


def _tutorial(options, batch, calls=None):
    """The guide "tf.data: Build TensorFlow input pipelines", for a whole directory."""
    root = os.path.join(options.data_dir, 'train')
    names = tf.constant(sorted(os.listdir(root)))

    def parse(path):
        label = tf.argmax(tf.strings.split(path, os.sep)[-2] == names)
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        image = tf.image.convert_image_dtype(image, tf.float32)
        return tf.image.resize(image, SIZE), label

    dataset = tf.data.Dataset.list_files(os.path.join(root, '*', '*'))
    dataset = dataset.repeat().map(parse, num_parallel_calls=calls).batch(batch)
    return dataset.prefetch(tf.data.AUTOTUNE), 0
