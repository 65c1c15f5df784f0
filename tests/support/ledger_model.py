"""The ledger again, in plain Python and without a thought for speed: what the Lua scripts must agree with."""

from collections.abc import Sequence
from typing import Any

import msgspec
from omni_catalogue.windows import Window
from omni_ledger import BudgetHold, Evidence, Grant, Hold, Passage, Pick, Picked, Refusal, Settlement, WarmPlace

from tests.support.counts_model import Counts
from tests.support.lanes_model import Lanes
from tests.support.windows import name_of, window_of


def with_charge(event: bytes, amount: int) -> bytes:
    """The event of an attempt that was reaped, with what it was charged behind it (see ``step.lua``)."""
    cost = {b"\n": b"\x80\x01", b"\x12": b"\x90\x01"}.get(event[:1])
    if cost is None or not amount:
        return event
    while amount >= 128:
        cost += bytes((amount % 128 + 128,))
        amount //= 128
    cost += bytes((amount,))
    return event + event[:1] + bytes((len(cost),)) + cost


class Reservation:
    def __init__(self, hold: Hold, grant: Grant, money: "list[dict[str, int]]", expires: int) -> None:
        self.hold, self.grant, self.money, self.expires = hold, grant, money, expires
        self.state = "held"


class Breaker:
    def __init__(self) -> None:
        self.failures: list[int] = []
        self.opened, self.until, self.probe, self.lease = 0, 0, "", 0
        self.cause, self.told, self.secret, self.early = "", False, "", 0

    def open(self, now: int, wait: int, cause: str, *, told: bool = False, secret: str = "") -> None:
        self.early = now + min(wait, 1000 * 2 ** min(self.opened, 6))
        self.opened, self.until, self.probe = self.opened + 1, now + wait, ""
        self.cause, self.told, self.secret = cause, told, secret

    def wait(self, now: int, attempt: str, early: bool) -> int:
        """Milliseconds; 0 lets it through."""
        start = self.early if early and not self.told else self.until
        if now < start:
            return start - now
        return min(1000, self.lease - now) if self.probe not in ("", attempt) and self.lease > now else 0


