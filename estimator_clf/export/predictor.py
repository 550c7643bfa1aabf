"""Classification of encoded images with a SavedModel or a checkpoint."""

import collections
import concurrent.futures
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

from estimator_clf.compat import estimator

import tensorflow as tf

from estimator_clf.core.errors import ConfigError, is_out_of_memory
from estimator_clf.core.hardware.devices import session_config
from estimator_clf.export import newest_version
from estimator_clf.export.check_examples import restore
from input.images.batch_decoder import BatchDecoder

v1 = tf.compat.v1

# Concurrent batches: one in the network, one being read and decoded, one waiting.
_CONCURRENT_BATCHES = 3

# (class name, probability) of the top classes, or the error of a corrupt image.
Result = list[tuple[str, float]] | Exception


class Predictor:
    """A loaded model that classifies encoded images.

    predictor = Predictor('runs/images/export')
    for key, result in predictor.predict_all(pairs):
        print(key, result)
    """

    def __init__(self, path: str) -> None:
        """Loads the signature `serving_default` of a SavedModel.

        Args:
          path: directory of the SavedModel, or of versions; then the newest is loaded.

        Raises:
          ConfigError: there is no SavedModel, or it does not take images.
        """
        self.source = path = newest_version(path)
        self._session: Any = v1.Session(graph=tf.Graph(), config=session_config())
        with self._session.graph.as_default():
            try:
                meta = v1.saved_model.load(self._session, ['serve'], path)
            except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
                if is_out_of_memory(error):
                    raise
                reason = str(error).strip().partition('\n')[0][:200]
                raise ConfigError(
                    f'`export_dir`: {path} cannot be loaded, because it is corrupt or '
                    f'not made for serving; export it again ({reason})'
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
    def of_checkpoint(
        cls, model_fn: Callable[..., Any], checkpoint: str, decoder: BatchDecoder
    ) -> 'Predictor':
        """Makes a predictor from a checkpoint instead of an export.

        Args:
          model_fn: function (features, labels, mode) -> EstimatorSpec.
          checkpoint: path prefix of the checkpoint.
          decoder: decoder of the run.

        Raises:
          RunError: the checkpoint is corrupt or belongs to another network.
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

    def predict(self, images: Sequence[bytes]) -> list[Result]:
        """Classifies encoded images.

        Returns:
          For each image its classes with probabilities, the most probable first, or an
          exception if the image cannot be decoded.
        """
        try:
            return self._run(images)
        except tf.errors.InvalidArgumentError as error:
            if is_out_of_memory(error):
                raise
            if len(images) == 1:
                return [error]
        # One corrupt image fails its batch. Bisection costs about 2 log2(n) more runs
        # for one corrupt image among n.
        half = len(images) // 2
        return self.predict(images[:half]) + self.predict(images[half:])

    def predict_all(
        self,
        pairs: Iterable[tuple[Hashable, Callable[[], bytes]]],
        batch_size: int = 32,
    ) -> Iterator[tuple[Any, Result]]:
        """Classifies any number of images, several batches at a time.

        Args:
          pairs: (key, function that returns the encoded image) each; an OSError or
            ValueError of the function becomes the result.
          batch_size: images per batch.

        Yields:
          (key, result as from `predict`), in the order of `pairs`.
        """

        def predict_batch(batch):
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

        pending: collections.deque[concurrent.futures.Future] = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(_CONCURRENT_BATCHES) as pool:
            try:
                for batch in _batches(pairs, batch_size):
                    pending.append(pool.submit(predict_batch, batch))
                    if len(pending) > _CONCURRENT_BATCHES:
                        yield from pending.popleft().result()
                while pending:
                    yield from pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _run(self, images: Sequence[bytes]) -> list[Result]:
        out = self._session.run(self._outputs, {self._input: images})
        return [
            [(n.decode(), float(s)) for n, s in zip(names, scores, strict=True)]
            for names, scores in zip(out['classes'], out['scores'], strict=True)
        ]


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
