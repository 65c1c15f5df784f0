"""Traces: who decides that there is one, how that travels, and what a span is here.

Theory of operation. The edge decides for each request, before anything is made for it, whether it is traced
(``Tracer.decide``). The decision travels as W3C trace context in what every call, provider request and usage event
carries anyway, ``traceparent``: it ends in "-01" exactly where spans are wanted (``sampled``), and nobody else decides.
A process without ``OTEL_EXPORTER_OTLP_ENDPOINT`` has no tracer at all and loads nothing of OpenTelemetry; it passes
trace context on as it came.

Spans are begun and ended by hand, and their parents named, because the context is in the messages already: a context
variable would cost every request something. No prompt, answer, credential or provider's message is ever put into one.
"""

import asyncio
import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec
from omni_wire.errors import GatewayError

from omni_core import genai

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span as SdkSpan

Value = str | bool | int | float | Sequence[str]

# Links of one span; OpenTelemetry's own bound.
MAX_LINKS = 128
# A name of a client's choosing (a model id) is clipped to this in a span's name.
MAX_NAME = 200
STOP_WITHIN = 3.0

# W3C trace context, level 2: version, trace id, parent id, flags (w3.org/TR/trace-context-2/#traceparent-header).
_WELL_FORMED = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Kind(Enum):
    """As OpenTelemetry has them, by the names of its own enumeration."""

    SERVER = "SERVER"
    INTERNAL = "INTERNAL"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class TraceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where spans go (the whole URL) and how many requests are traced.

    ``ratio`` of them, by chance, from 0 to 1. A client that says "not sampled" is not traced; one that says "sampled"
    is traced at that ratio like any other, unless ``trust_client``, when its word is enough.
    """

    endpoint: str
    ratio: float = 1.0
    trust_client: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "TraceSettings | None":
        """OpenTelemetry's own ``OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT``, ``OTEL_SDK_DISABLED`` and
        ``OTEL_TRACES_EXPORTER=none``, and our ``OMNIROUTE_TRACE_RATIO`` and ``OMNIROUTE_TRACE_TRUST_CLIENT``.

        None when nothing is to be traced. Raises ``ValueError`` naming the variable that is wrong.
        """
        off = env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or env.get("OTEL_TRACES_EXPORTER") == "none"
        base = env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
        endpoint = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip() or (
            base and base.rstrip("/") + "/v1/traces"
        )
        if off or not endpoint:
            return None
        text = env.get("OMNIROUTE_TRACE_RATIO", "").strip() or "1"
        try:
            ratio = float(text)
        except ValueError:
            ratio = -1.0
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"OMNIROUTE_TRACE_RATIO is '{text}': give a number from 0 to 1")
        trust = env.get("OMNIROUTE_TRACE_TRUST_CLIENT", "").strip().lower() in ("1", "true", "yes", "on")
        return cls(endpoint=endpoint, ratio=ratio, trust_client=trust)


def sampled(traceparent: str) -> bool:
    """Whether the request that carries this is traced. The edge writes the flags as "01" or "00" and nothing else."""
    return traceparent.endswith("-01")


def unsampled(traceparent: str) -> str:
    """The same trace context with its sampled flag taken away; "" stays ""."""
    return traceparent and traceparent[:-2] + "00"


def well_formed(traceparent: str) -> bool:
    return _WELL_FORMED.fullmatch(traceparent) is not None


def trace_id(traceparent: str) -> str:
    """For log lines; "" where there is no trace context."""
    return traceparent[3:35] if len(traceparent) >= 55 else ""


class Span:
    """One span that is being recorded; ``traceparent`` names it to its children. ``end`` it, whatever happens."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: "SdkSpan") -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def name(self, name: str) -> None:
        self._span.update_name(name[:MAX_NAME])

    def set(self, name: str, value: Value) -> None:
        self._span.set_attribute(name, value)

    def fail(self, kind: str) -> None:
        """``kind`` is of the error tree, or a status; never a message, which may quote a prompt."""
        from opentelemetry.trace import Status, StatusCode

        self._span.set_attribute(genai.ERROR_TYPE, kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """Again is without effect."""
        if self._span.is_recording():
            self._span.end()

    def __enter__(self) -> "Span":
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            self.fail(error_kind(error))
        self.end()


def error_kind(error: BaseException) -> str:
    return error.kind if isinstance(error, GatewayError) else type(error).__name__


class Tracer:
    """Makes the spans of one service. ``entry`` is the kind of its spans that answer a call."""

    def __init__(self, provider: "TracerProvider", settings: TraceSettings, entry: Kind) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context

        self._tracer = provider.get_tracer("omniroute", schema_url=genai.SCHEMA_URL)
        self._ratio = settings.ratio
        self._trust = settings.trust_client
        self._api = trace
        self._nowhere = Context()
        self._kinds = {kind: trace.SpanKind[kind.value] for kind in Kind}
        self.entry = entry

    def decide(self, given: str) -> bool:
        """Whether to trace a request that came with the trace context ``given`` ("" for none; ``well_formed``)."""
        if given:
            if not int(given[-1], 16) & 1:
                return False
            if self._trust:
                return True
        return random.random() < self._ratio

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: str = "",
        attributes: Mapping[str, Value] | None = None,
        *,
        links: Sequence[str] = (),
        start_ns: int | None = None,
    ) -> Span:
        """A span that has started, now or at ``start_ns`` (since the epoch). ``parent`` and ``links`` are trace
        contexts; without a parent it begins a trace of its own."""
        context = self._nowhere
        if well_formed(parent):  # an edge that does not trace passes on what clients send
            context = self._api.set_span_in_context(self._api.NonRecordingSpan(self._remote(parent)), context)
        made = self._tracer.start_span(
            name[:MAX_NAME],
            context,
            self._kinds[kind],
            attributes,
            [self._api.Link(self._remote(link)) for link in links[:MAX_LINKS]],
            start_ns,
        )
        return Span(made)

    def _remote(self, traceparent: str) -> Any:
        return self._api.SpanContext(
            int(traceparent[3:35], 16), int(traceparent[36:52], 16), True, self._api.TraceFlags(1)
        )


