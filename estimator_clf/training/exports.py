"""Exports of a run: of the last weights, of the best, of each new best."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from estimator_clf.checkpoints.best import best_checkpoint
from estimator_clf.config.config import Config
from estimator_clf.export import check_examples, export_saved_model

if TYPE_CHECKING:
    from input.sources.base import DataSource


class RunExporter:
    """Exports checkpoints of one run."""

    def __init__(
        self,
        config: Config,
        source: 'DataSource',
        model_fn: Callable,
        decode: Callable | None,
        log_message: Callable[[str], None],
    ):
        """Makes the exporter; reads nothing yet.

        Args:
          config: settings of the run.
          source: `input.sources.base.DataSource` of its data.
          model_fn: function (features, labels, mode) -> EstimatorSpec.
          decode: see `export_saved_model`.
          log_message: receives messages for the user.
        """
        self._config, self._source = config, source
        self._model_fn, self._decode = model_fn, decode
        self._log_message = log_message

    def export(self, checkpoint: str, directory: str) -> str:
        """Exports a checkpoint as a version in a directory; returns the path."""
        return export_saved_model(
            self._model_fn,
            self._source.info,
            checkpoint,
            directory,
            self._decode,
            config=self._config,
            examples=self._examples,
            check=self._config.exports.check_export,
        )

    def export_chosen(self, last: str) -> str:
        """Exports the last weights, or the best ones with `export_weights=best`.

        Args:
          last: path prefix of the last checkpoint.

        Returns:
          The path of the version.
        """
        checkpoint = last
        if self._config.exports.export_weights == 'best':
            best = best_checkpoint(self._config.run.model_dir)
            if best:
                checkpoint = best
            else:
                self._log_message(
                    'No evaluation has a finite result, so there are no best weights; '
                    'exporting the last weights.'
                )
        return self.export(checkpoint, self._config.exports.export_dir)

    @functools.cached_property
    def _examples(self):
        """Examples of the data for the parity check of every export."""
        return check_examples.of_run(self._config, self._source)
