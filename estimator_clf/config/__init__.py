"""Settings of a run: values, checks, and their form in config.json.

from estimator_clf.config import make_config

config = make_config(dataset='digits', epochs=3)
config.run.epochs
"""

from estimator_clf.config.config import Config, make_config

__all__ = ['Config', 'make_config']
