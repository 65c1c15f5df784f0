"""Cooldowns and breakers as requests meet them: over routers that share a Redis, before providers over real HTTP."""

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_ledger import Janitor
from omni_wire.errors import NoCandidate, UpstreamFailed, UpstreamRejected

from tests.support.router import PATIENT, Harness, harness, provider, until

POLICY = s.BreakerPolicy(failures=2, window=60, open_for=60)
ROUTING = s.Routing(breaker=POLICY, timeouts=PATIENT)


@pytest.fixture
async def pair(clean_redis: str) -> AsyncIterator[tuple[Harness, Harness]]:
    async with harness(clean_redis) as one, harness(clean_redis) as other:
        yield one, other


def accounts(*names: str) -> tuple[s.Account, ...]:
    return tuple(s.Account(id=f"acme/{name}", name=name, secret_version="1") for name in names)


def configure(*routers: Harness, targets: tuple[str, ...] = (), **changes: Any) -> None:
    """Every router the same: "acme" at the first one's simulator, and a combo "best" of ``targets``."""
    base = routers[0].simulator.url
    combos = (s.Combo(name="best", strategy="fill-first", targets=targets),) if targets else ()
    for gw in routers:
        gw.configure(provider("acme", f"{base}/v1", **changes), combos=combos, routing=ROUTING)


def calls(gw: Harness) -> int:
    return sum(gw.simulator.requests.values())


async def known(gw: Harness) -> dict[str, tuple[str, str, bool]]:
    assert await gw.ledger.flush(20.0)
    janitor = Janitor(gw.redis)
    found = {name: (one.state, one.cause, one.told) for name, one in await janitor.circuits(100)}
    await janitor.close()
    return found


async def test_a_rate_limit_sends_the_fleet_to_the_next_account_for_as_long_as_it_was_told(
    pair: tuple[Harness, Harness],
) -> None:
    one, other = pair
    model = "sim+status:429+retry-after:30+only-key:secret-of-acme/first"
    configure(one, other, accounts=accounts("first", "second"))
    await one.ask(f"acme/{model}")
    assert calls(one) == 2
    for gw in pair:
        await gw.ask(f"acme/{model}")
    assert calls(one) == 4, "each went to the second at once"
    assert await known(one) == {f"acme/first {model}": ("open", "rate_limit", True)}
    await one.ask("acme/sim")
    assert one.simulator.recent[-1].header("authorization") == "Bearer secret-of-acme/first"


async def test_when_all_are_limited_the_client_hears_429_and_the_soonest_time(pair: tuple[Harness, Harness]) -> None:
    one, other = pair
    configure(one, other, targets=("acme/sim+status:429+retry-after:40", "acme/sim+status:429+retry-after:20"))
    with pytest.raises(UpstreamRejected) as first:
        await one.ask("best")
    assert (first.value.status, first.value.retry_after) == (429, 20.0)
    with pytest.raises(NoCandidate) as then:
        await other.ask("best")
    assert then.value.status == 429
    assert 18 < (then.value.retry_after or 0) <= 20
    assert calls(one) == 2


async def test_a_refused_credential_closes_the_account_for_all_models_until_it_has_another(
    pair: tuple[Harness, Harness],
) -> None:
    one, other = pair
    configure(one, other)
    with pytest.raises(UpstreamRejected):
        await one.ask("acme/sim+status:401")
    with pytest.raises(NoCandidate, match="it refused the credential"):
        await other.ask("acme/sim")
    renewed = (s.Account(id="acme/first", name="first", secret_version="2"),)
    configure(one, other, accounts=renewed)
    await other.ask("acme/sim")


async def test_a_target_is_given_up_without_trying_each_of_its_accounts(pair: tuple[Harness, Harness]) -> None:
    one, other = pair
    broken = "acme/sim+status:500"
    configure(one, other, targets=(broken, "acme/sim"), accounts=accounts("a", "b", "c", "d", "e"))
    await one.ask("best")
    assert calls(one) == 3, "its breaker opened after two of five accounts"
    await other.ask("best")
    assert calls(one) == 4


async def test_a_pool_that_is_closed_as_a_whole_is_probed_before_its_time(pair: tuple[Harness, Harness]) -> None:
    one, other = pair
    model = "acme/sim+status:500+fail-first:2"
    configure(one, other)
    for gw in pair:
        with pytest.raises(UpstreamFailed):
            await gw.ask(model)
    with pytest.raises(NoCandidate) as caught:
        await one.ask(model)
    assert 0 < (caught.value.retry_after or 0) <= 1.0
    began = time.monotonic()

    async def answered() -> bool:
        try:
            await one.ask(model)
        except NoCandidate:
            return False
        return True

    while not await answered():
        assert time.monotonic() - began < 20
    assert calls(one) == 3, "a minute before the breaker's own time"
    await other.ask(model)


async def test_an_answer_that_was_the_last_of_its_quota_is_not_followed_by_another(
    pair: tuple[Harness, Harness],
) -> None:
    one, other = pair
    spent = "sim+quota-left:0"
    configure(one, other, accounts=accounts("first", "second"))
    await one.ask(f"acme/{spent}")
    assert await known(one) == {f"acme/first {spent}": ("open", "rate_limit", True)}
    await other.ask(f"acme/{spent}")
    assert one.simulator.recent[-1].header("authorization") == "Bearer secret-of-acme/second"


async def test_a_probe_that_streams_for_long_lets_the_others_in_with_its_first_byte(
    pair: tuple[Harness, Harness],
) -> None:
    one, other = pair
    model = "acme/sim+tokens:40+tps:4"
    configure(one, other)
    circuit = f"circuit:{{omni}}:acme/first {model.removeprefix('acme/')}"
    past = int(time.time() * 1000) - 5000
    await one.redis.set(circuit, msgspec.msgpack.encode([1, past, "", [], 0, "failing", 0, "", past]))
    answer = one.service.complete(one.call(model, stream=True))
    await anext(answer)
    assert await until(lambda: bool(one.simulator.requests))
    assert await one.ledger.flush(20.0)
    assert await one.redis.get(circuit) is None
    await answer.aclose()