class Tracing:
    """The way out of this process for all its services' spans.

    ``target`` is what the process runs: a service that is all of it is called from outside. ``exporter`` is for tests.
    """

    def __init__(
        self,
        settings: TraceSettings,
        *,
        target: str,
        instance_id: str,
        version: str,
        exporter: "Callable[[], SpanExporter] | None" = None,
    ) -> None:
        from omni_core.otlp import open_pipeline

        self._settings = settings
        self._target = target
        self._common = {
            "service.namespace": "omniroute",
            "service.instance.id": instance_id,
            "service.version": version,
        }
        self._pipeline = open_pipeline(settings.endpoint, exporter)
        self._tracers: dict[str, Tracer] = {}

    def tracer(self, service: str) -> Tracer:
        """The service's own: spans name it whether it runs alone or in one process with others."""
        if service not in self._tracers:
            from omni_core.otlp import provider

            made = provider({**self._common, "service.name": f"omniroute-{service}"}, self._pipeline)
            entry = Kind.SERVER if service in (self._target, "edge") else Kind.INTERNAL
            self._tracers[service] = Tracer(made, self._settings, entry)
        return self._tracers[service]

    async def stop(self) -> None:
        """Send what is left, for at most three seconds: a collector that is away must not keep a process."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut() -> None:
            self._pipeline.shutdown()
            try:
                loop.call_soon_threadsafe(done.set)
            except RuntimeError:  # nobody waits any more
                return

        threading.Thread(target=shut, name="tracing-stop", daemon=True).start()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await done.wait()
        except TimeoutError:
            return


now_ns = time.time_ns
