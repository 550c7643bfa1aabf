"""Inference on the served versions of a model, independent of the API."""

import asyncio
import concurrent.futures
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from estimator_clf.serving.batching import Batcher, BatchingOptions, BatchResult
from estimator_clf.serving.errors import ServingError, invalid_argument
from estimator_clf.serving.metrics import Metrics
from estimator_clf.serving.servable import Servable, Signature
from estimator_clf.serving.version_manager import Version, VersionManager


@dataclasses.dataclass(frozen=True)
class InferenceResult(BatchResult):
    """Outputs of a request.

    Attributes:
      version: version number of the model.
      signature_name: name of the signature.
    """

    version: int
    signature_name: str


class InferenceEngine:
    """Runs signatures of a model's versions, in batches."""

    def __init__(
        self,
        versions: VersionManager,
        batching: BatchingOptions,
        metrics: Metrics,
    ) -> None:
        """Creates the engine.

        Args:
          versions: the loaded versions.
          batching: how requests are merged.
          metrics: counts the runs.
        """
        self.versions = versions
        self._batching, self._metrics = batching, metrics
        self._slots = asyncio.Semaphore(batching.threads)
        self._pool = concurrent.futures.ThreadPoolExecutor(batching.threads, 'serving')

    async def predict(
        self, spec: Any, decode: Callable[[Signature], dict[str, np.ndarray]]
    ) -> InferenceResult:
        """Runs a signature of any method.

        Args:
          spec: `ModelSpec` of the request.
          decode: returns the request's tensors by input name; called in a thread.

        Raises:
          ServingError: see `Servable`; also what `decode` raises.
        """
        with self.versions.use(spec) as version:
            signature = _servable(version).signature(spec.signature_name)
            return await self._run(version, signature, decode)

    async def run_examples(
        self, spec: Any, method: str, decode: Callable[[], np.ndarray]
    ) -> InferenceResult:
        """Runs a signature for `tf.Example`s.

        Args:
          spec: `ModelSpec` of the request.
          method: 'classify' or 'regress'.
          decode: returns object [N] of bytes, serialized `tf.Example`s; called in a
            thread.

        Returns:
          Outputs `classes`, object [N, k] of bytes, and `scores`, float32 [N, k], or
          one of the two, of classify; `outputs`, float32 [N], of regress.

        Raises:
          ServingError: see `Servable`; also if the signature has another method.
        """
        with self.versions.use(spec) as version:
            servable = _servable(version)
            signature = servable.signature(spec.signature_name)
            if signature.method != f'tensorflow/serving/{method}':
                raise invalid_argument(
                    f'{method} requires a signature with the method '
                    f'tensorflow/serving/{method}, but {signature.name} has '
                    f'{signature.method}; set `signature_name` to one of: '
                    f'{", ".join(servable.signature_names(method)) or "(none)"}'
                )
            return await self._run(version, signature, lambda _: {'inputs': decode()})

    async def model_input(self, data: bytes) -> np.ndarray:
        """Returns an encoded image as the network receives it: uint8 [H, W, C].

        Raises:
          ServingError: it cannot be decoded, or the model takes no encoded images.
        """
        with self.versions.use() as version:
            async with self._slots:
                pixels = await asyncio.get_running_loop().run_in_executor(
                    self._pool, _servable(version).model_input, data
                )
            if pixels is None:
                raise ServingError(
                    'UNIMPLEMENTED',
                    'the graph does not turn an encoded image to pixels',
                )
            return pixels

    def signatures(self, spec: Any) -> tuple[int, dict[str, Any]]:
        """Returns a version's number and its `SignatureDef`s by name."""
        with self.versions.use(spec) as version:
            return version.number, _servable(version).signature_defs

    async def close(self) -> None:
        """Finishes the requests in progress and unloads the model."""
        await self.versions.close()
        self._pool.shutdown()

    async def _run(self, version, signature, decode):
        inputs = await asyncio.to_thread(_decode_and_check, signature, decode)
        # Inputs of unequal first dimensions, or scalars, are not a batch.
        sizes = {len(x) if x.ndim else None for x in inputs.values()}
        size = sizes.pop() if len(sizes) == 1 and signature.is_batchable else None
        if signature.name not in version.batchers:
            version.batchers[signature.name] = self._batcher(version, signature)
        result = await version.batchers[signature.name].submit(inputs, size)
        return InferenceResult(
            **vars(result), version=version.number, signature_name=signature.name
        )

    def _batcher(self, version, signature):
        servable = version.servable
        return Batcher(
            lambda inputs: servable.run(signature, inputs),
            self._batching,
            self._slots,
            self._pool,
            self._metrics.on_batch,
        )


def _servable(version: Version) -> Servable:
    assert version.servable is not None  # It is loaded while it is in use.
    return version.servable


def _decode_and_check(signature, decode):
    inputs = decode(signature)
    signature.check(inputs)
    return inputs
