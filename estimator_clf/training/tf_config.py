"""TF_CONFIG, which describes a cluster: not for this program, but often left set."""

import json
import os

from estimator_clf.compat import estimator

from estimator_clf.core.errors import ConfigError


def refuse():
    """Raises ConfigError if TF_CONFIG describes a cluster, which is not for us."""
    try:
        cluster = json.loads(os.environ.get('TF_CONFIG') or '{}').get('cluster')
        if not cluster:
            estimator.RunConfig()  # It reads the rest, and raises whatever comes.
    except (ValueError, AttributeError, TypeError) as error:
        raise ConfigError(
            'TF_CONFIG must be a JSON object that describes this machine, got '
            f'{os.environ["TF_CONFIG"][:80]!r} ({error}); unset it'
        ) from None
    if cluster:
        raise ConfigError(
            'TF_CONFIG describes a cluster, but this program trains on one machine; '
            'unset it, or use estimator_clf.compat.estimator.train_and_evaluate with '
            'the input_fn and model_fn'
        )
