"""Where a request's time until the first byte went: told to the client in Server-Timing, and to the usage event."""

import re
from collections.abc import AsyncGenerator

import httpx
import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_core.ports.router import STAGES, CompleteCall, Frame
from omni_wire.errors import UpstreamError

from tests.support.edge import BEARER, STREAM, WHOLE, chunk, completion, running_edge
from tests.support.router import Harness, provider

SLOW = "sim+latency:120"


async def stages_of(gw: Harness, model: str, **options: object) -> tuple[dict[str, int], int]:
    """In microseconds, and what the event says of our own."""
    head, _ = await gw.ask(model, **options)
    _, requests = await gw.events()
    return dict(zip(STAGES, head.stages, strict=True)), requests[-1].overhead_us


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["acme", "claude"], ids=["relayed", "translated"])
async def test_a_slow_provider_is_the_providers_time_and_none_of_our_own(gw: Harness, name: str, stream: bool) -> None:
    found, own = await stages_of(gw, f"{name}/{SLOW}", stream=stream)
    assert found["provider"] >= 120_000
    assert (found["queue"], found["retry"]) == (0, 0)
    assert 0 < own == found["plan"] + found["admit"] + found["encode"]


async def test_what_a_failed_attempt_took_is_told_apart_and_is_not_our_own(gw: Harness) -> None:
    gw.configure(
        provider("bad", gw.simulator.url + "/v1"),
        provider("acme", gw.simulator.url + "/v1"),
        combos=(s.Combo(name="both", strategy="fill-first", targets=(f"bad/{SLOW}+status:503", "acme/sim")),),
    )
    found, own = await stages_of(gw, "both")
    assert found["retry"] >= 120_000
    assert 0 < own == found["plan"] + found["admit"] + found["encode"]


async def test_an_answer_that_no_provider_gave_has_no_stages(gw: Harness) -> None:
    with pytest.raises(UpstreamError):
        await gw.ask("acme/sim+status:503")
    _, requests = await gw.events()
    assert requests[-1].overhead_us == 0


def timings(header: str) -> dict[str, float]:
    """In milliseconds, as the standard has it (w3.org/TR/server-timing)."""
    assert re.fullmatch(r"[a-z]+;dur=[0-9e.-]+(, [a-z]+;dur=[0-9e.-]+)*", header), header
    return {name: float(value) for name, value in (part.split(";dur=") for part in header.split(", "))}


@pytest.mark.parametrize("stream", [False, True])
async def test_the_client_is_told_before_the_body_and_the_parts_are_the_whole(stream: bool) -> None:
    async def timed(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield msgspec.structs.replace(STREAM if stream else WHOLE, stages=(5, 0, 0, 40, 30, 200))
        yield chunk("one") if stream else completion()

    async with running_edge() as edge, httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
        edge.router.script = timed
        answer = await client.post("/v1/chat/completions", json={"stream": stream})
        found = timings(answer.headers["server-timing"])
        assert list(found) == ["edge", "plan", "admit", "encode", "provider", "total"]
        assert found["provider"] == pytest.approx(0.2)
        whole = found.pop("total")
        assert sum(found.values()) == pytest.approx(max(whole, 0.275))


async def test_waiting_and_retrying_are_told_where_there_was_any_and_nothing_where_no_provider_was_asked() -> None:
    async def retried(call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield msgspec.structs.replace(WHOLE, stages=(5, 7_000, 11_000, 40, 30, 200))
        yield completion()

    async with running_edge() as edge, httpx.AsyncClient(base_url=edge.url, headers=BEARER, trust_env=False) as client:
        edge.router.script = retried
        found = timings((await client.post("/v1/chat/completions", json={})).headers["server-timing"])
        assert (found["queue"], found["retry"]) == (pytest.approx(7), pytest.approx(11))

        async def told(call: CompleteCall) -> AsyncGenerator[Frame, None]:
            yield WHOLE
            yield completion()

        edge.router.script = told
        assert "server-timing" not in (await client.post("/v1/chat/completions", json={})).headers
