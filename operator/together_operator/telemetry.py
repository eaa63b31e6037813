"""Logs (structlog) and metrics (prometheus-client), documented in docs/reference/metrics.md."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from together_operator.engine.store import Key

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def configure_logging(log_format: Literal["console", "json"] | None) -> None:
    """One line an event on stderr; other libraries' records take the same way."""
    console = log_format == "console" or (log_format is None and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        # Its own tracebacks show local variables, and with them keys and signed URLs.
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer()
    )
    exceptions: structlog.typing.Processor = (
        structlog.processors.format_exc_info
        if not console
        else structlog.processors.UnicodeDecoder()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                exceptions,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    # Each of these logs every request, some of them with URLs.
    for noisy in (
        "httpx",
        "httpx2",
        "httpcore",
        "botocore",
        "urllib3",
        "aiohttp.access",
        "kubernetes",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # What kopf does is our own log's business, as long as nothing is wrong.
    logging.getLogger("kopf").setLevel(logging.WARNING)


class Metrics:
    """Every metric of the operator, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "together_operator_reconciles",
            "Reconciles by kind and outcome.",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "together_operator_reconcile_seconds",
            "Duration of a reconcile.",
            ("kind",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "together_operator_queue_seconds",
            "How long a key waited for a worker.",
            ("kind",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "together_operator_queue_depth",
            "Keys that wait for a worker.",
            ("kind",),
            registry=self.registry,
        )
        self.objects = Gauge(
            "together_operator_objects",
            "Objects that are known.",
            ("kind",),
            registry=self.registry,
        )
        self.watch_events = Counter(
            "together_operator_watch_events",
            "Events that the watch delivered.",
            ("kind",),
            registry=self.registry,
        )
        self.last_watch_event = Gauge(
            "together_operator_last_watch_event_timestamp_seconds",
            "When the watch last delivered an event.",
            ("kind",),
            registry=self.registry,
        )
        self.watch_missed = Counter(
            "together_operator_watch_missed",
            "Changes that the watch never told of, and a comparison found.",
            ("kind",),
            registry=self.registry,
        )
        self.leader = Gauge(
            "together_operator_leader",
            "1 while this process holds the Lease.",
            registry=self.registry,
        )
        self.api_calls = Counter(
            "together_operator_api_calls",
            "Calls to Together by method, resource and status code.",
            ("method", "resource", "code"),
            registry=self.registry,
        )
        self.orphans = Gauge(
            "together_operator_orphans",
            "What is at Together in this cluster's name and no object asks for, by what it is.",
            ("what",),
            registry=self.registry,
        )
        self.last_comparison = Gauge(
            "together_operator_last_comparison_timestamp_seconds",
            "When what is at Together was last compared with what objects ask for.",
            registry=self.registry,
        )
        self.hourly_cost = Gauge(
            "together_operator_hourly_cost_dollars",
            "What Together bills for a ModelDeployment in an hour, by list price.",
            ("namespace", "name"),
            registry=self.registry,
        )
        self.cost = Counter(
            "together_operator_cost_dollars",
            "What a ModelDeployment has cost since the operator started, by list price.",
            ("namespace", "name"),
            registry=self.registry,
        )
        self._billed: set[tuple[str, str]] = set()
        self._reconciled: dict[tuple[str, str], tuple[Counter, Histogram, Histogram]] = {}

    def compared(self, left: dict[str, int]) -> None:
        """What is at Together was compared with what objects ask for; orphans by kind."""
        for what, number in left.items():
            self.orphans.labels(what).set(number)
        self.last_comparison.set_to_current_time()

    def missed(self, kind: str, number: int) -> None:
        """A comparison of what is known with what there is found so many differences."""
        self.watch_missed.labels(kind).inc(number)

    def spent(self, bills: Mapping[Key, tuple[float, float]]) -> None:
        """Rate in cents an hour, and cents since the last time, of each object that there is."""
        for key, (rate, cents) in bills.items():
            self.hourly_cost.labels(*key).set(rate / 100)
            self.cost.labels(*key).inc(cents / 100)
        present = {(key.namespace, key.name) for key in bills}
        for gone in self._billed - present:
            self.hourly_cost.remove(*gone)
            self.cost.remove(*gone)
        self._billed = present

    def api_call(self, method: str, resource: str, code: str) -> None:
        """One call to Together was answered, or failed with the error named by `code`."""
        self.api_calls.labels(method, resource, code).inc()

    def glanced(self, kind: str, number: int) -> None:
        """So many objects were seen to have settled, without a reconcile."""
        self.reconciles.labels(kind, "settled").inc(number)

    def reconciled(self, kind: str, outcome: str, seconds: float, waited: float) -> None:
        """One reconcile ended after `seconds`, having waited `waited` seconds for a worker."""
        children = self._reconciled.get((kind, outcome))
        if children is None:  # to find them by their labels takes longer than all the rest
            children = self._reconciled[kind, outcome] = (
                self.reconciles.labels(kind, outcome),
                self.reconcile_seconds.labels(kind),
                self.queue_seconds.labels(kind),
            )
        number, took, queued = children
        number.inc()
        took.observe(seconds)
        queued.observe(waited)
