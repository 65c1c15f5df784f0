"""Who decides that there is a trace, what travels, and what it costs those who are not traced."""

import asyncio
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import omni_core
import pytest
from omni_core import genai, tracing
from omni_core.tracing import Kind, TraceSettings, Tracing, sampled, unsampled, well_formed
from omni_wire.errors import UpstreamFailed
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ENDPOINT = "http://127.0.0.1:4318/v1/traces"


def parent(flags: str = "01") -> str:
    return f"00-{TRACE}-{SPAN}-{flags}"


def made(exporter: SpanExporter | None = None, *, target: str = "router", **settings: Any) -> Tracing:
    return Tracing(
        TraceSettings(endpoint=ENDPOINT, **settings),
        target=target,
        instance_id="i1",
        version="1",
        exporter=lambda: exporter or InMemorySpanExporter(),
    )


@pytest.mark.parametrize(
    ("env", "endpoint"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "  "}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/base/"}, "http://c:4318/base/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://c/t"}, "https://c/t"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
    ],
)
def test_tracing_is_on_where_opentelemetrys_own_variables_say_so(env: dict[str, str], endpoint: str | None) -> None:
    found = TraceSettings.from_env(env)
    assert (found.endpoint if found else None) == endpoint


@pytest.mark.parametrize("ratio", ["2", "-0.1", "half", "nan"])
def test_a_ratio_that_is_none_is_refused_by_name(ratio: str) -> None:
    with pytest.raises(ValueError, match="OMNIROUTE_TRACE_RATIO"):
        TraceSettings.from_env({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OMNIROUTE_TRACE_RATIO": ratio})


def test_a_client_may_decline_a_trace_and_not_force_one() -> None:
    none, some, every = (made(ratio=ratio).tracer("edge") for ratio in (0.0, 0.25, 1.0))
    assert not any(none.decide(parent()) for _ in range(100))
    assert not any(none.decide("") for _ in range(100))
    assert all(every.decide("") for _ in range(100))
    assert not any(every.decide(parent("00")) for _ in range(100))
    assert 100 < sum(some.decide(parent()) for _ in range(1000)) < 450


def test_a_client_that_is_trusted_decides() -> None:
    tracer = made(ratio=0.0, trust_client=True).tracer("edge")
    assert tracer.decide(parent("01"))
    assert tracer.decide(parent("03"))
    assert not tracer.decide(parent("00"))
    assert not tracer.decide("")


def test_what_is_no_trace_context_is_not_taken_for_one() -> None:
    assert well_formed(parent())
    for wrong in ("", "x", parent()[:-1], parent() + "0", f"ff{parent()[2:]}", f"00-{'0' * 32}-{SPAN}-01",
                  f"00-{TRACE}-{'0' * 16}-01", parent().upper(), f"00-{TRACE[:-1]}--{SPAN}-01"):  # fmt: skip
        assert not well_formed(wrong), wrong
    tracer = made().tracer("router")
    assert not tracer.begin("x", Kind.SERVER, f"00-{'-' * 32}-{SPAN}-01").traceparent.startswith(f"00-{'-' * 32}")


def test_only_our_own_flag_is_a_sampled_request() -> None:
    assert sampled(parent())
    assert not sampled(parent("00"))
    assert not sampled("")
    assert unsampled(parent()) == parent("00")
    assert unsampled("") == ""
    assert tracing.trace_id(parent()) == TRACE
    assert tracing.trace_id("") == ""


async def test_spans_name_their_parents_and_their_service_and_errors_only_by_kind() -> None:
    exporter = InMemorySpanExporter()
    both = made(exporter)
    router, translator = both.tracer("router"), both.tracer("translator")
    outer = router.begin("route", router.entry, parent())
    inner = translator.begin("translate request", translator.entry, outer.traceparent)
    with pytest.raises(UpstreamFailed), router.begin("chat m", Kind.CLIENT, outer.traceparent):
        raise UpstreamFailed("it said: the prompt itself")
    inner.end()
    outer.end()
    outer.end()
    await both.stop()
    chat, translate, route = exporter.get_finished_spans()
    assert (route.parent.span_id, route.context.trace_id) == (int(SPAN, 16), int(TRACE, 16))  # type: ignore[union-attr]
    assert translate.parent.span_id == route.context.span_id  # type: ignore[union-attr]
    assert (route.kind.name, translate.kind.name) == ("SERVER", "INTERNAL")
    assert [span.resource.attributes["service.name"] for span in (route, translate)] == [
        "omniroute-router", "omniroute-translator",
    ]  # fmt: skip
    assert dict(chat.attributes or {}) == {"error.type": "upstream_failed"}
    assert "prompt" not in chat.to_json()


class _Away(SpanExporter):
    def __init__(self) -> None:
        self.asked = 0

    def export(self, spans: Any) -> SpanExportResult:
        self.asked += 1
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        return


async def test_a_collector_that_is_away_is_told_once_and_memory_stays_bounded(caplog: pytest.LogCaptureFixture) -> None:
    from omni_core.otlp import MAX_QUEUED

    exporter = _Away()
    on = made(exporter)
    tracer = on.tracer("router")
    for _ in range(3 * MAX_QUEUED):
        tracer.begin("route", Kind.SERVER).end()
    queue = on._pipeline._batch_processor._queue  # type: ignore[attr-defined]  # what the SDK holds
    assert len(queue) <= MAX_QUEUED
    async with asyncio.timeout(10):
        await on.stop()
    assert exporter.asked > 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "the trace collector does not take spans; they are dropped"
    ]


async def test_a_collector_that_hangs_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "STOP_WITHIN", 0.2)
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Hangs(_Away):
        def export(self, spans: Any) -> SpanExportResult:
            asyncio.run_coroutine_threadsafe(held.wait(), loop).result(20)
            return SpanExportResult.SUCCESS

    on = made(Hangs())
    on.tracer("router").begin("route", Kind.SERVER).end()
    async with asyncio.timeout(5):
        await on.stop()
    held.set()


def test_what_makes_and_sends_spans_is_loaded_only_where_something_is_traced() -> None:
    code = (
        "import sys, omni_core.runtime, omni_router.build, omni_edge.build, omni_translator.build, omni_auth.build, "
        "omni_analytics.build, omni_quota.build; print([name for name in sys.modules if name.startswith("
        "('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'requests', 'omni_core.otlp'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_names_of_generative_ai_are_the_conventions_own_and_stand_in_one_module() -> None:
    known = vars(import_module("opentelemetry.semconv._incubating.attributes.gen_ai_attributes"))
    published = {value for name, value in known.items() if name.startswith("GEN_AI_") and isinstance(value, str)}
    ours = {value for value in vars(genai).values() if isinstance(value, str) and value.startswith("gen_ai.")}
    assert len(ours) > 10
    assert ours <= published
    assert f"V{genai.VERSION.replace('.', '_')}" in vars(import_module("opentelemetry.semconv.schemas").Schemas)
    root = Path(omni_core.__file__).parents[3]
    spelled = [
        path.relative_to(root)
        for folder in ("libs", "services", "dashboard")
        for path in (root / folder).rglob("*.py")
        if re.search(r"gen_ai\.[a-z]", path.read_text()) and path.name != "genai.py"
    ]
    assert spelled == []


def test_providers_go_by_the_conventions_names_where_it_has_one() -> None:
    assert [genai.provider_name(name) for name in ("openai", "claude", "Gemini", "acme")] == [
        "openai", "anthropic", "gcp.gemini", "acme",
    ]  # fmt: skip
