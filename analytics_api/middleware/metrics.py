"""Prometheus metrics, aggregated over all worker processes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.values import ValueClass
from werkzeug.wsgi import get_path_info

from ..database import Database
from ..database.row_counts import count_rows
from ..errors import AnalyticsError
from ..http.environ import QUERY_SECONDS, ROUTE
from ..http.responses import send_error
from ..values.timestamps import now

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = frozenset(["GET", "HEAD", "OPTIONS", "PATCH"])

REQUESTS = Counter("analytics_requests", "Requests by method, route and status", ["method", "route", "status"])
LATENCY = Histogram(
    "analytics_request_seconds",
    "Seconds from the arrival of a request to the start of its response",
    ["route"],
    buckets=[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
)
QUERIES = Counter("analytics_query_seconds", "Seconds that the endpoints took", ["route"])

SNAPSHOTS = """
select source, taken_at
from storage_snapshots
where taken_at is not null
order by source
"""


class Metrics:
    """Count requests by route template, and serve the metrics at `/metrics`.

    `/metrics` needs no key and contains no personal data.
    """

    def __init__(self, app: WSGIApplication, db: Database) -> None:
        self.app = app
        self.db = db

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if get_path_info(environ) == "/metrics":
            environ[ROUTE] = "/metrics"
            if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                return send_error(environ, start_response, 405, "Method not allowed", [("Allow", "GET, HEAD")])
            body = generate_latest(self.registry())
            start_response("200 OK", [("Content-Type", CONTENT_TYPE_LATEST), ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        started = time.perf_counter()

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            route = environ.get(ROUTE, "?")
            method = environ["REQUEST_METHOD"]
            REQUESTS.labels(method if method in METHODS else "?", route, status[:3]).inc()
            LATENCY.labels(route).observe(time.perf_counter() - started)
            if QUERY_SECONDS in environ:
                QUERIES.labels(route).inc(environ[QUERY_SECONDS])
            return start_response(status, headers, *rest)

        return self.app(environ, start)

    def registry(self) -> CollectorRegistry:
        """Return a registry with the metrics of all worker processes, or of this process if there are no others."""
        registry = CollectorRegistry()
        if ValueClass.__name__ == "MmapedValue":  # PROMETHEUS_MULTIPROC_DIR is set
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            for metric in (REQUESTS, LATENCY, QUERIES):
                registry.register(metric)
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        """Yield the row counts and the age of the storage statistics, or nothing if the database does not respond."""
        try:
            counts = count_rows(self.db)
            snapshots = self.db.rows(SNAPSHOTS)
        except AnalyticsError:
            return
        rows = GaugeMetricFamily("analytics_rows", "Rows in the database, including purged ones", labels=["table"])
        for table, count in counts.items():
            rows.add_metric([table], count)
        yield rows
        age = GaugeMetricFamily("analytics_storage_age_seconds", "Age of the storage statistics", labels=["source"])
        for snapshot in snapshots:
            age.add_metric([snapshot["source"]], (now() - snapshot["taken_at"]) / 1000)
        yield age
