"""OpenTelemetry's SDK as used here: spans wait in a bounded queue and a thread posts them as OTLP over HTTP.

Imported only where tracing is on. Whatever becomes of the collector, requests are not held up and memory is bounded:
at most ``MAX_QUEUED`` spans wait, the oldest are dropped first, and an outage is one line in the log.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

log = logging.getLogger("omniroute.tracing")

MAX_QUEUED = 4096
BATCH = 512
EVERY_MS = 1000.0
# Seconds for one post, its retries among them.
TIMEOUT = 5.0


class _Watched(SpanExporter):
    """Tells once that the collector is away, and once that it is back."""

    def __init__(self, make: Callable[[], SpanExporter], endpoint: str) -> None:
        self._inner = make()
        self._endpoint = endpoint.split("?")[0]
        self._away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        if (result is not SpanExportResult.SUCCESS) != self._away:
            self._away = not self._away
            fields = {"endpoint": self._endpoint}
            if self._away:
                log.warning("the trace collector does not take spans; they are dropped", extra={"fields": fields})
            else:
                log.info("the trace collector takes spans again", extra={"fields": fields})
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def open_pipeline(endpoint: str, make: Callable[[], SpanExporter] | None = None) -> SpanProcessor:
    """The queue and its thread. Headers and certificates are OpenTelemetry's own ``OTEL_EXPORTER_OTLP_*``."""
    # What the SDK would say at every batch and every dropped span, ``_Watched`` says once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
    return BatchSpanProcessor(
        _Watched(make or (lambda: _over_http(endpoint)), endpoint),
        max_queue_size=MAX_QUEUED,
        schedule_delay_millis=EVERY_MS,
        max_export_batch_size=BATCH,
    )


def _over_http(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT)


def provider(resource: Mapping[str, str], pipeline: SpanProcessor) -> TracerProvider:
    """Every span that is begun is wanted: the decision was made before (``Tracer.decide``)."""
    made = TracerProvider(resource=Resource.create(dict(resource)), sampler=ALWAYS_ON, shutdown_on_exit=False)
    made.add_span_processor(pipeline)
    return made
