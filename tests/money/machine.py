"""The whole ledger at once against a plain model of it, by histories that hypothesis makes and makes shorter: budgets
and rates of levels, allowances that hold and that only tell, lanes, breakers and retries in one reservation.

The parts alone, over longer histories, are in tests/contract (``histories``).
"""

import asyncio
from typing import Any

import msgspec
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from omni_catalogue.lanes import Lane
from omni_catalogue.snapshot import BreakerPolicy, RateLimit
from omni_core.redis import open_redis
from omni_ledger import (
    Evidence,
    Hold,
    Janitor,
    LaneNews,
    Level,
    Passage,
    Pick,
    Retrying,
    Settlement,
    Standing,
    operations,
)
from omni_ledger.script import ScriptConnection

from tests.support.ledger import CLOCKED_LUA, START, allowance, budget, hold, level, set_clock, settlement
from tests.support.ledger_model import Model
from tests.support.ledger_step import step as step_in_python

POLICY = BreakerPolicy(failures=2, window=40, open_for=20, refused_for=5, refused_longest=40, told_longest=90)
ACCOUNTS = ("acme/first", "acme/second")
SEAT = "acme/first big"
LANES = (
    Lane("acme", RateLimit(requests_per_minute=12, concurrent=5)),
    Lane("acme/first", RateLimit(min_gap=0.2)),
    Lane(SEAT, RateLimit(tokens_per_minute=900)),
)
KEYS = {"daily": ("day", 4_000, 12), "monthly": ("month", 9_000, 0), "once": ("total", 60_000, 7)}
# By owner: window, cap, requests per minute, and allowances by (of, most, window, percents that are told).
SHARED: dict[str, tuple[str, int, int, tuple[tuple[str, int, str, tuple[int, ...] | None], ...]]] = {
    "limit:org": ("month", 50_000, 0, (("tokens", 6_000, "5h", None), ("usd", 9_000, "day", (50, 100)))),
    "limit:team": ("day", 5_000, 15, (("tokens", 900, "minute", None), ("requests", 20, "5h", None))),
    "limit:user": ("total", 20_000, 9, (("concurrent", 3, "", None), ("output", 400, "week", (80,)))),
}
PACES = (0, 5, 90, 100, 101, 700, 5_000, 61_000, 400_000, 9 * 3_600_000)
OUTCOMES = (
    *(("success", ""), ("failure", "failing"), ("neutral", "")),
    *(("cool", cause) for cause in ("rate_limit", "quota", "refused")),
)


@some.composite
def holds(draw: some.DrawFn) -> dict[str, Any]:
    """The fields of a hold that say what it asks; its name and its kind of circuit are the machine's."""
    key = draw(some.sampled_from(sorted(KEYS)))
    window, cap, rate = KEYS[key]
    fixed, per_token = draw(some.sampled_from((0, 3, 40))), draw(some.sampled_from((0, 1, 7)))
    given = draw(some.sampled_from((0, 10, 200)))
    account = draw(some.sampled_from(ACCOUNTS))
    lanes = tuple(lane for lane in LANES if draw(some.booleans()))
    return {
        "key_id": key,
        "account_id": account,
        "circuits": draw(some.sampled_from(((), ("m1",), ("m1", "target")))),
        "secret": draw(some.sampled_from(("", "v1", "v2"))),
        "early": draw(some.booleans()),
        "count_request": draw(some.booleans()),
        "requests_per_minute": rate,
        "budget": budget(cap, window=window, fixed=fixed, per_token=per_token) if draw(some.booleans()) else None,
        "levels": tuple(
            _level(owner, fixed, per_token, given) for owner in sorted(SHARED) if draw(some.booleans())
        ),
        "wanted_output": draw(some.sampled_from((0, 1, 20, 500))),
        "breaker": POLICY if draw(some.booleans()) else None,
        "ttl_ms": draw(some.sampled_from((1_000, 30_000, 90_000))),
        "passage": Passage(lanes=lanes, tokens=given) if lanes else None,
        "retrying": Retrying(again=draw(some.booleans()), percent=20, least=3) if draw(some.booleans()) else None,
    }  # fmt: skip


