"""The meter: counts every request of every door and how long it took, and tells that and the figures to Prometheus.

The only file that knows ``prometheus_client``, imported only where somebody may ask. The processes of a server count
in a folder that they share, each in a file of its own that is mapped into memory; whichever is asked adds them up.
"""

# What is annotated within ``around`` would be worked out anew for each request otherwise, which takes a microsecond.
from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from incentives.kernel.core import Core
from incentives.queries.figures.gauge import Gauge, Sample
from incentives.queries.figures.read import all_gauges, figures

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
KEPT_SECONDS = 5.0
"""So old figures of the database may be: who asks more often is told the same, and costs nothing."""

REQUESTS = Gauge(
    "incentives_http_request_seconds",
    "How long requests took until their answer began.",
    ("method", "route", "status"),
)
BUILD = Gauge("incentives_build_info", "Always 1; which version of this program and of Python.", ("version", "python"))
REDIS = Gauge(
    "incentives_throttle_degraded", "1 if Redis does not answer the process that was asked: it throttles for itself."
)
AGE = Gauge("incentives_figures_age_seconds", "How old the figures of the database are, at most about 5 seconds.")
OWN = (REQUESTS, BUILD, REDIS, AGE)

_UNMATCHED = "unmatched"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_OTHER = "other"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more of each, of no use where processes are added up


class Meter:
    """What one process counts and tells. ``folder`` is where the processes of its server count together, if anywhere.

    The library looks for that folder in the environment when it is imported, so it must be known before.
    """

    def __init__(self, folder: str | None) -> None:
        """Have counted nothing."""
        self._folder = folder
        self._histogram = Histogram(REQUESTS.name, REQUESTS.help, REQUESTS.labels, registry=None, buckets=_BUCKETS)
        self._counters: dict[tuple[str, str, str], Histogram] = {}
        self._latest = Latest()

    def around(self, application: WSGIApplication) -> WSGIApplication:
        """Return an application that counts each request by its route as it is written in the code, never as it came.

        Around Flask, since a look-up computes for 400 microseconds and this may take five.
        """
        counters, first, clock = self._counters, self._first, time.perf_counter

        def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            began, answered = clock(), []

            def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
                answered.append((status, environ.get("werkzeug.request")))  # Flask takes it away at the end
                return start_response(status, headers, exc_info)

            try:
                return application(environ, start)
            finally:
                status, request = answered[-1] if answered else ("500", None)
                rule = None if request is None else request.url_rule
                key = environ["REQUEST_METHOD"], _UNMATCHED if rule is None else rule.rule, status[0]
                (counters.get(key) or first(key)).observe(clock() - began)

        return counted

    def _first(self, key: tuple[str, str, str]) -> Histogram:
        """Return what counts requests of a kind, and remember it; methods that somebody made up are one kind."""
        method, route, digit = key
        counter = self._histogram.labels(method if method in _METHODS else _OTHER, route, f"{digit}xx")
        if method in _METHODS:
            self._counters[key] = counter
        return counter

    def told(self, *, core: Core, throttle_degraded: bool) -> bytes:
        """Return everything as Prometheus reads it."""
        samples, age_seconds = self._latest.samples(core)
        own: list[Sample] = [
            (BUILD, _build(), 1.0),
            (REDIS, (), float(throttle_degraded)),
            (AGE, (), age_seconds),
        ]
        registry = CollectorRegistry()
        registry.register(_Together(self._folder) if self._folder else self._histogram)
        registry.register(_Gauges([*own, *samples]))
        return generate_latest(registry)


class Latest:
    """The figures of the last moment. Of many who ask at once one reads, and the others are told what was known."""

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        """Know nothing; ``seconds`` is the clock by which figures grow old."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: tuple[float, Sequence[Sample]] | None = None

    def samples(self, core: Core) -> tuple[Sequence[Sample], float]:
        """Return the figures and how old they are. Who comes first waits for them, whoever else is told what was."""
        known = self._known
        if known is None:
            with self._lock:
                known = self._known or self._read(core)
        elif self._seconds() - known[0] >= KEPT_SECONDS and self._lock.acquire(blocking=False):
            try:
                known = self._read(core)
            finally:
                self._lock.release()
        return known[1], max(self._seconds() - known[0], 0.0)

    def _read(self, core: Core) -> tuple[float, Sequence[Sample]]:
        at = self._seconds()
        self._known = at, figures(core=core)
        return self._known


@cache
def _build() -> tuple[str, str]:
    return version("incentives"), platform.python_version()


class _Together(Collector):
    """Adds up what the processes of a server have counted in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        """Return the sums. A process that begins just now has a file for a moment in which nothing stands yet."""
        files = [str(file) for file in self._folder.glob("*.db") if file.stat().st_size]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return merged


class _Gauges(Collector):
    """Hands figures to the library."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return each figure with all its values."""
        families: dict[str, GaugeMetricFamily] = {}
        for gauge, labels, value in self._samples:
            if gauge.name not in families:
                families[gauge.name] = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            families[gauge.name].add_metric(labels, value)
        yield from families.values()


def all_told() -> tuple[Gauge, ...]:
    """Return everything that is told, whatever answers."""
    return (*OWN, *all_gauges())


def catalog_rows() -> str:
    """Return the rows of ``docs/metrics.md``."""
    rows = sorted(all_told(), key=lambda each: each.name)
    labels = (", ".join(f"`{label}`" for label in each.labels) for each in rows)
    return "\n".join(f"| `{each.name}` | {by} | {each.help} |" for each, by in zip(rows, labels, strict=True))
