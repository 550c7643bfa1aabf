"""Prometheus metrics, with TensorFlow Serving's names where it has them.

One difference: the Python client appends `_total` to the name of a counter.
"""

import contextlib
import time
from collections.abc import Iterator

import prometheus_client

from estimator_clf.serving.errors import ServingError

_PREFIX = ':tensorflow:serving:'

# Microseconds: 100 µs to 100 s.
_LATENCIES = [a * 10**b for b in range(2, 8) for a in (1, 2, 5)] + [10**8]
_SIZES = [2**n for n in range(11)]


class Metrics:
    """Metrics of one server."""

    def __init__(self, model_name: str) -> None:
        """Creates the metrics in a registry of their own."""
        self._model = model_name
        prometheus_client.disable_created_metrics()
        self.registry = registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        self._requests = prometheus_client.Counter(
            _PREFIX + 'request_count',
            'Requests.',
            ['model_name', 'status', 'API', 'entrypoint'],
            registry=registry,
        )
        self._latency = prometheus_client.Histogram(
            _PREFIX + 'request_latency',
            'Time from the whole request to its response, microseconds.',
            ['model_name', 'API', 'entrypoint'],
            buckets=_LATENCIES,
            registry=registry,
        )
        self._run = prometheus_client.Histogram(
            _PREFIX + 'runtime_latency',
            'Time of a run of the model, microseconds.',
            ['model_name'],
            buckets=_LATENCIES,
            registry=registry,
        )
        self._batch = prometheus_client.Histogram(
            _PREFIX + 'batching_session:processed_batch_size',
            'Examples in a run of the model.',
            ['model_name'],
            buckets=_SIZES,
            registry=registry,
        )
        self._in_progress = prometheus_client.Gauge(
            'estimator_clf_requests_under_way',
            'Requests without a response.',
            registry=registry,
        )
        self._loaded = prometheus_client.Gauge(
            'estimator_clf_version_available',
            '1 for a version in service.',
            ['model_name', 'version'],
            registry=registry,
        )

    @contextlib.contextmanager
    def request(self, api: str, entrypoint: str) -> Iterator[None]:
        """Counts and times the request that is handled in the block.

        Args:
          api: 'Predict', 'Classify' or 'Regress'.
          entrypoint: 'REST' or 'GRPC'.
        """
        begin = time.perf_counter()
        self._in_progress.inc()
        status = 'INTERNAL'
        try:
            yield
            status = 'OK'
        except ServingError as error:
            status = error.code
            raise
        finally:
            self._in_progress.dec()
            self._requests.labels(self._model, status, api, entrypoint).inc()
            if status == 'OK':
                micros = (time.perf_counter() - begin) * 1e6
                self._latency.labels(self._model, api, entrypoint).observe(micros)

    def on_batch(self, size: int, seconds: float) -> None:
        """Records a run of the model; may be called from any thread."""
        self._batch.labels(self._model).observe(size)
        self._run.labels(self._model).observe(seconds * 1e6)

    def on_version(self, number: int, state: str) -> None:
        """Records a change of a version's state."""
        labels = self._model, str(number)
        if state == 'AVAILABLE':
            self._loaded.labels(*labels).set(1)
        elif state == 'END':
            with contextlib.suppress(KeyError):  # It may have failed to load.
                self._loaded.remove(*labels)

    def exposition(self) -> tuple[bytes, str]:
        """Returns the metrics as text, and its content type."""
        latest = prometheus_client.exposition.generate_latest(self.registry)
        return latest, prometheus_client.exposition.CONTENT_TYPE_LATEST