def _level(owner: str, fixed: int, per_token: int, given: int) -> Level:
    window, cap, rate, allowed = SHARED[owner]
    taken = {
        "tokens": (given, 1), "output": (0, 1), "requests": (1, 0), "concurrent": (0, 0), "usd": (fixed, per_token),
    }  # fmt: skip
    return level(
        owner,
        budget(cap, window=window, fixed=fixed, per_token=per_token),
        rate,
        *(allowance(of, most, span, *taken[of], warn) for of, most, span, warn in allowed),
    )


class Reached:
    """A Redis whose data may be thrown away, for code that does not wait. ``calls`` are those of the script."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._redis = open_redis(url)
        self._script = ScriptConnection(self._redis, CLOCKED_LUA)
        self._janitor = Janitor(self._redis, script=CLOCKED_LUA)
        self.calls = 0

    def close(self) -> None:
        async def close() -> None:
            await self._script.drop()
            await self._janitor.close()
            await self._redis.aclose()
            await asyncio.sleep(0)

        self._runner.run(close())
        self._runner.close()

    def empty(self) -> None:
        async def empty() -> None:
            await self._redis.flushall()
            await set_clock(self._redis, START)

        self._runner.run(empty())

    def turn(self, now_ms: int) -> None:
        self._runner.run(set_clock(self._redis, now_ms))

    def step(self, arguments: list[bytes]) -> list[Any]:
        self.calls += 1
        return operations.results(self._runner.run(self._script.call(arguments)))

    def look(self, keys: list[tuple[str, str]], allowances: list[tuple[str, str, str]]) -> Standing:
        return self._runner.run(self._janitor.look(keys, [], allowances))

    def outbox(self) -> list[bytes]:
        async def ask() -> Any:
            return await self._redis.lrange("quota:{omni}:outbox:router", 0, -1)

        found: list[bytes] = self._runner.run(ask())
        return found


class WholeLedger(RuleBasedStateMachine):
    reached: Reached  # that of the subclass that is run

    def __init__(self) -> None:
        super().__init__()
        self.reached.empty()
        self.model = Model()
        self.model.now = START
        self.names: list[str] = []
        self.made = 0

    def perform(self, *batch: list[bytes]) -> list[Any]:
        """The operations in one call, there as here."""
        arguments = [argument for operation in batch for argument in operation]
        said = self.reached.step(arguments)
        assert said == operations.results(step_in_python(self.model, arguments))
        return said

    @rule(asked=some.lists(holds(), min_size=1, max_size=4))
    def admit(self, asked: list[dict[str, Any]]) -> None:
        """Those of one call."""
        fresh: list[Hold] = []
        for fields in asked:
            self.made += 1
            abort = (b"\x0a\x02\x0a\x00", b"\x12\x02\x0a\x00")
            fresh.append(hold(f"a{self.made}", abort_events=abort, **fields))
        self.names += [each.attempt_id for each in fresh]
        self.perform(*map(operations.admit, fresh))

    @precondition(lambda self: self.model.reservations)
    @rule(which=some.integers(0, 9), other=holds(), same=some.booleans())
    def admit_again(self, which: int, other: dict[str, Any], same: bool) -> None:
        """Whatever it asks for now: what it has is told again, or that it is closed."""
        known = list(self.model.reservations.values())[-1 - which % len(self.model.reservations)].hold
        asked = known if same else hold(known.attempt_id, **other)
        self.perform(operations.admit(asked), operations.admit(asked))

    @precondition(lambda self: self.names)
    @rule(
        which=some.integers(0, 9), share=some.sampled_from((0.0, 0.3, 1.0)), outcome=some.sampled_from(OUTCOMES),
        told=some.sampled_from((0.0, 7.5)), more=some.booleans(), twice=some.booleans(),
        refused=some.sampled_from(("", "rate", "at_once")),
    )  # fmt: skip
    def settle(
        self, which: int, share: float, outcome: tuple[str, str], told: float, more: bool, twice: bool, refused: str
    ) -> None:
        """By no more than was held; whether it was granted, refused, reaped or settled before."""
        name = self.names[-1 - which % len(self.names)]
        found = self.model.reservations.get(name)
        done = settlement(name, 0, breaker=POLICY if more else None, events=(b"settled " + name.encode(),))
        if not share:
            done = msgspec.structs.replace(done, if_reaped=b"not made " + name.encode())
        if found is not None:
            cost = int(found.grant.reserved_nano_usd * share)
            used = (0, int(found.grant.granted_output * share))
            evidence = tuple(
                Evidence(circuit, *outcome, told) for circuit in (found.hold.account_id, *found.hold.circuits)
            )
            done = msgspec.structs.replace(done, cost_nano_usd=cost, used=used, evidence=evidence, secret="v1")
        if refused:
            done = msgspec.structs.replace(done, tokens=20, news=LaneNews(lane=SEAT, refused=refused))
        self._settle(done, twice)

    def _settle(self, done: Settlement, twice: bool) -> None:
        said = self.perform(*[operations.settle(done)] * (1 + twice))
        assert not twice or said[1] == ["again", 0]

    @precondition(lambda self: self.names)
    @rule(which=some.integers(0, 9), what=some.sampled_from(("release", "renew", "keep", "cleared")))
    def tell(self, which: int, what: str) -> None:
        name = self.names[-1 - which % len(self.names)]
        circuits = ("acme/first", "m1", "target")
        self.perform({
            "release": lambda: operations.release(name, circuits),
            "renew": lambda: operations.renew(name, 30_000),
            "keep": lambda: operations.keep([name]),
            "cleared": lambda: operations.cleared(name, circuits),
        }[what]())  # fmt: skip

    @rule(overtaken=holds())
    def release_before_it_is_admitted(self, overtaken: dict[str, Any]) -> None:
        self.made += 1
        asked = hold(f"a{self.made}", **overtaken)
        said = self.perform(operations.release(asked.attempt_id, (asked.account_id,)), operations.admit(asked))
        assert said[1] == ["c"]

    @rule(uses=some.booleans(), talk=some.booleans())
    def choose(self, uses: bool, talk: bool) -> None:
        self.perform(
            operations.pick(Pick(cursor="c", uses="u" if uses else "", members=("m1", "m2"), conversation="talk")),
            *([operations.warmed("talk", "here", self.made, 86_400_000)] if talk else []),
        )

    @rule(milliseconds=some.sampled_from(PACES))
    def wait(self, milliseconds: int) -> None:
        self.model.now += milliseconds
        self.reached.turn(self.model.now)

    @rule()
    def reap(self) -> None:
        self.perform(operations.reap(10_000))

    @invariant()
    def no_cap_is_passed_and_both_know_the_same(self) -> None:
        owners = {key: (window, cap, rate) for key, (window, cap, rate) in KEYS.items()}
        owners |= {owner: (window, cap, rate) for owner, (window, cap, rate, _) in SHARED.items()}
        counted = [(owner, each) for owner, (*_, allowed) in SHARED.items() for each in allowed]
        found = self.reached.look(
            [(owner, window) for owner, (window, _, _) in owners.items()],
            [(owner, of, window) for owner, (of, _, window, _) in counted],
        )
        assert found.open_reservations == self.model.open_reservations()
        for (owner, (window, cap, rate)), stands in zip(owners.items(), found.keys, strict=True):
            told = (stands.requests_in_window, stands.spent_nano_usd, stands.held_nano_usd, stands.resets_at)
            assert told == self.model.standing(owner, window)
            assert stands.held_nano_usd >= 0
            assert stands.spent_nano_usd + stands.held_nano_usd <= cap
            assert stands.requests_in_window <= rate or not rate
        for (owner, (of, most, window, warn)), has in zip(counted, found.allowances, strict=True):
            assert (has.used, has.held, has.resets_at) == self.model.counts.standing(owner, of, window, self.model.now)
            assert has.used + has.held <= most or warn is not None or of == "concurrent"

    @invariant()
    def every_event_is_in_the_outbox_in_its_order(self) -> None:
        assert self.reached.outbox() == self.model.outbox
