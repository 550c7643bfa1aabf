"""Served model with known weights, and a server for it.

The SavedModel is written without the project's exporter, so that tests of the server
depend on the server alone. Its outputs can be computed without TensorFlow.
"""

import asyncio
import contextlib
import functools
import os
import threading

from estimator_clf.compat import estimator  # noqa: F401  Loads TensorFlow quietly.

import numpy as np
import tensorflow as tf

from estimator_clf.serving.batching import BatchingOptions
from estimator_clf.serving.server import Server, ServerOptions
from input.images import decode
from tests.helpers.images import by_pillow, encode

v1 = tf.compat.v1

NAMES = ('dark', 'middle', 'bright <b>é</b>')
SIZE = 8
MODEL = 'shades'


def weights(version):
    """Returns the weights of a version: float32 [SIZE * SIZE, 3]."""
    rng = np.random.default_rng(version)
    return rng.normal(0, 0.3, (SIZE * SIZE, len(NAMES))).astype(np.float32)


def expected(png, version=1):
    """Returns (class names, probabilities) of a gray PNG of SIZE, most likely first."""
    pixels = by_pillow(png, 'L').reshape(-1) / 255
    logits = pixels @ weights(version).astype(np.float64)
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    order = np.argsort(-scores)
    return [NAMES[i] for i in order], scores[order]


def gray_pngs(count, seed=0):
    """Returns a list of encoded gray images of SIZE."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, SIZE, SIZE, 1)).astype(np.uint8)
    return [encode(image, 'PNG') for image in images]


def export(directory, version=1, max_pixels=1 << 20):
    """Writes the SavedModel `<directory>/<version>` atomically."""
    partial = os.path.join(directory, f'partial-{version}')
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], 'examples')
        features = {'image/encoded': tf.io.FixedLenFeature([], tf.string)}
        encoded = tf.io.parse_example(examples, features)['image/encoded']
        encoded = tf.identity(encoded, 'image_bytes')
        one = functools.partial(
            decode.decode, size=(SIZE, SIZE), channels=1, max_pixels=max_pixels
        )
        images = tf.map_fn(
            one,
            encoded,
            fn_output_signature=tf.TensorSpec([SIZE, SIZE, 1], tf.uint8),
        )
        images = tf.identity(images, 'image')
        images.set_shape([None, SIZE, SIZE, 1])
        x = tf.reshape(tf.cast(images, tf.float32) / 255, [-1, SIZE * SIZE])
        weight = v1.get_variable('w', initializer=tf.constant(weights(version)))
        logits = x @ weight
        probabilities = tf.nn.softmax(logits)
        scores, order = tf.math.top_k(probabilities, len(NAMES))
        outputs = {
            'classes': tf.gather(tf.constant(NAMES), order),
            'scores': scores,
            'class_index': tf.argmax(logits, 1),
            'probabilities': probabilities,
            'logits': logits,
        }
        predict = v1.saved_model.predict_signature_def
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(partial)
        builder.add_meta_graph_and_variables(
            session,
            ['serve'],
            {
                'serving_default': predict({'image_bytes': encoded}, outputs),
                'tensor': predict({'image': images}, outputs),
                'examples': predict({'examples': examples}, outputs),
                'classify': v1.saved_model.classification_signature_def(
                    examples, outputs['classes'], outputs['scores']
                ),
                'regress': v1.saved_model.regression_signature_def(
                    examples, tf.reduce_mean(x, 1)
                ),
                'two': predict(
                    {'image': images, 'factor': v1.placeholder(tf.float32, [None])},
                    {'only': tf.reduce_mean(x, 1)},
                ),
            },
        )
        builder.save()
    _write_warm_up(partial)
    target = os.path.join(directory, str(version))
    os.rename(partial, target)
    return target


def _write_warm_up(directory):
    """Adds a warm-up request: the first run is too slow for tests with timeouts."""
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    tensor = tf.make_tensor_proto(np.array(gray_pngs(1), object))
    log.predict_log.request.inputs['image_bytes'].CopyFrom(tensor)
    path = os.path.join(directory, 'assets.extra', 'tf_serving_warmup_requests')
    os.makedirs(os.path.dirname(path))
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(log.SerializeToString())


class Running:
    """A server in its own thread.

    Attributes:
      server: `Server`.
      loop: its event loop.
    """

    def __init__(self, options):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.server = self.call(self._make(options))

    @staticmethod
    async def _make(options):
        server = Server(options)
        await server.start()
        return server

    def call(self, coroutine, timeout=60):
        """Runs a coroutine in the server's loop and returns its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def stop(self):
        """Stops the server as SIGTERM does."""
        if self.server:
            server, self.server = self.server, None
            self.call(server.stop())

    def end(self):
        """Stops the server and its thread."""
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(60)
        self.loop.close()


@contextlib.contextmanager
def running(export_dir, **options):
    """Serves an export within the block; yields `Running`."""
    options = {
        'model_name': MODEL,
        'port': 0,
        'grpc_port': None,
        'batching': BatchingOptions(max_batch_size=8, max_wait=0.002, threads=2),
        'poll_seconds': 0.05,
        'timeout': 20.0,
        **options,
    }
    server = Running(ServerOptions(str(export_dir), **options))
    try:
        yield server
    finally:
        server.end()
