"""OpenTelemetry traces, if they are wanted: `span` costs nothing until `start` was called.

The library is an extra (`together-operator[tracing]`) and is imported only when tracing is on.
Where traces go is said by OpenTelemetry's own variables, such as OTEL_EXPORTER_OTLP_ENDPOINT.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

SERVICE = "together-operator"


class TracingUnavailableError(Exception):
    """Tracing is on, and its library is not installed; the message says what to do."""


class _State:
    tracer: Tracer | None = None


@contextlib.contextmanager
def span(name: str, **attributes: str | int) -> Iterator[None]:
    """A span around what is inside; its trace's id is in every log line inside, too.

    Args:
        attributes: never a secret, a signed URL or a body.
    """
    if _State.tracer is None:
        yield
        return
    with _State.tracer.start_as_current_span(name, attributes=attributes) as current:
        trace = f"{current.get_span_context().trace_id:032x}"
        with structlog.contextvars.bound_contextvars(trace=trace):
            yield


def start(version: str, exporter: SpanExporter | None = None) -> None:
    """Begin to trace.

    Args:
        exporter: where spans go; by default OTLP over HTTP, in batches.

    Raises:
        TracingUnavailableError: the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    except ImportError:
        raise TracingUnavailableError(
            "tracing needs more libraries: pip install 'together-operator[tracing]'"
        ) from None
    provider = TracerProvider(
        resource=Resource.create({"service.name": SERVICE, "service.version": version})
    )
    processor = (
        SimpleSpanProcessor(exporter)
        if exporter is not None
        else BatchSpanProcessor(OTLPSpanExporter())
    )
    provider.add_span_processor(processor)
    _State.tracer = provider.get_tracer(SERVICE, version)


def stop() -> None:
    """End tracing, for tests."""
    _State.tracer = None
