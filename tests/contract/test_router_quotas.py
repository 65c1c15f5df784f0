"""Accounts' quotas by real routers: counted over the fleet, told by headers, and gone round when they are used up."""

import time
from collections.abc import Sequence

import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.quotas import Quota, QuotaWindow
from omni_ledger import Counts, Known, Quotas
from omni_wire.errors import UpstreamRejected

from tests.support.router import PATIENT, Harness, provider

FIVE = QuotaWindow(window="5h", of="tokens", most=1_000_000, resets="first-use")
DAY = QuotaWindow(window="day", of="requests", most=100, zone="Asia/Shanghai", anchor="2024-01-01T10:00")
ONCE = QuotaWindow(window="once", of="usd", most=25_000_000_000)
SMALL = QuotaWindow(window="day", of="requests", models=("small*",))
QUOTA = Quota(windows=(FIVE, DAY, ONCE, SMALL))
HOUR_MS = 3_600_000


def put_in_force(routers: Sequence[Harness], quota: Quota | None, names: Sequence[str] = ("first",)) -> None:
    for router in routers:
        accounts = tuple(s.Account(id=f"acme/{name}", name=name, secret_version="1", quota=quota) for name in names)
        router.configure(
            provider("acme", f"{router.simulator.url}/v1", accounts=accounts),
            routing=s.Routing(timeouts=PATIENT, breaker=s.BreakerPolicy()),
        )


async def look(router: Harness, *windows: QuotaWindow) -> tuple[list[tuple[int, int]], tuple[Known, ...]]:
    """Used and held of each window, and what was told."""
    assert await router.ledger.flush(5.0)
    book = Quotas(router.redis)
    asked = [Counts(each.owner("acme/first"), each.of, each.at(time.time())) for each in windows]
    _, (found,) = await book.look([("acme/first", asked)])
    await book.close()
    return [(used, held) for used, held, _ in found.counts], found.windows


async def test_what_goes_to_an_account_counts_in_its_windows_whichever_router_asked(routers: Sequence[Harness]) -> None:
    put_in_force(routers, QUOTA)
    for number in range(6):
        await routers[number % 2].ask(("acme/sim+tokens:50", "acme/small+tokens:20")[number // 4], max_tokens=100)
    for router in routers:
        assert await router.ledger.flush(5.0)
    events = [each for router in routers for each in (await router.events())[0]]
    tokens = sum(each.usage.input_tokens + each.usage.output_tokens for each in events)
    counted, told = await look(routers[0], FIVE, DAY, ONCE, SMALL)
    assert counted == [(tokens, 0), (6, 0), (sum(each.cost_nano_usd for each in events), 0), (2, 0)]
    assert told == (), "nobody told anything"


async def test_a_quota_that_is_counted_refuses_nothing(routers: Sequence[Harness]) -> None:
    put_in_force(routers, Quota(windows=(QuotaWindow(window="day", of="tokens", most=1),)))
    for _ in range(3):
        await routers[0].ask("acme/sim+tokens:50", max_tokens=100)


async def test_a_failure_counts_as_asked_and_takes_no_tokens(routers: Sequence[Harness]) -> None:
    put_in_force(routers, QUOTA)
    with pytest.raises(UpstreamRejected):
        await routers[0].ask("acme/sim+status:422")
    (tokens, held), requests = (await look(routers[0], FIVE, DAY))[0]
    assert (tokens, held, requests) == (0, 0, (1, 0))


async def test_what_headers_tell_comes_to_the_fleet_once(routers: Sequence[Harness]) -> None:
    put_in_force(routers, QUOTA)
    for router in routers:
        await router.ask("acme/sim+plan:100")
    _, told = await look(routers[0], FIVE)
    windows = {each.name: each for each in told}
    assert {name: (each.of, each.used, each.total, each.how) for name, each in windows.items()} == {
        "5h": ("percent", 200, 10_000, "header"),
        "week": ("percent", 20, 10_000, "header"),
    }
    assert 4.9 * HOUR_MS < windows["5h"].ends_ms - windows["5h"].at_ms <= 5 * HOUR_MS
    (used, _), *_ = (await look(routers[0], FIVE))[0]
    assert windows["5h"].counted == used > 0, "so that what is used from now on can be added"
    assert windows["week"].counted == -1, "nobody counts that"


async def test_who_has_little_left_by_its_headers_is_gone_round(routers: Sequence[Harness]) -> None:
    put_in_force(routers, Quota(cutoff=10.0), ("first", "second"))
    for _ in range(11):
        await routers[0].ask("acme/sim+plan:10")
    attempts, _ = await routers[0].events()
    assert [each.account_id for each in attempts] == ["acme/first"] * 9 + ["acme/second"] * 2
    assert all(each.outcome == attempts[0].outcome for each in attempts), "none was refused"


async def test_who_has_no_quota_is_not_counted_and_tells_nothing(routers: Sequence[Harness]) -> None:
    put_in_force(routers, None)
    await routers[0].ask("acme/sim+plan:100")
    assert await look(routers[0], FIVE) == ([(0, 0)], ())
    assert not [name async for name in routers[0].redis.scan_iter("quota:{omni}:count:*")]
    assert not [name async for name in routers[0].redis.scan_iter("quota:{omni}:told:*")]


async def test_the_account_with_most_left_of_its_tightest_window_is_asked_first(routers: Sequence[Harness]) -> None:
    accounts = tuple(
        s.Account(id=f"acme/{name}", name=name, secret_version="1", quota=QUOTA) for name in ("first", "second")
    )
    for router in routers:
        router.configure(
            provider("acme", f"{router.simulator.url}/v1", accounts=accounts, strategy="usage-headroom"),
            routing=s.Routing(timeouts=PATIENT, breaker=s.BreakerPolicy()),
        )
    book = Quotas(routers[0].redis)
    for first, second, served in ((0.2, 0.7, "second"), (0.9, 0.7, "first")):
        await book.left({"acme/first": first, "acme/second": second})
        for router in routers:
            await router.ask("acme/sim+tokens:5", max_tokens=5)
        attempts = [(await router.events())[0][-1] for router in routers]
        assert {each.account_id for each in attempts} == {f"acme/{served}"}
    await book.left({"acme/first": 0.9, "acme/first sim+tokens:5": 0.1, "acme/second": 0.7})
    await routers[0].ask("acme/sim+tokens:5", max_tokens=5)
    attempts, _ = await routers[0].events()
    assert attempts[-1].account_id == "acme/second", "this model's own window is the tightest"
    await book.close()
