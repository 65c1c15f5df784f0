"""A router whose auth is away: what needs no credential is served, the rest says so, and a combo goes on."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_router.domain import provider_call
from omni_router.domain.decision import Decision
from omni_wire.errors import CredentialUnavailable, DependencyUnavailable
from omni_wire.formats import WireFormat

from tests.support.router import PATIENT, Harness, harness, provider

OPEN = (s.Account(id="local/any", name="any", secret_version=""),)
STEADY = s.Routing(breaker=s.BreakerPolicy(failures=1, window=60, open_for=60), timeouts=PATIENT)


@pytest.fixture
async def gw(clean_redis: str) -> AsyncIterator[Harness]:
    async with harness(clean_redis) as made:
        base = f"{made.simulator.url}/v1"
        combo = s.Combo(name="safe", strategy="fill-first", targets=("acme/sim", "local/sim"))
        made.configure(provider("acme", base), provider("local", base, accounts=OPEN), combos=(combo,), routing=STEADY)

        async def away(context: CallContext, account_id: str) -> Credential:
            raise DependencyUnavailable("auth is not reachable")

        made.auth.credential = away  # type: ignore[method-assign]
        yield made


async def test_an_account_that_needs_no_credential_is_served(gw: Harness) -> None:
    head, body = await gw.ask("local/sim")
    assert (head.provider, bool(body)) == ("local", True)


async def test_one_whose_credential_cannot_be_had_says_so_and_costs_nothing(gw: Harness) -> None:
    for _ in range(3):  # no breaker opens: it says nothing about the account
        with pytest.raises(CredentialUnavailable) as caught:
            await gw.ask("acme/sim")
    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
    attempts, requests = await gw.events()
    assert not attempts, "no call was made"
    assert {(request.status, request.error_kind) for request in requests} == {(503, "credential_unavailable")}
    assert {(request.attempts, request.provider, request.cost_nano_usd) for request in requests} == {(0, "acme", 0)}
    (step,) = msgspec.json.decode(requests[0].decision, type=Decision).steps
    assert (step.account, step.outcome, step.kind, step.attempt) == (
        "acme/first",
        "failed",
        "credential_unavailable",
        "",
    )
    assert await gw.open_holds() == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_combo_goes_on_to_what_can_be_served(gw: Harness, stream: bool) -> None:
    head, body = await gw.ask("safe", stream=stream)
    assert (head.provider, bool(body)) == ("local", True)
    attempts, (request,) = await gw.events()
    assert [attempt.outcome for attempt in attempts] == ["ok"]
    assert (request.outcome, request.provider, request.attempts) == ("ok", "local", 1)
    steps = msgspec.json.decode(request.decision, type=Decision).steps
    assert [(step.provider, step.outcome, bool(step.attempt)) for step in steps] == [
        ("acme", "failed", False),
        ("local", "answered", True),
    ]


async def test_it_recovers_by_itself_when_auth_is_back(gw: Harness) -> None:
    with pytest.raises(CredentialUnavailable):
        await gw.ask("acme/sim")
    del gw.auth.credential  # what was put over the class's own
    async with asyncio.timeout(5):
        while (await gw.ask("safe"))[0].provider != "acme":  # noqa: ASYNC110 - nothing tells when
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("spoken", [WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES])
def test_without_a_credential_no_header_pretends_to_be_one(spoken: WireFormat) -> None:
    local = provider("local", "http://127.0.0.1:1/v1", spoken, accounts=OPEN)
    bare = provider_call.headers(local, "", {}, request_id="r")
    assert not {"authorization", "x-api-key"} & set(bare)
    told = provider_call.headers(local, "k", {}, request_id="r")
    assert set(told) - set(bare) <= {"authorization", "x-api-key"}
    assert len(told) == len(bare) + 1
