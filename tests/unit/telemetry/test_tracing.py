"""Traces: nothing without `start`, and with it spans that log lines can be found by."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from together_operator import tracing


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Where spans of the test end up."""
    exporter = InMemorySpanExporter()
    tracing.start("1.2.3", exporter)
    yield exporter
    tracing.stop()


def test_without_a_start_there_are_no_spans_and_no_trace_in_logs() -> None:
    with tracing.span("reconcile", object="a/b"):
        assert "trace" not in structlog.contextvars.get_contextvars()


def test_spans_are_nested_and_carry_their_attributes(spans: InMemorySpanExporter) -> None:
    with tracing.span("reconcile", object="a/b"), tracing.span("CreateModel"):
        pass
    inner, outer = spans.get_finished_spans()
    assert (outer.name, inner.name) == ("reconcile", "CreateModel")
    assert dict(outer.attributes or {}) == {"object": "a/b"}
    assert inner.parent is not None
    assert outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert outer.resource.attributes["service.version"] == "1.2.3"


def test_log_lines_carry_the_trace(spans: InMemorySpanExporter) -> None:
    with tracing.span("reconcile"):
        seen = structlog.contextvars.get_contextvars()["trace"]
    [span] = spans.get_finished_spans()
    assert span.context is not None
    assert seen == f"{span.context.trace_id:032x}"
    assert "trace" not in structlog.contextvars.get_contextvars()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(tracing.TracingUnavailableError, match=r"together-operator\[tracing\]"):
        tracing.start("1.2.3")
