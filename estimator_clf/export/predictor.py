"""Classifies encoded images with an exported SavedModel, or with a checkpoint."""

import collections
import concurrent.futures

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core.devices import session_config
from estimator_clf.core.errors import ConfigError
from estimator_clf.export import newest
from estimator_clf.export.check_examples import restore

v1 = tf.compat.v1

# Batches under way at a time: while the network works on one, the next is read and
# decoded, and a third waits.
_AT_ONCE = 3


class Predictor:
    """A model that takes encoded images, held ready.

    predictor = Predictor('runs/images/export')
    for key, result in predictor.predict_all(pairs):
        print(key, result)
    """

    def __init__(self, path):
        """Loads the signature `serving_default` of a SavedModel.

        Args:
          path: its directory, or the directory of its versions, of which the last
          counts.

        Raises:
          ConfigError: there is none, or none that takes images.
        """
        self.source = path = newest(path)
        self._session = v1.Session(graph=tf.Graph(), config=session_config())
        with self._session.graph.as_default():
            try:
                meta = v1.saved_model.load(self._session, ['serve'], path)
            except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
                reason = str(error).strip().partition('\n')[0][:200]
                raise ConfigError(
                    f'`export_dir`: {path} cannot be loaded, it is corrupt or not made '
                    f'for serving; export it again ({reason})'
                ) from error
        signature = meta.signature_def['serving_default']
        if 'image_bytes' not in signature.inputs:
            raise ConfigError(
                f'`export_dir`: {path} does not take images, but '
                + (', '.join(signature.inputs) or 'nothing')
            )
        self._input = signature.inputs['image_bytes'].name
        self._outputs = {n: signature.outputs[n].name for n in ('classes', 'scores')}

    @classmethod
    def of_checkpoint(cls, model_fn, checkpoint, decoder):
        """Makes a predictor without an export.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec.
          checkpoint: path prefix of the checkpoint.
          decoder: `input.images.batch_decoder.BatchDecoder`.

        Raises:
          RunError: the checkpoint is corrupt, or of another network.
        """
        self = cls.__new__(cls)
        self.source = checkpoint
        self._session = v1.Session(graph=tf.Graph(), config=session_config())
        with self._session.graph.as_default():
            v1.train.create_global_step()
            encoded = v1.placeholder(tf.string, [None])
            with tf.device('/cpu:0'):
                images = decoder.batch(encoded)
            spec = model_fn({'image': images}, None, mode=estimator.ModeKeys.PREDICT)
            restore(spec, self._session, checkpoint)
        self._input = encoded.name
        self._outputs = {n: spec.predictions[n].name for n in ('classes', 'scores')}
        return self

    def predict(self, pictures):
        """Classifies some images.

        Args:
          images: list of bytes: encoded images.

        Returns:
          A list with, for each image, a list of (class name, probability), the most
          probable first; or the exception, if the image cannot be decoded.
        """
        try:
            return self._run(pictures)
        except tf.errors.InvalidArgumentError as error:
            if len(pictures) == 1:
                return [error]
        # One image spoils its batch. By halves, a single bad one among n costs about
        # 2 log2(n) more runs.
        half = len(pictures) // 2
        return self.predict(pictures[:half]) + self.predict(pictures[half:])

    def predict_all(self, pairs, batch_size=32):
        """Classifies any number of images, several batches at a time.

        Args:
          pairs: iterable of (key, function that returns the encoded image); where
            that raises OSError or ValueError, the exception is the result.
          batch_size: images in a batch.

        Yields:
          (key, result as `predict` gives it), in the order of `pairs`.
        """

        def work(batch):
            read, results = [], {}
            for number, (_, load) in enumerate(batch):
                try:
                    read.append((number, load()))
                except (OSError, ValueError) as error:
                    results[number] = error
            if read:
                predicted = self.predict([data for _, data in read])
                numbers = [number for number, _ in read]
                results.update(zip(numbers, predicted, strict=True))
            return [(key, results[n]) for n, (key, _) in enumerate(batch)]

        waiting = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for batch in _batches(pairs, batch_size):
                    waiting.append(pool.submit(work, batch))
                    if len(waiting) > _AT_ONCE:
                        yield from waiting.popleft().result()
                while waiting:
                    yield from waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _run(self, pictures):
        out = self._session.run(self._outputs, {self._input: pictures})
        return [
            [(n.decode(), float(s)) for n, s in zip(names, scores, strict=True)]
            for names, scores in zip(out['classes'], out['scores'], strict=True)
        ]


def _batches(items, size):
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
