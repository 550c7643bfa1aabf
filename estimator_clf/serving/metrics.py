"""What Prometheus reads, under Serving's names where Serving has one.

One difference: the Python client writes `_total` behind the name of a counter.
"""

import contextlib
import time

import prometheus_client

from estimator_clf.serving.status import ServingError

_PREFIX = ':tensorflow:serving:'

#: Microseconds: 100 µs to 100 s.
_LATENCIES = [a * 10**b for b in range(2, 8) for a in (1, 2, 5)] + [10**8]
_SIZES = [2**n for n in range(11)]


class Metrics:
    """The counters of one server."""

    def __init__(self, model_name):
        """Makes them.

        Args:
          model_name: name of the model.
        """
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
            'From the whole request to its answer, microseconds.',
            ['model_name', 'API', 'entrypoint'],
            buckets=_LATENCIES,
            registry=registry,
        )
        self._run = prometheus_client.Histogram(
            _PREFIX + 'runtime_latency',
            'Of a run of the model, microseconds.',
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
        self._under_way = prometheus_client.Gauge(
            'estimator_clf_requests_under_way',
            'Requests that are not answered yet.',
            registry=registry,
        )
        self._loaded = prometheus_client.Gauge(
            'estimator_clf_version_available',
            '1 for a version that is served.',
            ['model_name', 'version'],
            registry=registry,
        )

    @contextlib.contextmanager
    def request(self, api, entrypoint):
        """Counts the request that the block answers, and times it.

        Args:
          api: 'Predict', 'Classify', …
          entrypoint: 'REST' or 'GRPC'.
        """
        begin = time.perf_counter()
        self._under_way.inc()
        status = 'INTERNAL'
        try:
            yield
            status = 'OK'
        except ServingError as error:
            status = error.code
            raise
        finally:
            self._under_way.dec()
            self._requests.labels(self._model, status, api, entrypoint).inc()
            if status == 'OK':
                micros = (time.perf_counter() - begin) * 1e6
                self._latency.labels(self._model, api, entrypoint).observe(micros)

    def on_batch(self, size, seconds):
        """Counts a run of the model; may be called from any thread."""
        self._batch.labels(self._model).observe(size)
        self._run.labels(self._model).observe(seconds * 1e6)

    def on_version(self, version):
        """Notes the state of a `Version`."""
        labels = self._model, str(version.number)
        if version.state == 'AVAILABLE':
            self._loaded.labels(*labels).set(1)
        elif version.state == 'END':
            try:
                self._loaded.remove(*labels)
            except KeyError:
                return  # It never came to be.

    def page(self):
        """Returns (bytes, content type) for Prometheus."""
        latest = prometheus_client.exposition.generate_latest(self.registry)
        return latest, prometheus_client.exposition.CONTENT_TYPE_LATEST
