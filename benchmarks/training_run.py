"""One run of `benchmarks/training.py` with TensorFlow, in its own process."""

import tempfile
import time

import numpy as np

from estimator_clf.core.hardware import mixed_precision

_SHAPES = {'cifar': (32, 32, 3), 'linear': (28, 28, 1), 'cnn': (28, 28, 1)}
_EXAMPLES = {'cifar': 50_000, 'linear': 60_000, 'cnn': 60_000}

# Keras' steps per execution, and the number of warm-up steps.
_EXECUTION = {'cifar': 4, 'linear': 100, 'cnn': 20}
_WARM_UP = {'cifar': 4, 'linear': 400, 'cnn': 60}


def measure(options):
    """Runs one program; returns dict of steps, seconds and images per second."""
    if options.child == 'limits':
        from benchmarks.limits import limits

        return limits()
    run = {
        'ours': run_ours,
        'stock': run_stock,
        'keras': run_keras,
        'keras_jit': run_keras,
    }[options.child]
    clock = Clock(_WARM_UP[options.workload], options.seconds)
    try:
        run(options, clock)
    except Enough:
        pass
    return clock.result(options.batch_size)


class Enough(Exception):
    """Ends a run after its duration."""


class Clock:
    """Counts steps and time after the warm-up."""

    def __init__(self, warm_up, seconds):
        self._warm_up, self._seconds = warm_up, seconds
        self._first = self._last = None

    def at(self, step):
        """Records that training has reached a step; raises `Enough` at the end."""
        now = time.perf_counter()
        if self._first is None:
            if step >= self._warm_up:
                self._first = (step, now)
            return
        self._last = (step, now)
        if now - self._first[1] >= self._seconds:
            raise Enough

    def result(self, batch_size):
        """Returns the results."""
        steps, seconds = (b - a for a, b in zip(self._first, self._last, strict=True))
        return {
            'steps': steps,
            'seconds': seconds,
            'images_per_second': steps * batch_size / seconds,
        }


def images(workload, count=None):
    """Generates random images and labels: (uint8 [N, H, W, C], int32 [N])."""
    rng = np.random.default_rng(0)
    count = count or _EXAMPLES[workload]
    pixels = rng.integers(0, 256, (count, *_SHAPES[workload]), np.uint8)
    return pixels, rng.integers(0, 10, count).astype(np.int32)


# Settings of `launch.train`, apart from lengths.
_OURS = {
    'cifar': {
        'network': 'airbench',
        'optimizer': 'nesterov',
        'momentum': 0.85,
        'learning_rate': 0.5,
        'weight_decay': 0.0013,
        'lr_multipliers': 'norm/beta=64',
        'label_smoothing': 0.2,
        'augment': 'flip, crop(2)',
    },
    'linear': {'network': 'linear', 'optimizer': 'sgd', 'learning_rate': 0.5},
    'cnn': {'network': 'cnn', 'optimizer': 'adam', 'learning_rate': 1e-4},
}


def run_ours(options, clock):
    """Trains with this project, including hooks and metrics."""
    from estimator_clf.config.config import make_config
    from estimator_clf.core.hardware import devices
    from estimator_clf.training.callbacks import Callback
    from estimator_clf.training.trainer import train_and_evaluate
    from input.formats.arrays import from_arrays

    class ClockCallback(Callback):
        def on_train(self, step, metrics):
            clock.at(step)

    workload = options.workload
    # For this small network the casts cost more than bfloat16 saves.
    dtype = 'float32' if workload == 'linear' else 'auto'
    splits = {'train': images(workload), 'test': images(workload, 100)}
    source = from_arrays(splits, [str(n) for n in range(10)], name='generated')
    with tempfile.TemporaryDirectory() as model_dir:
        config = make_config(
            dataset='arrays',
            model_dir=model_dir,
            batch_size=options.batch_size,
            max_steps=10**7,
            precision=dtype,
            conv_gradients=options.conv_gradients,
            log_every='4' if workload == 'cifar' else '100',
            save_every='1epochs',
            eval_every='0',
            export=False,
            **_OURS[workload],
        )
        devices.set_up('cpu')
        train_and_evaluate(config, [ClockCallback()], source=source)


