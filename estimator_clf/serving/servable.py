"""One version of a model in memory."""

import contextlib
import dataclasses
import os
from typing import Any

from estimator_clf.compat import estimator  # noqa: F401  Loads TensorFlow quietly.

import numpy as np
import tensorflow as tf

from estimator_clf.core.hardware.devices import session_config
from estimator_clf.serving import protos
from estimator_clf.serving.errors import (
    ServingError,
    from_tensorflow,
    invalid_argument,
    summarize,
)

v1 = tf.compat.v1

DEFAULT_SIGNATURE = 'serving_default'
_METHOD_PREFIX = 'tensorflow/serving/'
_METHODS = tuple(_METHOD_PREFIX + name for name in ('predict', 'classify', 'regress'))


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel.

    Attributes:
      name: its key.
      method: its method's name, such as 'tensorflow/serving/predict'.
      inputs: input name -> `TensorInfo`.
      outputs: output name -> `TensorInfo`.
    """

    name: str
    method: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    @property
    def is_batchable(self) -> bool:
        """Whether every tensor has a free first dimension, so that requests merge."""
        infos = [*self.inputs.values(), *self.outputs.values()]
        shapes = [info.tensor_shape for info in infos]
        return all(s.dim and s.dim[0].size == -1 for s in shapes)

    def check(self, inputs: dict[str, np.ndarray]) -> None:
        """Checks names, types and shapes of the tensors of a request.

        Raises:
          ServingError: one of them differs from the signature.
        """
        if inputs.keys() != self.inputs.keys():
            raise invalid_argument(
                f'signature {self.name} takes the inputs {sorted(self.inputs)}, '
                f'got {sorted(inputs)}'
            )
        for name, array in inputs.items():
            info = self.inputs[name]
            dtype = tf.as_dtype(info.dtype)
            if np.dtype(dtype.as_numpy_dtype) != array.dtype:
                raise invalid_argument(
                    f'input {name} must have the type {dtype.name}, '
                    f'got {tf.as_dtype(array.dtype).name}'
                )
            shape = tf.TensorShape(info.tensor_shape)
            if not shape.is_compatible_with(array.shape):
                raise invalid_argument(
                    f'input {name} must have the shape {shape}, '
                    f'got {tf.TensorShape(array.shape)}'
                )


class Servable:
    """A SavedModel in its own session."""

    def __init__(self, path: str) -> None:
        """Loads the SavedModel in a directory.

        Raises:
          OSError, RuntimeError, ValueError, tf.errors.OpError: it cannot be loaded.
        """
        self.path = path
        self._session = v1.Session(graph=tf.Graph(), config=session_config())
        try:
            with self._session.graph.as_default():
                meta = v1.saved_model.load(self._session, ['serve'], path)
        except BaseException:
            self._session.close()
            raise
        self.signature_defs: dict[str, Any] = dict(meta.signature_def)
        self.signatures = {
            name: Signature(name, s.method_name, dict(s.inputs), dict(s.outputs))
            for name, s in self.signature_defs.items()
            if s.method_name in _METHODS  # Not TensorFlow's own __saved_model_init_op.
        }

    def signature(self, name: str) -> Signature:
        """Returns a signature by its name; the default one for ''.

        Raises:
          ServingError: it does not exist.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            names = ', '.join(sorted(self.signatures))
            raise invalid_argument(
                f'`signature_name` must be one of {names}, got {name!r}'
            )
        return self.signatures[name]

    def signature_names(self, method: str) -> list[str]:
        """Returns the names of the signatures of a method, such as 'classify'."""
        method = _METHOD_PREFIX + method
        return sorted(n for n, s in self.signatures.items() if s.method == method)

    def run(
        self, signature: Signature, inputs: dict[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Runs the model; blocks, and may be called from any thread.

        Args:
          signature: one of `signatures`.
          inputs: tensors that passed `Signature.check`.

        Returns:
          Output name -> array.

        Raises:
          ServingError: TensorFlow's, such as for an image that cannot be decoded.
        """
        fetches = {name: info.name for name, info in signature.outputs.items()}
        return self._run(fetches, signature, inputs)

    def model_input(self, data: bytes) -> np.ndarray | None:
        """Returns an encoded image as the network receives it.

        Returns:
          uint8 [H, W, C]; None if the model takes no encoded images, or its signature
          `tensor` is not on the path from image to network.

        Raises:
          ServingError: the image cannot be decoded.
        """
        encoded = self.signatures.get(DEFAULT_SIGNATURE)
        pixels = self.signatures.get('tensor')
        if not encoded or not pixels or set(encoded.inputs) != {'image_bytes'}:
            return None
        name = pixels.inputs['image'].name
        if self._session.graph.get_tensor_by_name(name).op.type == 'Placeholder':
            return None
        inputs = {'image_bytes': np.array([data], object)}
        return self._run({'pixels': name}, encoded, inputs)['pixels'][0]

    def warm_up(self) -> int:
        """Runs the warm-up requests of the export, since the first run is slow.

        Requests that fail are skipped.

        Returns:
          The number of requests that ran.
        """
        path = os.path.join(self.path, 'assets.extra', 'tf_serving_warmup_requests')
        if not os.path.exists(path):
            return 0
        from tensorflow_serving.apis import prediction_log_pb2

        count = 0
        for record in v1.io.tf_record_iterator(path):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            kind = log.WhichOneof('log_type')
            if kind == 'predict_log':
                request = log.predict_log.request
                inputs = {k: protos.to_array(t) for k, t in request.inputs.items()}
            elif kind in ('classify_log', 'regress_log'):
                request = getattr(log, kind).request
                inputs = {'inputs': protos.serialized_examples(request.input)}
            else:
                continue
            with contextlib.suppress(ServingError):
                signature = self.signature(request.model_spec.signature_name)
                signature.check(inputs)
                self.run(signature, inputs)
                count += 1
        return count

    def close(self) -> None:
        """Releases the memory."""
        self._session.close()

    def _run(self, fetches, signature, inputs):
        feed = {signature.inputs[name].name: x for name, x in inputs.items()}
        try:
            return self._session.run(fetches, feed)
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from None
        except UnicodeDecodeError as error:
            # TensorFlow's Python fails to decode an error message that quotes bytes of
            # the request, and the original error with its code is lost.
            message = error.object.decode(errors='replace')
            raise invalid_argument(summarize(message)) from None
