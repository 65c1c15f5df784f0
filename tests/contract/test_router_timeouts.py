"""Timeouts of providers, of combos and of a request itself: a real router, Redis and HTTP, and providers that hang."""

import asyncio
import time
from typing import Any

import pytest
from omni_catalogue import snapshot as s
from omni_core.ports.context import CallContext
from omni_core.ports.router import Head
from omni_ledger import Grant, Hold, Refusal
from omni_wire.errors import InvalidRequest, UpstreamTimeout
from omni_wire.formats import WireFormat

from tests.support.router import PATIENT, Harness, provider

HANGS, ANSWERS = "acme/sim+hang", "claude/sim+tokens:4"
SHORT, ENOUGH = 0.7, 8.0  # seconds, far from each other and from what a busy machine takes for an answer
BREAKER = s.BreakerPolicy(failures=1, window=60, open_for=60)


def combo(*targets: str, **fields: Any) -> s.Combo:
    return s.Combo(name="c", strategy="fill-first", targets=targets or (HANGS, ANSWERS), **fields)


def providers(gw: Harness, **timeouts: float) -> tuple[s.Provider, s.Provider]:
    base = gw.simulator.url
    return (
        provider("acme", f"{base}/v1", timeouts=s.Deadlines(**timeouts)),
        provider("claude", base, WireFormat.ANTHROPIC_MESSAGES),
    )


def routing(breaker: s.BreakerPolicy | None = None) -> s.Routing:
    return s.Routing(breaker=breaker, timeouts=PATIENT)


async def timed(gw: Harness, model: str = "c", **options: Any) -> tuple[str, float]:
    """Who answered, and after how many seconds."""
    began = time.monotonic()
    head, _ = await gw.ask(model, **options)
    return head.provider, time.monotonic() - began


PLACES = ("the provider", "the combo", "the combo before the provider", "the request")


@pytest.mark.parametrize(
    ("place", "stream"),
    # The total of a request is for all attempts: see below.
    [(place, stream) for place in PLACES for stream in (True, False) if stream or place != "the request"],
)
async def test_a_target_that_hangs_is_left_for_the_next_when_its_time_is_up(
    gw: Harness, place: str, stream: bool
) -> None:
    name = "first_byte" if stream else "total"
    headers = {"x-omniroute-timeouts": f"{name}={SHORT}"} if place == "the request" else {}
    at_provider = {"the provider": SHORT, "the combo before the provider": 9.0}.get(place)
    at_combo = SHORT if place.startswith("the combo") else None
    found = providers(gw, **({name: at_provider} if at_provider is not None else {}))
    gw.configure(*found, combos=(combo(timeouts=s.Deadlines(**{name: at_combo})),), routing=routing())
    answered, seconds = await timed(gw, stream=stream, headers=headers)
    assert answered == "claude"
    assert SHORT - 0.05 <= seconds < ENOUGH
    attempts, _ = await gw.events()
    assert [(each.provider, each.error_kind) for each in attempts] == [("acme", "upstream_timeout"), ("claude", "")]
    assert await gw.open_holds() == 0


async def test_a_request_cannot_have_more_time_than_is_configured(gw: Harness) -> None:
    gw.configure(*providers(gw, first_byte=SHORT), combos=(combo(),), routing=routing())
    headers = {"x-omniroute-timeouts": "first_byte=3600, total=86400"}
    answered, seconds = await timed(gw, stream=True, headers=headers)
    assert answered == "claude"
    assert seconds < ENOUGH


@pytest.mark.parametrize("stream", [True, False])
async def test_the_total_of_a_request_bounds_all_its_attempts_and_is_told_as_what_it_is(
    gw: Harness, stream: bool
) -> None:
    gw.configure(
        *providers(gw, first_byte=0.4, total=0.4), combos=(combo(HANGS, "claude/sim+hang"),), routing=routing()
    )
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout, match=r"the 1.2 s that the request gave itself as a whole") as caught:
        await gw.ask("c", stream=stream, headers={"x-omniroute-timeouts": "total=1.2"})
    assert caught.value.status == 504
    assert 1.1 <= time.monotonic() - began < ENOUGH
    attempts, (request,) = await gw.events()
    assert [each.provider for each in attempts] == ["acme", "claude"]
    assert (request.outcome, request.status) == ("failed", 504)
    assert await gw.open_holds() == 0


