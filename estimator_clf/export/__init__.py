"""Exports of checkpoints: SavedModels for TensorFlow Serving, and other formats.

`saved_model` writes a SavedModel with labels, warm-up requests and a model card,
`parity_check` verifies it, `formats` writes files for other runtimes.
"""

from estimator_clf.export.saved_model import export_saved_model
from estimator_clf.export.versions import list_versions, newest_version

__all__ = ['export_saved_model', 'list_versions', 'newest_version']
