"""One version of a model in memory."""

import contextlib
import dataclasses
import os

from estimator_clf.compat import estimator  # noqa: F401  Loads TensorFlow quietly.

import numpy as np
import tensorflow as tf

from estimator_clf.core.devices import session_config
from estimator_clf.serving.status import (
    ServingError,
    invalid,
    of_tensorflow,
    what_happened,
)

v1 = tf.compat.v1

DEFAULT_SIGNATURE = 'serving_default'
METHODS = tuple(f'tensorflow/serving/{m}' for m in ('predict', 'classify', 'regress'))


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature of a SavedModel.

    Attributes:
      name: its key.
      method: its method's name, such as 'tensorflow/serving/predict'.
      inputs: dict alias -> `TensorInfo`.
      outputs: dict alias -> `TensorInfo`.
    """

    name: str
    method: str
    inputs: dict
    outputs: dict

    @property
    def batches(self):
        """Whether requests may be merged: every tensor has a free first dimension."""
        infos = [*self.inputs.values(), *self.outputs.values()]
        shapes = [info.tensor_shape for info in infos]
        return all(s.dim and s.dim[0].size == -1 for s in shapes)

    def check(self, inputs):
        """Checks the tensors of a request.

        Args:
          inputs: dict alias -> array.

        Raises:
          ServingError: they are not what the signature takes.
        """
        if inputs.keys() != self.inputs.keys():
            given, wanted = set(inputs), set(self.inputs)
            extra, missing = ','.join(given - wanted), ','.join(wanted - given)
            raise invalid(
                f'input size does not match signature: {len(given)}!={len(wanted)} '
                f'len({{{",".join(sorted(given))}}}) != '
                f'len({{{",".join(sorted(wanted))}}}). '
                f'Sent extra: {{{extra}}}. Missing but required: {{{missing}}}.'
            )
        for name, array in inputs.items():
            info = self.inputs[name]
            wanted = tf.as_dtype(info.dtype)
            if np.dtype(wanted.as_numpy_dtype) != array.dtype:
                raise invalid(
                    f'Expects input {name} to be {dtype_name(wanted)} but '
                    f'{dtype_name(tf.as_dtype(array.dtype))} is provided'
                )
            shape = tf.TensorShape(info.tensor_shape)
            if not shape.is_compatible_with(array.shape):
                raise invalid(
                    f'Expects input {name} to have shape {_written(shape)} but '
                    f'{_written(array.shape)} is provided'
                )


class Servable:
    """A SavedModel in a session of its own."""

    def __init__(self, path):
        """Loads it.

        Args:
          path: directory of the SavedModel.

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
        self.signature_defs = dict(meta.signature_def)
        self.signatures = {
            name: Signature(name, s.method_name, dict(s.inputs), dict(s.outputs))
            for name, s in self.signature_defs.items()
            if s.method_name in METHODS  # Not TensorFlow's own __saved_model_init_op.
        }

    def signature(self, name):
        """Returns a signature by its name; the default one for ''.

        Raises:
          ServingError: there is none.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            raise invalid(
                f'Serving signature name: "{name}" not found in signature def; there '
                f'are: {", ".join(sorted(self.signatures))}'
            )
        return self.signatures[name]

    def run(self, signature, inputs):
        """Runs the model; blocks, and may be called from any thread.

        Args:
          signature: `Signature`, one of `signatures`.
          inputs: dict alias -> array, as `Signature.check` wants them.

        Returns:
          dict alias -> array.

        Raises:
          ServingError: TensorFlow's, such as for an image that cannot be decoded.
        """
        fetches = {alias: info.name for alias, info in signature.outputs.items()}
        return self._run(fetches, signature, inputs)

    def seen_image(self, data):
        """Returns an image as the network sees it.

        Args:
          data: bytes: an encoded image.

        Returns:
          uint8 [H, W, C], or None if the model does not take images, or its
          signature `tensor` is not on the way from image to network.

        Raises:
          ServingError: it cannot be decoded.
        """
        encoded = self.signatures.get(DEFAULT_SIGNATURE)
        pixels = self.signatures.get('tensor')
        if not encoded or not pixels or set(encoded.inputs) != {'image_bytes'}:
            return None
        name = pixels.inputs['image'].name
        if self._session.graph.get_tensor_by_name(name).op.type == 'Placeholder':
            return None
        array = np.array([data], object)
        return self._run({'seen': name}, encoded, {'image_bytes': array})['seen'][0]

    def warm_up(self):
        """Runs the warm-up requests that came with the model, as Serving does.

        The first run of a graph is slow. Requests that fail are passed over: they say
        nothing about those to come.

        Returns:
          How many ran.
        """
        path = os.path.join(self.path, 'assets.extra', 'tf_serving_warmup_requests')
        if not os.path.exists(path):
            return 0
        from tensorflow_serving.apis import prediction_log_pb2

        from estimator_clf.serving import protos

        count = 0
        for record in v1.io.tf_record_iterator(path):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            kind = log.WhichOneof('log_type')
            if kind == 'predict_log':
                request = log.predict_log.request
                inputs = {k: protos.array(t) for k, t in request.inputs.items()}
            elif kind in ('classify_log', 'regress_log'):
                request = getattr(log, kind).request
                inputs = {'inputs': protos.examples(request.input)}
            else:
                continue
            with contextlib.suppress(ServingError):
                signature = self.signature(request.model_spec.signature_name)
                signature.check(inputs)
                self.run(signature, inputs)
                count += 1
        return count

    def close(self):
        """Gives the memory back."""
        self._session.close()

    def _run(self, fetches, signature, inputs):
        feed = {signature.inputs[alias].name: x for alias, x in inputs.items()}
        try:
            return self._session.run(fetches, feed)
        except tf.errors.OpError as error:
            raise of_tensorflow(error) from None
        except UnicodeDecodeError as error:
            # An error whose message quotes the request's bytes: TensorFlow's Python
            # trips over them before it can raise it, and its code is lost.
            message = error.object.decode(errors='replace')
            raise invalid(what_happened(message)) from None


def dtype_name(dtype):
    """Returns the name that TensorFlow's C++ has for a `tf.DType`."""
    return {'float32': 'float', 'float64': 'double'}.get(dtype.name, dtype.name)


def _written(shape):
    """A shape as text: [-1,28,28,1]."""
    if isinstance(shape, tf.TensorShape):
        if shape.rank is None:
            return '[?]'
        shape = [-1 if size is None else size for size in shape]
    return '[' + ','.join(map(str, shape)) + ']'
