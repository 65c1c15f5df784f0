"""The ledger again, in plain Python and without a thought for speed: what the Lua scripts must agree with."""

import calendar
import datetime
from typing import Any

from omni_ledger import Evidence, Grant, Hold, Refusal, Settlement


def window_of(window: str, now_ms: int) -> tuple[int, int]:
    """Start and end in epoch seconds."""
    today = datetime.datetime.fromtimestamp(now_ms // 1000, datetime.UTC).replace(hour=0, minute=0, second=0)
    if window == "total":
        return 0, 0
    if window == "day":
        start, days = today, 1
    elif window == "week":
        start, days = today - datetime.timedelta(days=today.weekday()), 7
    else:
        start, days = today.replace(day=1), calendar.monthrange(today.year, today.month)[1]
    return int(start.timestamp()), int((start + datetime.timedelta(days=days)).timestamp())


class Reservation:
    def __init__(self, hold: Hold, grant: Grant, money: "dict[str, int] | None", expires: int) -> None:
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
    """Time in milliseconds, set by ``now``. Answers as the ledger does."""

    def __init__(self) -> None:
        self.now = 0
        self.requests: dict[str, list[int]] = {}
        self.budgets: dict[tuple[str, str, int], dict[str, int]] = {}
        self.reservations: dict[str, Reservation] = {}
        self.breakers: dict[str, Breaker] = {}
        self.outbox: list[bytes] = []

    def admit(self, hold: Hold) -> Grant | Refusal | None:
        known = self.reservations.get(hold.attempt_id)
        if known is not None:
            return known.grant if known.state == "held" else None
        refusal = self._rate(hold)
        if refusal:
            return refusal
        granted, amount, money = hold.wanted_output, 0, None
        if hold.budget is not None:
            found = self._budget(hold)
            if isinstance(found, Refusal):
                return found
            granted, amount, money = found
        probed = self._circuits(hold) if hold.breaker else []
        if isinstance(probed, Refusal):
            return probed
        for breaker in probed:
            breaker.probe, breaker.lease = hold.attempt_id, self.now + min(hold.ttl_ms, 60_000)
        if hold.count_request and hold.requests_per_minute:
            self.requests.setdefault(hold.key_id, []).append(self.now // 100 * 100 + 100)
        if money is not None:
            money["held"] += amount
        grant = Grant(granted, amount, bool(probed))
        self.reservations[hold.attempt_id] = Reservation(hold, grant, money, self.now + hold.ttl_ms)
        return grant

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

    def _rate(self, hold: Hold) -> Refusal | None:
        if not (hold.count_request and hold.requests_per_minute):
            return None
        counted = [end for end in self.requests.get(hold.key_id, []) if end + 60_000 > self.now]
        surplus = len(counted) - hold.requests_per_minute
        return Refusal("rate_limited", (counted[surplus] + 60_000 - self.now) / 1000) if surplus >= 0 else None

    def _budget(self, hold: Hold) -> tuple[int, int, dict[str, int]] | Refusal:
        asked = hold.budget
        assert asked is not None
        start, end = window_of(asked.window, self.now)
        money = self.budgets.setdefault((hold.key_id, asked.window, start), {"spent": 0, "held": 0})
        per_token, least = asked.per_output_token_nano_usd, min(1, hold.wanted_output)
        room = asked.cap_nano_usd - money["spent"] - money["held"] - asked.fixed_nano_usd
        needed = asked.fixed_nano_usd + least * per_token
        granted = min(hold.wanted_output, room // per_token) if per_token else hold.wanted_output
        if needed and (room < 0 or granted < least):
            if asked.cap_nano_usd - money["spent"] >= needed:
                return Refusal("budget_held", 1.0)
            return Refusal("budget_exhausted", (end * 1000 - self.now) / 1000 if end else 0.0)
        return granted, asked.fixed_nano_usd + granted * per_token, money

    def settle(self, settlement: Settlement) -> None:
        found = self.reservations.get(settlement.attempt_id)
        if found is None or found.state == "settled":
            return
        if found.money is not None:
            if found.state == "held":
                found.money["held"] -= found.grant.reserved_nano_usd
                found.money["spent"] += settlement.cost_nano_usd
            else:
                found.money["spent"] += settlement.cost_nano_usd - found.grant.reserved_nano_usd
        found.state = "settled"
        self.outbox += settlement.events
        for evidence in settlement.evidence:
            self._learn(evidence, settlement)

    def _learn(self, evidence: Evidence, settlement: Settlement) -> None:
        name, outcome, cause, policy = evidence.circuit, evidence.outcome, evidence.cause, settlement.breaker
        breaker = self.breakers.get(name)
        is_open = breaker is not None and breaker.until > 0
        probe = breaker is not None and is_open and breaker.probe == settlement.attempt_id
        if outcome == "cool" and policy is not None:
            told = min(int(evidence.told * 1000), policy.told_longest * 1000)
            if breaker is None or not is_open or probe:
                breaker = self.breakers.setdefault(name, Breaker())
                first, longest = policy.refused_for, policy.refused_longest
                if cause == "rate_limit":
                    first, longest = policy.limited_for, policy.limited_longest
                backoff = min(longest, first * 2**breaker.opened) * 1000  # with a jitter of 0.5, which is none
                secret = settlement.secret if cause == "refused" else ""
                breaker.open(self.now, told or backoff, cause, told=told > 0, secret=secret)
            elif self.now + told > breaker.until:
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

    def renew(self, attempt_id: str, ttl_ms: int) -> bool:
        found = self.reservations.get(attempt_id)
        if found is None or found.state != "held":
            return False
        found.expires = self.now + ttl_ms
        return True

    def reap(self) -> tuple[int, int]:
        due = [one for one in self.reservations.values() if one.state == "held" and one.expires <= self.now]
        charged = 0
        for one in sorted(due, key=lambda one: (one.expires, one.hold.attempt_id)):
            one.state = "reaped"
            if one.money is not None:
                one.money["held"] -= one.grant.reserved_nano_usd
                one.money["spent"] += one.grant.reserved_nano_usd
                charged += one.grant.reserved_nano_usd
            self.outbox += one.hold.abort_events
        return len(due), charged

    def standing(self, key_id: str, window: str) -> tuple[int, int, int, int]:
        """Requests in the window, spent, held, end of the window."""
        start, end = window_of(window, self.now)
        money: dict[str, Any] = self.budgets.get((key_id, window, start), {"spent": 0, "held": 0})
        requests = [end for end in self.requests.get(key_id, []) if end + 60_000 > self.now]
        return len(requests), money["spent"], money["held"], end

    def open_reservations(self) -> int:
        return sum(one.state == "held" for one in self.reservations.values())
