"""Checks the environment variable TF_CONFIG, which describes a cluster."""

import json
import os

from estimator_clf.compat import estimator

from estimator_clf.core.errors import ConfigError


def refuse() -> None:
    """Raises ConfigError if TF_CONFIG is invalid or describes a cluster.

    It is often left set, and Estimator would wait for the other machines.
    """
    try:
        cluster = json.loads(os.environ.get('TF_CONFIG') or '{}').get('cluster')
        if not cluster:
            estimator.RunConfig()  # Parses the rest, and raises errors of many kinds.
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