class Model:
    """Time in milliseconds, set by ``now``. Answers as the ledger does, but forgets nothing: what is settled stays
    closed, and what was counted or warm stays known."""

    def __init__(self) -> None:
        self.now = 0
        self.requests: dict[str, list[int]] = {}
        self.budgets: dict[tuple[str, str, int], dict[str, int]] = {}
        self.reservations: dict[str, Reservation] = {}
        self.closed: set[str] = set()  # attempts that were settled, those never heard of too
        self.cursors: dict[str, int] = {}
        self.uses: dict[str, dict[str, int]] = {}
        self.warm: dict[str, dict[str, tuple[int, int]]] = {}  # tokens and since when, by conversation and place
        self.breakers: dict[str, Breaker] = {}
        self.outbox: list[bytes] = []
        self.lanes = Lanes()
        self.counts = Counts(self.outbox)

    def admit(self, hold: Hold) -> Grant | Refusal | None:
        known = self.reservations.get(hold.attempt_id)
        if known is not None:
            return known.grant if known.state == "held" else None
        if hold.attempt_id in self.closed:
            return None
        levels = [("", hold.key_id, hold.requests_per_minute, hold.budget)]
        levels += [(level.owner, level.owner, level.requests_per_minute, level.budget) for level in hold.levels]
        rates = [(name, owner, limit) for name, owner, limit, _ in levels if hold.count_request and limit]
        waits = [
            Refusal("rate_limited", wait, level=name)
            for name, owner, limit in rates
            if (wait := self._wait(owner, limit))
        ]
        if waits:
            return max(waits, key=lambda one: one.retry_after)
        amount = 0
        held = [self._budget(hold, *level) for level in levels if level[3] is not None]
        refusals = [one for one in held if isinstance(one, Refusal)]
        if refusals:
            return next((one for one in refusals if one.reason == "budget_exhausted"), refusals[0])
        money = [one[1] for one in held if not isinstance(one, Refusal)]
        granted = min([hold.wanted_output, *(one[0] for one in held if not isinstance(one, Refusal))])
        left = self.counts.look(hold.levels, hold.wanted_output, self.now)
        if isinstance(left, Refusal):
            return left
        granted = min(granted, left)
        asked = next((budget for *_, budget in levels if budget is not None), None)
        if asked is not None:
            amount = asked.fixed_nano_usd + granted * asked.per_output_token_nano_usd
        else:
            amount = self.counts.money(hold.levels, granted)
        probed = self._circuits(hold) if hold.breaker else []
        passage = hold.passage
        if isinstance(probed, Refusal):
            return self._await(probed, passage)
        bounds = self.lanes.look(passage, self.now) if passage is not None else []
        if isinstance(bounds, Refusal):
            return bounds
        if hold.retrying is not None and not self.lanes.retry(hold.retrying, self.now):
            return Refusal("retry_budget", 0.0)
        for breaker in probed:
            breaker.probe, breaker.lease = hold.attempt_id, self.now + min(hold.ttl_ms, 60_000)
        for _, owner, _ in rates:
            self.requests.setdefault(owner, []).append(self.now // 100 * 100 + 100)
        for each in money:
            each["held"] += amount
        if passage is not None:
            self.lanes.take(bounds, passage, hold.attempt_id, self.now + hold.ttl_ms, self.now)
        expires, wanted = self.now + hold.ttl_ms, hold.wanted_output
        self.counts.take(hold.levels, granted, wanted, hold.attempt_id, expires, self.now)
        grant = Grant(granted, amount, bool(probed), bool(bounds) or self.counts.is_at_once(hold.levels))
        self.reservations[hold.attempt_id] = Reservation(hold, grant, money, self.now + hold.ttl_ms)
        return grant

    def _await(self, refusal: Refusal, passage: Passage | None) -> Refusal:
        """Who waits for a rate limit's time to be up has a place in the lane."""
        if passage is None or passage.ticket is None or refusal.cause != "rate_limit":
            return refusal
        ticket, came, name = passage.ticket, passage.ticket.came_ms or self.now, passage.lanes[-1].name
        known = self.lanes.of(name)
        known.is_recorded, known.cooled = True, self.now + round(refusal.retry_after * 1000)
        self.lanes.join(name, ticket.id, came, self.now + ticket.lease_ms)
        return msgspec.structs.replace(refusal, came_ms=came)

    def _circuits(self, hold: Hold) -> list[Breaker] | Refusal:
        known = self.breakers.get(hold.account_id)
        if known is not None and hold.secret and known.secret and known.secret != hold.secret:
            del self.breakers[hold.account_id]
        names = [name for name in (hold.account_id, *hold.circuits) if name in self.breakers]
        found = {name: self.breakers[name] for name in names if self.breakers[name].until}
        waits = {name: one.wait(self.now, hold.attempt_id, hold.early) for name, one in found.items()}
        longest = max(waits.values(), default=0)
        if not longest:
            return list(found.values())
        name = next(name for name, wait in waits.items() if wait == longest)
        return Refusal("breaker_open", longest / 1000, name, found[name].cause, found[name].told)

    def _wait(self, owner: str, limit: int) -> float:
        """Seconds until a request fits; 0 when it fits now."""
        counted = self.counted(owner)
        surplus = len(counted) - limit
        return (counted[surplus] + 60_000 - self.now) / 1000 if surplus >= 0 else 0.0

    def _budget(
        self, hold: Hold, name: str, owner: str, _: int, asked: BudgetHold | None
    ) -> tuple[int, dict[str, int]] | Refusal:
        assert asked is not None
        start, end = window_of(asked.window, self.now)
        money = self.budgets.setdefault((owner, name_of(asked.window), start), {"spent": 0, "held": 0})
        per_token, least = asked.per_output_token_nano_usd, min(1, hold.wanted_output)
        room = asked.cap_nano_usd - money["spent"] - money["held"] - asked.fixed_nano_usd
        needed = asked.fixed_nano_usd + least * per_token
        granted = min(hold.wanted_output, room // per_token) if per_token else hold.wanted_output
        if needed and (room < 0 or granted < least):
            if asked.cap_nano_usd - money["spent"] >= needed:
                return Refusal("budget_held", 1.0, level=name)
            return Refusal("budget_exhausted", max(1, end * 1000 - self.now) / 1000 if end else 0.0, level=name)
        return granted, money

    def settle(self, settlement: Settlement) -> tuple[str, bool]:
        """What became of it ("settled", "late", "unknown", "again" or "events"), and whether it cost more than held."""
        attempt, cost = settlement.attempt_id, settlement.cost_nano_usd
        result, overrun = "events", False
        if attempt:
            if attempt in self.closed:
                return "again", False
            self.closed.add(attempt)
            found = self.reservations.get(attempt)
            result = "unknown"
            if found is not None:
                held, reserved = found.state == "held", found.grant.reserved_nano_usd
                result, found.state = "settled" if held else "late", "settled"
                overrun = 0 < reserved < cost
                for money in found.money:
                    money["held"] -= reserved if held else 0
                    money["spent"] += cost if held else cost - reserved
                self.lanes.free(attempt, settlement.tokens)
                self.counts.end(attempt, held, settlement.used, cost, self.now)
        if settlement.news is not None:
            self.lanes.learn(settlement.news, self.now)
        self.outbox += settlement.events
        if settlement.if_reaped and result == "late":
            self.outbox.append(settlement.if_reaped)
        for evidence in settlement.evidence:
            self._learn(evidence, settlement)
        return result, overrun

    def _learn(self, evidence: Evidence, settlement: Settlement) -> None:
        name, outcome, cause, policy = evidence.circuit, evidence.outcome, evidence.cause, settlement.breaker
        breaker = self.breakers.get(name)
        is_open = breaker is not None and breaker.until > 0
        probe = breaker is not None and is_open and breaker.probe == settlement.attempt_id != ""
        if outcome == "cool" and policy is not None:
            told = min(round(evidence.told * 1000), policy.told_longest * 1000)
            if breaker is None or not is_open or probe:
                breaker = self.breakers.setdefault(name, Breaker())
                first, longest = policy.refused_for, policy.refused_longest
                if cause == "rate_limit":
                    first, longest = policy.limited_for, policy.limited_longest
                backoff = int(min(longest, first * 2**breaker.opened) * 1000 * (0.75 + settlement.jitter / 2))
                secret = settlement.secret if cause == "refused" else ""
                breaker.open(self.now, told or backoff, cause, told=told > 0, secret=secret)
            elif told and self.now + told > breaker.until:
                breaker.until, breaker.cause, breaker.told, breaker.secret = self.now + told, cause, True, ""
        elif breaker is not None and is_open:
            if not probe:
                return
            if outcome == "success":
                del self.breakers[name]
            elif outcome == "failure" and policy is not None:
                breaker.open(self.now, policy.open_for * 1000 * min(8, 2**breaker.opened), cause)
            else:
                breaker.probe = ""
        elif outcome == "failure" and policy is not None:
            breaker = self.breakers.setdefault(name, Breaker())
            breaker.failures = [at for at in breaker.failures if at > self.now - policy.window * 1000] + [self.now]
            if len(breaker.failures) >= policy.failures:
                breaker.open(self.now, policy.open_for * 1000, cause)

    def cleared(self, attempt_id: str, circuits: Sequence[str]) -> None:
        for name in circuits:
            breaker = self.breakers.get(name)
            if breaker is not None and breaker.until and breaker.probe == attempt_id:
                del self.breakers[name]

    def renew(self, attempt_id: str, ttl_ms: int) -> bool:
        found = self.reservations.get(attempt_id)
        if found is None or found.state != "held":
            return False
        found.expires = self.now + ttl_ms
        self.lanes.renew(attempt_id, self.now)
        self.counts.renew(attempt_id, self.now)
        return True

    def keep(self, attempts: Sequence[str]) -> None:
        for attempt in attempts:
            found = self.reservations.get(attempt)
            if found is not None and found.state == "held":
                self.lanes.renew(attempt, self.now)
                self.counts.renew(attempt, self.now)

    def reap(self) -> tuple[int, int]:
        due = [one for one in self.reservations.values() if one.state == "held" and one.expires <= self.now]
        charged = 0
        for one in sorted(due, key=lambda one: (one.expires, one.hold.attempt_id)):
            one.state = "reaped"
            self.lanes.free(one.hold.attempt_id, -1)
            self.counts.end(one.hold.attempt_id, True, None, 0, self.now)
            for money in one.money:
                money["held"] -= one.grant.reserved_nano_usd
                money["spent"] += one.grant.reserved_nano_usd
            charged += one.grant.reserved_nano_usd
            self.outbox += [with_charge(event, one.grant.reserved_nano_usd) for event in one.hold.abort_events]
        return len(due), charged

    def pick(self, wanted: Pick) -> Picked:
        cursor, counts = 0, tuple[int, ...]()
        if wanted.cursor:
            cursor = self.cursors.get(wanted.cursor, 0)
            self.cursors[wanted.cursor] = cursor + 1
        if wanted.uses:
            uses = self.uses.setdefault(wanted.uses, {})
            least = min((uses[member] for member in wanted.members if member in uses), default=0)
            counts = tuple(uses.setdefault(member, least) for member in wanted.members)
            uses[wanted.members[counts.index(min(counts))]] += 1
        warm = self.warm.get(wanted.conversation, {}) if wanted.conversation else {}
        places = [WarmPlace(place, tokens, max(0, self.now - at) / 1000) for place, (tokens, at) in warm.items()]
        return Picked(cursor, counts, tuple(places))

    def used(self, uses: str, member: str) -> None:
        known = self.uses.setdefault(uses, {})
        known[member] = known.get(member, 0) + 1

    def warmed(self, conversation: str, place: str, tokens: int) -> None:
        self.warm.setdefault(conversation, {})[place] = tokens, self.now

    def standing(self, owner: str, window: Window) -> tuple[int, int, int, int]:
        """Requests in the window, spent, held, end of the window."""
        start, end = window_of(window, self.now)
        money: dict[str, Any] = self.budgets.get((owner, name_of(window), start), {"spent": 0, "held": 0})
        return len(self.counted(owner)), money["spent"], money["held"], end

    def counted(self, owner: str) -> list[int]:
        """The requests that are in the window, each by the end of its bucket."""
        return [end for end in self.requests.get(owner, []) if end + 60_000 > self.now]

    def open_reservations(self) -> int:
        return sum(one.state == "held" for one in self.reservations.values())
