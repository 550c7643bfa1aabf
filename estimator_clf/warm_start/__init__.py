"""Warm start: initial weights from a checkpoint, a SavedModel or a Keras file."""

from estimator_clf.warm_start.hook import WarmStartHook
from estimator_clf.warm_start.report import table_of
from estimator_clf.warm_start.sources import open_source

__all__ = ['WarmStartHook', 'open_source', 'table_of']
