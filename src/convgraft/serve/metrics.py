"""What the server has done, in the form that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "Metrics"]

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Counts of one server, in a registry of its own: two servers in a process do not mix."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter("convgraft_requests", "Requests.", ("path", "status"), registry=own)
        self.errors = Counter(
            "convgraft_errors", "Answers with a status of 400 or more.", ("status",), registry=own
        )
        self.seconds = Histogram(
            "convgraft_request_seconds",
            "Seconds from a request's first byte to its answer.",
            ("path",),
            buckets=SECONDS,
            registry=own,
        )
        self.batches = Histogram(
            "convgraft_batch_images",
            "Pictures that went through the network together.",
            buckets=BATCH_SIZES,
            registry=own,
        )
        self.waiting = Gauge(
            "convgraft_waiting_images", "Pictures that have no answer yet.", registry=own
        )

    def done(self, path: str, status: int, seconds: float) -> None:
        """A request has its answer; `path` is one of a few known ones."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)
        if status >= 400:
            self.errors.labels(str(status)).inc()

    def watch(self, waiting: Callable[[], int]) -> None:
        """Where the number of waiting pictures is to be read."""
        self.waiting.set_function(waiting)

    def text(self) -> bytes:
        """All of them, to be sent as `CONTENT_TYPE`."""
        return generate_latest(self.registry)