async def test_no_further_attempt_is_made_when_the_time_of_the_request_is_over(gw: Harness) -> None:
    gw.configure(*providers(gw), combos=(combo(HANGS, ANSWERS),), routing=routing())
    with pytest.raises(UpstreamTimeout, match=r"the 0.7 s that the request gave itself"):
        await gw.ask("c", stream=True, headers={"x-omniroute-timeouts": f"total={SHORT}"})
    attempts, _ = await gw.events()
    assert [each.provider for each in attempts] == ["acme"]


async def test_a_stream_ends_when_the_total_of_its_request_is_over(gw: Harness) -> None:
    gw.configure(*providers(gw), routing=routing(BREAKER))
    began, count = time.monotonic(), 0
    call = gw.call("acme/sim+tokens:1000+tps:20", stream=True, headers={"x-omniroute-timeouts": "total=1.5"})
    frames = gw.service.complete(call)
    assert isinstance(await anext(frames), Head)
    with pytest.raises(UpstreamTimeout, match=r"the 1.5 s that the request gave itself as a whole"):
        async for _ in frames:
            count += 1
    assert count > 2
    assert 1.4 <= time.monotonic() - began < ENOUGH
    (attempt,), (request,) = await gw.events()
    assert (attempt.outcome, request.outcome) == ("partial", "partial")
    assert await gw.open_holds() == 0


async def test_a_request_in_haste_says_nothing_against_an_account(gw: Harness) -> None:
    gw.configure(*providers(gw), combos=(combo(),), routing=routing(BREAKER))
    for _ in range(3):
        await timed(gw, stream=True, headers={"x-omniroute-timeouts": "first_byte=0.2"})
    attempts, _ = await gw.events()
    assert [each.provider for each in attempts] == ["acme", "claude"] * 3, "its breaker is closed"
    gw.configure(*providers(gw, first_byte=0.3), combos=(combo(),), routing=routing(BREAKER))
    for _ in range(2):
        await timed(gw, stream=True)
    attempts, _ = await gw.events()
    assert [each.provider for each in attempts[6:]] == ["acme", "claude", "claude"], "what is configured opens it"


@pytest.mark.parametrize("value", ["first_byte=0", "first-byte=2", "total=1, first_byte=2", "", "total=soon"])
async def test_a_header_that_means_nothing_is_refused_before_anything_is_tried(gw: Harness, value: str) -> None:
    with pytest.raises(InvalidRequest, match="x-omniroute-timeouts") as caught:
        await gw.ask("acme/sim", headers={"x-omniroute-timeouts": value})
    assert (caught.value.status, caught.value.param) == (400, "x-omniroute-timeouts")
    attempts, (request,) = await gw.events()
    assert (attempts, request.status) == ([], 400)


async def test_what_is_reserved_is_held_for_as_long_as_the_attempt_may_take(
    gw: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    admit = gw.ledger.admit

    async def noted(hold: Hold) -> Grant | Refusal:
        held.append(hold.ttl_ms)
        return await admit(hold)

    monkeypatch.setattr(gw.ledger, "admit", noted)
    gw.configure(*providers(gw, first_byte=90.0, total=500.0), combos=(combo("acme/sim"),), routing=routing())
    await gw.ask("claude/sim", stream=True)
    await gw.ask("acme/sim", stream=True)
    await gw.ask("acme/sim")
    await gw.ask("acme/sim", stream=True, headers={"x-omniroute-timeouts": "first_byte=2, idle=3, connect=1"})
    usual, longer, whole, hasty = held
    assert longer - usual == 80_000
    assert whole - longer == (500 - 90 - 10) * 1000
    assert hasty - usual == (2 + 3 + 1 - 10 - 10 - 5) * 1000


async def test_a_count_waits_no_longer_than_its_provider_may_take(gw: Harness) -> None:
    slow = provider("claude", gw.simulator.url, WireFormat.ANTHROPIC_MESSAGES, timeouts=s.Deadlines(total=0.5))
    gw.configure(slow, routing=routing())
    body = b'{"model": "claude/sim+hang", "messages": [{"role": "user", "content": "Hi"}]}'
    async with asyncio.timeout(ENOUGH):
        count = await gw.service.count_tokens(CallContext("r"), "key-all", WireFormat.ANTHROPIC_MESSAGES, "", body)
    assert count > 0
