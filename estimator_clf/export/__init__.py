"""From a checkpoint to something that other programs take.

A SavedModel for TensorFlow Serving with all that belongs to it (`saved_model`), the
check of it (`self_check`), and the forms that other runtimes read (`formats`).
"""

from estimator_clf.export.saved_model import export_saved_model
from estimator_clf.export.versions import newest, versions

__all__ = ['export_saved_model', 'newest', 'versions']
