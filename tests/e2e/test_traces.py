"""A request is one trace, over however many processes it went, and none where nobody wants one."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from omni_simulator import Simulator

from tests.e2e.conftest import ADMIN, CONFIG, KEY
from tests.support.fleet import eventually
from tests.support.otlp import SeenSpan, collector
from tests.support.servers import free_port
from tests.support.stack import Stack, running, simulator

CLIENTS_TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENTS_SPAN = "b7ad6b7169203331"
PROMPT = "the quick brown fox of a secret prompt"
ENV = {"ACME_KEY": "provider-secret-acme", "OMNIROUTE_KEY": KEY, "ADMIN_KEY": ADMIN}


@contextmanager
def gateway(shape: str, home: Path, env: dict[str, str]) -> Iterator[tuple[Stack, Simulator]]:
    with simulator() as provider, running(shape, home, CONFIG.format(base=provider.url), ENV | env) as stack:
        yield stack, provider


def ask(stack: Stack, model: str, traceparent: str = "", **fields: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}"} | ({"traceparent": traceparent} if traceparent else {})
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 40} | fields
    return httpx.post(f"{stack.openai}/chat/completions", json=body, headers=headers, timeout=20)


def named(spans: list[SeenSpan], start: str) -> list[SeenSpan]:
    return [span for span in spans if span.name.startswith(start)]


def one(spans: list[SeenSpan], start: str) -> SeenSpan:
    (found,) = named(spans, start)
    return found


WHOLE = ("POST ", "authenticate", "route ", "ledger admit", "credential", "translate request", "chat ",
         "translate answer", "ledger settle", "send ", "process ")  # fmt: skip


def whole(spans: list[SeenSpan]) -> bool:
    """Whether every process has sent its part of a first request."""
    return all(named(spans, start) for start in WHOLE)


@pytest.mark.parametrize("shape", ["separate", "all"])
def test_a_request_is_one_connected_trace_from_the_clients_span_to_the_stored_event(shape: str, tmp_path: Path) -> None:
    with collector() as seen, gateway(shape, tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": seen.url}) as (stack, provider):
        streamed = ask(stack, "claude/claude-x", f"00-{CLIENTS_TRACE}-{CLIENTS_SPAN}-01", stream=True)
        assert streamed.status_code == 200
        assert streamed.text.rstrip().endswith("[DONE]")
        seen.wait(whole)
        spans = seen.trace(CLIENTS_TRACE)
        sent_on = provider.recent[-1].header("traceparent")

        edge = one(spans, "POST /v1/chat/completions")
        assert (edge.service, edge.kind, edge.parent_id) == ("omniroute-edge", "SERVER", CLIENTS_SPAN)
        assert edge.attributes["http.response.status_code"] == 200
        assert edge.attributes["omniroute.request.id"] == streamed.headers["x-request-id"]
        route = one(spans, "route claude/claude-x")
        assert (route.service, route.parent_id) == ("omniroute-router", edge.span_id)
        assert route.kind == ("SERVER" if shape == "separate" else "INTERNAL")
        for name in ("ledger admit", "ledger settle"):
            assert one(spans, name).parent_id == route.span_id
        chat = one(spans, "chat claude-x")
        assert (chat.kind, chat.parent_id) == ("CLIENT", route.span_id)
        assert sent_on == f"00-{CLIENTS_TRACE}-{chat.span_id}-01"
        for name in ("translate request", "translate answer"):
            span = one(spans, name)
            assert (span.service, span.parent_id) == ("omniroute-translator", chat.span_id)
        assert {span.parent_id for span in named(spans, "authenticate")} == {edge.span_id}
        assert {span.parent_id for span in named(spans, "credential")} == {chat.span_id}
        stored = one(spans, "process OMNIROUTE_USAGE")
        assert (stored.service, stored.kind, stored.parent_id) == ("omniroute-analytics", "CONSUMER", route.span_id)

        batch = next(span for span in seen.spans if span.name == "send OMNIROUTE_USAGE")
        assert (batch.service, batch.kind) == ("omniroute-router", "PRODUCER")
        assert (CLIENTS_TRACE, route.span_id) in batch.links
        assert stored.links == ((batch.trace_id, batch.span_id),)
        by_id = {span.span_id for span in spans} | {CLIENTS_SPAN}
        assert all(span.parent_id in by_id for span in spans)
        assert not any(span.failed for span in seen.spans)

        said = chat.attributes
        assert said["gen_ai.operation.name"] == "chat"
        assert said["gen_ai.provider.name"] == "anthropic"
        assert said["gen_ai.request.model"] == "claude-x"
        assert said["gen_ai.request.stream"] is True
        assert said["gen_ai.request.max_tokens"] == 40
        assert said["gen_ai.usage.input_tokens"] > 0
        assert said["gen_ai.usage.output_tokens"] > 0
        assert said["gen_ai.response.finish_reasons"] == ["stop"]
        assert said["gen_ai.response.time_to_first_chunk"] > 0

        # A passed-through answer names its model; a failed attempt is told as one, the next is another span.
        passed_through = ask(stack, "acme/gpt-x")
        fell_back = ask(stack, "falls-back")
        assert (passed_through.status_code, fell_back.status_code) == (200, 200)
        spans = seen.wait(
            lambda spans: all(len(named(spans, start)) >= 3 for start in ("POST ", "route ", "process "))
        )  # fmt: skip
        passed = next(span for span in named(spans, "chat gpt-x") if "+" not in span.name)
        assert passed.attributes["gen_ai.response.model"] == json.loads(passed_through.content)["model"].removeprefix(
            "acme/"
        )
        assert passed.attributes["gen_ai.response.finish_reasons"] == ["stop"]
        broken = one(spans, "chat gpt-x+status:503")
        assert (broken.failed, broken.attributes["error.type"]) == (True, "upstream_failed")
        assert broken.attributes["http.response.status_code"] == 503
        after = next(span for span in named(spans, "chat claude-x") if span.trace_id == broken.trace_id)
        assert after.parent_id == broken.parent_id
        assert not after.failed
        refused = ask(stack, "nobody/knows-this")
        spans = seen.wait(lambda spans: bool(named(spans, "route nobody/knows-this")))
        assert refused.status_code == 404
        assert one(spans, "route nobody/knows-this").attributes["error.type"] == "model_not_found"

    everything = b"".join(seen.raw)
    for secret in (PROMPT, KEY, ADMIN, "provider-secret-acme"):
        assert secret.encode() not in everything
    for text in re.findall(r'"content": ?"([^"]{8,})"', passed_through.text):
        assert text.encode() not in everything
    assert {span.service for span in seen.spans} == {
        f"omniroute-{name}" for name in ("edge", "router", "translator", "auth", "analytics")
    }


def test_what_is_not_sampled_leaves_nothing_and_tells_the_provider_so(tmp_path: Path) -> None:
    env = {"OMNIROUTE_TRACE_RATIO": "0"}
    with collector() as seen:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = seen.url
        with gateway("all", tmp_path, env) as (stack, provider):
            assert ask(stack, "claude/claude-x", f"00-{CLIENTS_TRACE}-{CLIENTS_SPAN}-01").status_code == 200
            assert provider.recent[-1].header("traceparent") == f"00-{CLIENTS_TRACE}-{CLIENTS_SPAN}-00"
            assert ask(stack, "acme/gpt-x").status_code == 200
            assert provider.recent[-1].header("traceparent") is None
        # The process has ended, and with it has sent what it had.
        assert seen.posts == 0


def test_a_collector_that_is_away_costs_one_line_and_no_request(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with gateway("all", tmp_path, {"OTEL_EXPORTER_OTLP_ENDPOINT": nobody}) as (stack, _):
        for _ in range(30):
            assert ask(stack, "acme/gpt-x").status_code == 200
        eventually(lambda: "the trace collector does not take spans" in stack.log(), 30)
    log = stack.log()
    assert log.count("the trace collector does not take spans") == 1
    assert "Traceback" not in log
    assert "opentelemetry" not in log
