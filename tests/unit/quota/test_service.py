"""The quota service alone: what it shows, and that its rounds go on whatever fails."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from omni_catalogue.snapshot import Account, Allowance, Budget, KeyPolicy, Limit, Provider, Routing, Server, Snapshot
from omni_catalogue.windows import Window
from omni_core.ports.quota import AllowanceState, BreakerState, KeyState, LimitState
from omni_core.telemetry import new_registry
from omni_ledger import AllowanceStanding, BreakerStanding, KeyStanding, LaneStanding, Reaped, Standing
from omni_quota.adapters.metrics import PrometheusMeter
from omni_quota.service.accounts import Accounts
from omni_quota.service.quota import QuotaService
from omni_quota.settings import QuotaSettings
from omni_wire.errors import DependencyUnavailable
from omni_wire.formats import WireFormat

STATES = ("closed", "open", "half_open", "cooling")

SNAPSHOT = Snapshot(
    revision=1,
    created=0,
    server=Server(),
    providers=(
        Provider(
            id="acme",
            format=WireFormat.OPENAI_CHAT,
            base_url="http://127.0.0.1:1/v1",
            accounts=(Account(id="acme/first", name="first", secret_version="1"),),
            models=(),
        ),
    ),
    combos=(),
    keys=(
        KeyPolicy(id="k1", name="ci", requests_per_minute=600, budget=Budget(nano_usd=25_000_000_000, window="month")),
        KeyPolicy(id="k2", name="free", limits=("l2",)),
    ),
    routing=Routing(),
    limits=(
        Limit(id="l1", name="all", requests_per_minute=9),
        Limit(id="l2", name="monthly", of="team", owner="core", budget=Budget(nano_usd=7), organisation="guests"),
    ),
)


def made(stage: "Stage", configuration: Snapshot | None, settings: QuotaSettings) -> QuotaService:
    """With accounts of which nobody looks after the quota."""
    nobody: Any = None
    accounts = Accounts(nobody, stage, nobody, nobody, stage, lambda: configuration, settings)
    return QuotaService(stage, stage, stage, lambda: configuration, settings, accounts)


class Stage:
    """Books, courier and meter in one: it only remembers."""

    def __init__(self) -> None:
        self.due = 0
        self.away = False
        self.left = ["gone"]
        self.inside: list[tuple[str, BreakerStanding]] = []
        self.looked: list[tuple[Sequence[tuple[str, Window]], Sequence[str]]] = []
        self.said: list[tuple[object, ...]] = []
        self.lanes_known: list[LaneStanding] = []

    def _check(self) -> None:
        if self.away:
            raise DependencyUnavailable("redis is away")

    async def reap(self, limit: int) -> Reaped:
        self._check()
        count = min(limit, self.due)
        self.due -= count
        return Reaped(count, count * 10)

    async def look(
        self,
        keys: Sequence[tuple[str, Window]],
        accounts: Sequence[str],
        allowances: Sequence[tuple[str, str, Window]] = (),
    ) -> Standing:
        self._check()
        self.looked.append((keys, accounts))
        return Standing(
            7,
            tuple(KeyStanding(3, 40, 5, 99 if window else 0, 77 if window else 0) for _, window in keys),
            tuple(BreakerStanding("open", 5, 12.5) for _ in accounts),
            tuple(AllowanceStanding(len(of), 2, 77) for _, of, _ in allowances),
        )

    async def circuits(self, most: int) -> list[tuple[str, BreakerStanding]]:
        self._check()
        return self.inside[:most]

    async def lanes(self, most: int) -> list[LaneStanding]:
        self._check()
        return self.lanes_known[:most]

    async def forget(self, lane: str) -> bool:
        self._check()
        self.said.append(("forget", lane))
        return True

    async def reset(self, circuit: str) -> None:
        self._check()
        self.said.append(("reset", circuit))

    async def waiting(self) -> int:
        self._check()
        return 4

    async def orphans(self) -> list[str]:
        self._check()
        return self.left

    async def deliver(self, router_id: str) -> int:
        self.left = []
        return 11

    def remaining(self, shares: Mapping[tuple[str, str], float]) -> None:
        assert not shares

    def asked(self, vendor: str, outcome: str) -> None:
        raise AssertionError("nobody is asked")

    def reaped(self, reservations: int, charged_nano_usd: int) -> None:
        self.said.append(("reaped", reservations, charged_nano_usd))

    def breakers(self, states: Sequence[str]) -> None:
        self.said.append(("breakers", *states))

    def open_reservations(self, count: int) -> None:
        self.said.append(("open", count))

    def adopted(self, events: int) -> None:
        self.said.append(("adopted", events))

    def failed(self, task: str) -> None:
        self.said.append(("failed", task))


def service(stage: Stage, configuration: Snapshot | None = SNAPSHOT) -> QuotaService:
    settings = QuotaSettings(reap_every=0.01, adopt_every=0.01, reap_at_once=100)
    return made(stage, configuration, settings)


async def test_the_snapshot_joins_limits_with_what_stands() -> None:
    found = await service(Stage()).snapshot()
    assert found.keys == (
        KeyState("k1", 3, 600, 40, 5, 25_000_000_000, "month", 99, 77),
        KeyState("k2", 3, 0, 40, 5, 0, "", 0, limit_ids=("l2",)),
    )
    assert found.limits == (
        LimitState("l1", "all", "default", 3, 9, 40, 5, 0, "", 0),
        LimitState("l2", "team/core/monthly", "guests", 3, 0, 40, 5, 7, "month", 99, 77),
    )
    assert found.breakers == (BreakerState("acme/first", "open", 5, 12.5),)
    assert (found.open_reservations, found.waiting_events) == (7, 4)


async def test_each_limit_has_what_stands_of_its_own_allowances() -> None:
    tokens, at_once = Allowance(of="tokens", most=9, window="5h"), Allowance(of="concurrent", most=4, mode="shadow")
    limits = (
        Limit(id="l1", name="all", allowances=(tokens, at_once)),
        Limit(id="l2", name="none"),
        Limit(id="l3", name="last", allowances=(tokens,)),
    )
    found = (await service(Stage(), msgspec.structs.replace(SNAPSHOT, limits=limits)).snapshot()).limits
    assert [limit.allowances for limit in found] == [
        (AllowanceState("tokens", 9, "5h", 6, 2, 77), AllowanceState("concurrent", 4, "", 10, 2, 77, "shadow")),
        (),
        (AllowanceState("tokens", 9, "5h", 6, 2, 77),),
    ]


async def test_the_snapshot_of_one_key_asks_for_that_key_only() -> None:
    stage = Stage()
    assert [key.key_id for key in (await service(stage).snapshot("k1")).keys] == ["k1"]
    assert stage.looked == [([("k1", "month")], ["acme/first"])]
    assert [limit.limit_id for limit in (await service(stage).snapshot("k2")).limits] == ["l2"]
    nobody = await service(stage).snapshot("nobody")
    assert (nobody.keys, nobody.limits) == ((), ())


async def test_without_a_configuration_there_is_nothing_to_show() -> None:
    with pytest.raises(DependencyUnavailable):
        await service(Stage(), None).snapshot()


async def test_reset_closes_the_breaker() -> None:
    stage = Stage()
    await service(stage).reset("acme/first")
    assert stage.said == [("reset", "acme/first")]


INSIDE = [
    ("acme/first", BreakerStanding("open", 5, 12.5)),  # shown already
    ("acme/first gpt-x", BreakerStanding("open", 0, 9.0, "rate_limit", True)),
    ("gone/first gpt-x", BreakerStanding("open", 5, 9.0, "failing")),  # not configured any more
    ("target:best acme/gpt-x", BreakerStanding("half_open", 5, 0.0, "failing")),
    ("target:best gone/gpt-x", BreakerStanding("open", 5, 1.0, "failing")),
]


async def test_breakers_of_models_and_targets_are_shown_with_their_cause() -> None:
    stage = Stage()
    stage.inside = INSIDE
    assert (await service(stage).snapshot()).breakers == (
        BreakerState("acme/first", "open", 5, 12.5),
        BreakerState("acme/first", "open", 0, 9.0, "gpt-x", "", "rate_limit", True),
        BreakerState("", "half_open", 5, 0.0, "acme/gpt-x", "best", "failing"),
    )


async def test_an_account_is_reset_with_the_targets_of_its_provider() -> None:
    stage = Stage()
    stage.inside = INSIDE
    await service(stage).reset("acme/first")
    assert stage.said == [("reset", "acme/first"), ("reset", "target:best acme/gpt-x")]


async def test_what_its_provider_told_to_wait_for_is_no_open_breaker_in_the_metric() -> None:
    stage = Stage()
    stage.inside = [*INSIDE, ("acme/first other", BreakerStanding("half_open", 0, 0.0, "quota", True))]
    await service(stage).watch()
    assert stage.said == [("breakers", "open", "cooling", "half_open", "closed")]


async def test_a_round_reaps_everything_that_is_due() -> None:
    stage = Stage()
    stage.due = 250
    await service(stage).reap()
    assert stage.said == [("reaped", 100, 1000), ("reaped", 100, 1000), ("reaped", 50, 500), ("open", 7)]


async def test_rounds_go_on_after_redis_was_away() -> None:
    stage = Stage()
    stage.away = True
    quota = service(stage)
    quota.start()
    await asyncio.sleep(0.05)
    assert quota.trouble == "redis is away"
    assert ("failed", "reap") in stage.said
    assert ("failed", "adopt") in stage.said
    stage.away = False
    await asyncio.sleep(0.05)
    assert quota.trouble == ""
    assert ("adopted", 11) in stage.said
    await quota.stop()
    assert quota.trouble == "stopped"


async def test_breakers_are_counted_by_state_and_by_nothing_else() -> None:
    stage = Stage()
    service = made(stage, SNAPSHOT, QuotaSettings())
    await service.watch()
    assert stage.said == [("breakers", "open")]
    registry = new_registry()
    meter = PrometheusMeter(registry)
    meter.breakers(["open", "closed", "open"])
    found = {state: registry.get_sample_value("omniroute_quota_breakers", {"state": state}) for state in STATES}
    assert found == {"closed": 1, "open": 2, "half_open": 0, "cooling": 0}


async def test_without_a_configuration_there_is_nothing_to_count() -> None:
    stage = Stage()
    await made(stage, None, QuotaSettings()).watch()
    assert stage.said == stage.looked == []