def run_stock(options, clock):
    """Trains with Estimator's own loop, with the tutorials' input_fn, in float32."""
    from estimator_clf.compat import estimator

    import tensorflow as tf

    from model_fns import ModelSpec, OptimizerSpec, make_model_fn

    pixels, labels = images(options.workload)
    ours = _OURS[options.workload]

    def input_fn():
        data = tf.data.Dataset.from_tensor_slices(({'image': pixels}, labels))
        return data.shuffle(10_000).repeat().batch(options.batch_size)

    class ClockHook(tf.compat.v1.train.SessionRunHook):
        def begin(self):
            self._step = 0

        def after_run(self, run_context, run_values):
            self._step += 1
            clock.at(self._step)

    # The same arithmetic, without the rest of this project.
    model_fn = make_model_fn(
        ModelSpec(ours['network'], num_classes=10, mean=127.5, stddev=73.6),
        optimizer=OptimizerSpec(ours['optimizer'], ours['learning_rate']),
    )
    with tempfile.TemporaryDirectory() as model_dir:
        classifier = estimator.Estimator(model_fn, model_dir)
        classifier.train(input_fn, hooks=[ClockHook()])


def run_keras(options, clock):
    """Trains with Keras 3 `fit` on TensorFlow."""
    import os

    os.environ['KERAS_BACKEND'] = 'tensorflow'
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    import keras
    import tensorflow as tf

    workload = options.workload
    if mixed_precision.resolve('auto') == 'bfloat16' and workload != 'linear':
        keras.mixed_precision.set_global_policy('mixed_bfloat16')
    model = keras.Sequential(
        [keras.Input(_SHAPES[workload]), *_keras_layers(keras.layers, workload)]
    )
    optimizer = {
        'cifar': lambda: keras.optimizers.SGD(0.1, 0.85, nesterov=True),
        'linear': lambda: keras.optimizers.SGD(0.5),
        'cnn': lambda: keras.optimizers.Adam(1e-4),
    }[workload]()
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=['accuracy'],
        steps_per_execution=_EXECUTION[workload],
        jit_compile=options.child == 'keras_jit',
    )

    class ClockCallback(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            clock.at(batch + 1)

    data = tf.data.Dataset.from_tensor_slices(images(workload))
    data = data.shuffle(10_000).repeat().batch(options.batch_size, drop_remainder=True)
    data = data.prefetch(tf.data.AUTOTUNE)
    model.fit(
        data,
        steps_per_epoch=10**6,
        verbose=0,
        shuffle=False,
        callbacks=[ClockCallback()],
    )


def _keras_layers(layers, workload):
    yield layers.Rescaling(1 / 73.6, -127.5 / 73.6)
    if workload == 'linear':
        yield layers.Flatten()
        yield layers.Dense(10)
        return
    if workload == 'cnn':
        for filters in (32, 64):
            yield layers.Conv2D(filters, 5, padding='same', activation='relu')
            yield layers.MaxPooling2D()
        yield layers.Flatten()
        yield layers.Dense(1024, activation='relu')
        yield layers.Dropout(0.5)
        yield layers.Dense(10, dtype='float32')
        return
    yield layers.Conv2D(24, 2, activation='relu', trainable=False)
    for width in (64, 256, 256):
        for pool in (True, False):
            yield layers.Conv2D(width, 3, padding='same', use_bias=False)
            if pool:
                yield layers.MaxPooling2D()
            yield layers.BatchNormalization(momentum=0.6, scale=False)
            yield layers.ReLU()
    yield layers.MaxPooling2D(3)
    yield layers.Flatten()
    yield layers.Dense(10, use_bias=False)
    yield layers.Rescaling(1 / 9, dtype='float32')
