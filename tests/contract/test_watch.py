"""What one request in sixteen tells of its stages, and that one which is not traced meets no tracer."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
from omni_core.ports.context import CallContext
from omni_core.tracing import Span, Tracer, TraceSettings, Tracing
from omni_edge.server.traced import TracedApp
from omni_router.service.watch import EVERY
from omni_translator.adapters.tracing import TracedTranslator
from omni_wire.errors import GatewayError
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from tests.support.edge import BEARER, running_edge, serving
from tests.support.router import Harness, harness, translator

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CHAT = "/v1/chat/completions"


class Untouched(Tracer):
    """One that must not be asked for a span."""

    def begin(self, *_: Any, **__: Any) -> Span:
        raise AssertionError("a span was begun for a request that is not traced")


def tracer(ratio: float, kind: type[Tracer] = Tracer) -> tuple[Tracer, InMemorySpanExporter, Tracing]:
    exporter = InMemorySpanExporter()
    settings = TraceSettings(endpoint="http://127.0.0.1:1/v1/traces", ratio=ratio)
    on = Tracing(settings, target="router", instance_id="i", version="1", exporter=lambda: exporter)
    made = on.tracer("router")
    made.__class__ = kind
    return made, exporter, on


def trace(gw: Harness, by: Tracer) -> None:
    gw.service._tools = msgspec.structs.replace(gw.service._tools, tracer=by)


@pytest.fixture
async def gw(clean_redis: str) -> AsyncIterator[Harness]:
    untouched, _, _ = tracer(1.0, Untouched)
    async with harness(clean_redis, TracedTranslator(translator(), untouched)) as made:
        yield made


async def asked(gw: Harness, model: str, traceparent: str, **fields: Any) -> None:
    call = msgspec.structs.replace(gw.call(model, **fields), context=CallContext("r-1", traceparent))
    try:
        async for _ in gw.service.complete(call):
            pass
    except GatewayError:
        return


@pytest.mark.parametrize("traceparent", ["", f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-02"])
async def test_a_request_that_is_not_sampled_meets_no_tracer(gw: Harness, traceparent: str) -> None:
    trace(gw, tracer(1.0, Untouched)[0])
    for _ in range(EVERY):
        await asked(gw, "acme/sim", traceparent)
        await asked(gw, "claude/sim", traceparent, stream=True)
    await asked(gw, "acme/sim+status:503", traceparent)
    _, requests = await gw.events()
    assert {request.traceparent for request in requests} == {""}
    assert gw.simulator.recent[-1].header("traceparent") == (traceparent or None)


async def test_a_sampled_request_tells_its_events_and_provider_where_to_go_on(gw: Harness) -> None:
    made, exporter, on = tracer(1.0)
    trace(gw, made)
    await asked(gw, "acme/sim", f"00-{TRACE}-{SPAN}-01", stream=True)
    _, requests = await gw.events()
    await on.stop()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"route acme/sim", "ledger admit", "chat sim", "ledger settle"}
    route, chat = spans["route acme/sim"].context, spans["chat sim"].context
    assert requests[-1].traceparent == f"00-{TRACE}-{route.span_id:016x}-01"
    assert gw.simulator.recent[-1].header("traceparent") == f"00-{TRACE}-{chat.span_id:016x}-01"


async def test_a_client_that_leaves_ends_the_spans(gw: Harness) -> None:
    made, exporter, on = tracer(1.0)
    trace(gw, made)
    call = msgspec.structs.replace(
        gw.call("acme/sim+tokens:200+tps:50", stream=True), context=CallContext("r-1", f"00-{TRACE}-{SPAN}-01")
    )
    answer = gw.service.complete(call)
    await anext(answer)
    await answer.aclose()
    assert await gw.ledger.flush(5.0)
    await on.stop()
    ended = {span.name.split()[0]: dict(span.attributes or {}) for span in exporter.get_finished_spans()}
    assert ended["route"]["error.type"] == ended["chat"]["error.type"] == "client_gone"


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ("", ""),
        (f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{'0' * 32}-{SPAN}-01", ""),
    ],
)
async def test_an_edge_that_does_not_sample_makes_nothing_and_says_so(given: str, passed_on: str) -> None:
    made, _, _ = tracer(0.0, Untouched)
    async with (
        running_edge() as edge,
        serving(TracedApp(edge.app, made)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=BEARER, trust_env=False) as client,
    ):
        answer = await client.post(CHAT, json={}, headers={"traceparent": given} if given else {})
        assert answer.status_code == 200
        assert edge.router.calls[0].context.traceparent == passed_on


async def test_what_the_edge_refuses_is_traced_and_what_it_does_not_complete_is_not() -> None:
    made, exporter, on = tracer(1.0)
    async with (
        running_edge() as edge,
        serving(TracedApp(edge.app, made)) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert (await client.post(CHAT, json={})).status_code == 401
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/v1/models", headers=BEARER)).status_code == 200
    await on.stop()
    (span,) = exporter.get_finished_spans()
    assert (span.attributes or {})["http.response.status_code"] == 401
    assert "error.type" not in (span.attributes or {}), "a refusal is no failure of ours"


# ---- stages ---------------------------------------------------------------------------------------------------------


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(f"omniroute_router_{name}", labels) or 0.0


async def test_one_request_in_sixteen_is_measured_by_stage(gw: Harness) -> None:
    registry = gw.registry
    before = value(registry, "own_seconds_count")
    for _ in range(2 * EVERY):
        await asked(gw, "claude/sim+latency:20", "")
    assert value(registry, "own_seconds_count") - before == 2
    for stage in ("plan", "admit", "encode", "provider"):
        assert value(registry, "stage_seconds_count", stage=stage) == 2
    assert value(registry, "stage_seconds_sum", stage="provider") >= 2 * 0.02
    parts = sum(value(registry, "stage_seconds_sum", stage=stage) for stage in ("plan", "admit", "encode"))
    assert 0 < parts <= value(registry, "own_seconds_sum") < 2 * 0.4
    total = value(registry, "first_byte_seconds_sum", provider="claude", stream="false")
    assert value(registry, "own_seconds_sum") < total


async def test_a_refused_and_a_failed_request_have_stages_too(gw: Harness) -> None:
    for _ in range(EVERY - 1):
        await asked(gw, "acme/sim", "")
    await asked(gw, "acme/sim+status:500", "")
    assert value(gw.registry, "stage_seconds_count", stage="provider") == 1
    assert value(gw.registry, "own_seconds_count") == 0, "there was no head"
