"""What both APIs do, whatever a request came in as."""

import asyncio
import concurrent.futures
import dataclasses

from estimator_clf.serving.batching import Answer, Batcher, Batching
from estimator_clf.serving.servable import Signature
from estimator_clf.serving.status import ServingError, invalid

_KINDS = {'classify': 'classification', 'regress': 'regression'}


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer, and who gave it.

    Attributes:
      version: number.
      signature: `Signature`.
      answer: `Answer`.
    """

    version: int
    signature: Signature
    answer: Answer


class Core:
    """Predicts and classifies with the versions of a model."""

    def __init__(self, versions, batching=None, metrics=None):
        """Makes the object.

        Args:
          versions: `Versions`.
          batching: `Batching`.
          metrics: `Metrics`.
        """
        self.versions = versions
        self._batching = batching or Batching()
        self._metrics = metrics
        self._slots = asyncio.Semaphore(self._batching.threads)
        self._pool = concurrent.futures.ThreadPoolExecutor(
            self._batching.threads, 'serving'
        )

    async def predict(self, spec, read):
        """Runs any signature.

        Args:
          spec: `ModelSpec`.
          read: function `Signature` -> dict alias -> array, which reads the request's
            tensors; called in another thread.

        Returns:
          `Reply`.

        Raises:
          ServingError: see `Servable`; also what `read` raises.
        """
        with self.versions.use(spec) as version:
            signature = version.servable.signature(spec.signature_name)
            return await self._run(version, signature, read)

    async def judge(self, spec, method, read):
        """Runs a signature that takes examples and classifies, or regresses.

        Args:
          spec: `ModelSpec`.
          method: 'classify' or 'regress'.
          read: function () -> object [N] of bytes: serialized `tf.Example`s; called in
            another thread.

        Returns:
          `Reply`; its outputs are, of classify, `classes`, object [N, k], and
          `scores`, float32 [N, k], or one of the two; of regress `outputs`, float32
          [N].

        Raises:
          ServingError: see `Servable`; a signature of another method.
        """
        with self.versions.use(spec) as version:
            signature = version.servable.signature(spec.signature_name)
            if signature.method != f'tensorflow/serving/{method}':
                raise invalid(
                    f'Expected {_KINDS[method]} signature method_name to be '
                    f'tensorflow/serving/{method}. Was: {signature.method}. '
                    '(signature_name must name one of that method)'
                )
            return await self._run(version, signature, lambda _: {'inputs': read()})

    async def seen_image(self, spec, data):
        """Returns an image as the network sees it: uint8 [H, W, C].

        Raises:
          ServingError: it cannot be decoded, or the model has no such image.
        """
        with self.versions.use(spec) as version:
            async with self._slots:
                pixels = await asyncio.get_running_loop().run_in_executor(
                    self._pool, version.servable.seen_image, data
                )
            if pixels is None:
                raise ServingError(
                    'UNIMPLEMENTED', 'this model does not show what it sees'
                )
            return pixels

    def signatures(self, spec):
        """Returns (version number, dict name -> `SignatureDef`)."""
        with self.versions.use(spec) as version:
            return version.number, version.servable.signature_defs

    async def close(self):
        """Answers what is under way, and lets go of the model."""
        await self.versions.close()
        self._pool.shutdown()

    async def _run(self, version, signature, read):
        inputs = await asyncio.to_thread(self._read, signature, read)
        # The rows of each input; unequal ones do not make a batch.
        sizes = {len(x) if x.ndim else None for x in inputs.values()}
        size = sizes.pop() if len(sizes) == 1 and signature.batches else None
        if signature.name not in version.batchers:
            version.batchers[signature.name] = self._batcher(version, signature)
        answer = await version.batchers[signature.name].submit(inputs, size)
        return Reply(version.number, signature, answer)

    def _batcher(self, version, signature):
        servable = version.servable
        return Batcher(
            lambda inputs: servable.run(signature, inputs),
            self._batching,
            self._slots,
            self._pool,
            self._metrics.on_batch if self._metrics else lambda *_: None,
        )

    @staticmethod
    def _read(signature, read):
        inputs = read(signature)
        signature.check(inputs)
        return inputs
