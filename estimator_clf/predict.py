"""Classifies encoded pictures with an exported SavedModel."""

import tensorflow as tf

from estimator_clf.devices import session_config
from estimator_clf.errors import ConfigError
from estimator_clf.export import newest

v1 = tf.compat.v1


class Predictor:
    """The signature `serving_default` of a SavedModel, held ready."""

    def __init__(self, path):
        """Loads a SavedModel.

        Args:
          path: its folder, or the folder of its versions, of which the last counts.

        Raises:
          ConfigError: there is none, or none that takes pictures.
        """
        path = newest(path)
        self._session = v1.Session(graph=tf.Graph(), config=session_config())
        with self._session.graph.as_default():
            try:
                meta = v1.saved_model.load(self._session, ['serve'], path)
            except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
                reason = str(error).strip().partition('\n')[0][:200]
                raise ConfigError(
                    f'--export_dir: {path} cannot be loaded, it is damaged or not made '
                    f'for serving; export it again ({reason})'
                ) from error
        signature = meta.signature_def['serving_default']
        if 'image_bytes' not in signature.inputs:
            raise ConfigError(
                f'--export_dir: {path} does not take pictures, but '
                + (', '.join(signature.inputs) or 'nothing')
            )
        self._input = signature.inputs['image_bytes'].name
        self._outputs = {n: signature.outputs[n].name for n in ('classes', 'scores')}

    def predict(self, pictures):
        """Classifies some pictures.

        Args:
          pictures: list of bytes: encoded pictures.

        Returns:
          A list with, for each picture, a list of (class name, probability), the most
          probable first; or the exception, if the picture cannot be decoded.
        """
        try:
            return self._run(pictures)
        except tf.errors.InvalidArgumentError as error:
            if len(pictures) == 1:
                return [error]
            # One picture spoils its batch: find it.
            return [result for p in pictures for result in self.predict([p])]

    def _run(self, pictures):
        out = self._session.run(self._outputs, {self._input: pictures})
        return [
            [(n.decode(), float(s)) for n, s in zip(names, scores, strict=True)]
            for names, scores in zip(out['classes'], out['scores'], strict=True)
        ]
