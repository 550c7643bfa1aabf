"""The exports of a run: of the last weights, of the best, of each new best."""

import functools

from estimator_clf.checkpoints.best import best_checkpoint
from estimator_clf.export import check_examples, export_saved_model


class RunExporter:
    """Exports checkpoints of a run; all of its exports are made here."""

    def __init__(self, config, source, model_fn, decode, say):
        """Makes the object; reads nothing yet.

        Args:
          config: `Config`.
          source: `input.sources.base.DataSource`.
          model_fn: function (features, labels, mode) -> EstimatorSpec.
          decode: see `export_saved_model`.
          say: function (text) for what a person should know.
        """
        self._config, self._source = config, source
        self._model_fn, self._decode = model_fn, decode
        self._say = say

    def export(self, checkpoint, directory):
        """Exports a checkpoint as a version in a directory; returns the path."""
        return export_saved_model(
            self._model_fn,
            self._source.info,
            checkpoint,
            directory,
            self._decode,
            config=self._config,
            examples=self._examples,
            check=self._config.check_export,
        )

    def export_chosen(self, last):
        """Exports the last weights, or the best if `export_weights` says so.

        Args:
          last: path prefix of the last checkpoint.

        Returns:
          The path.
        """
        checkpoint = last
        if self._config.export_weights == 'best':
            checkpoint = best_checkpoint(self._config.model_dir)
            if checkpoint is None:
                self._say(
                    'No evaluation gave a number, so there are no best weights to '
                    'export; the last are.'
                )
                checkpoint = last
        return self.export(checkpoint, self._config.export_dir)

    @functools.cached_property
    def _examples(self):
        """Examples that every export is held against, with the data's own pixels."""
        return check_examples.of_run(self._config, self._source)
