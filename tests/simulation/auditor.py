"""Keeps books of its own of what the ledger is asked and answers, and says where the two cannot be true together."""

from collections import defaultdict
from typing import Any, NamedTuple

from omniroute_proto.events.v1 import events_pb2

from tests.simulation.lanes import LaneBook
from tests.simulation.verdicts import Verdicts
from tests.support.ledger_model import Breaker, Model

PROBE_LEASE = 60_000


class Circuit(NamedTuple):
    """A breaker at one time (ms); ``until`` 0 is closed."""

    until: int = 0
    early: int = 0
    told: bool = False
    probe: str = ""
    secret: str = ""

    @classmethod
    def of(cls, breaker: Breaker | None) -> "Circuit":
        if breaker is None:
            return _CLOSED
        return cls(breaker.until, breaker.early, breaker.told, breaker.probe, breaker.secret)


_CLOSED = Circuit()


class Attempt:
    """One that was granted. ``cost`` is what it is charged in the end, ``owners`` whose budgets it is held on."""

    def __init__(
        self, attempt_id: str, key: str, account: str, circuits: list[str], reserved: int, expires: int
    ) -> None:
        self.id, self.key, self.account, self.circuits = attempt_id, key, account, circuits
        self.reserved, self.expires = reserved, expires
        self.owners: dict[str, str] = {}  # with the window of each
        self.called = self.settled = self.released = self.reaped = False
        self.cost = 0


class Auditor:
    """``caps`` are in nano-USD, by owner."""

    def __init__(self, model: Model, verdicts: Verdicts, caps: dict[str, int]) -> None:
        self._model, self._verdicts, self._caps = model, verdicts, caps
        self.probes = self.opened = 0
        self.attempts: dict[str, Attempt] = {}
        self.requests: dict[str, str] = {}  # of attempts, by the events that are left with their holds
        self.refused: dict[str, set[str]] = defaultdict(set)  # reasons, by attempt
        self._settlements: dict[str, list[Any]] = {}
        self._admitted: dict[str, list[int]] = defaultdict(list)  # when, by owner of the rate
        self._counted: set[str] = set()  # requests
        self._failures: dict[str, list[int]] = defaultdict(list)
        self.lanes = LaneBook(verdicts)
        self._routers: dict[str, str] = {}  # of attempts
        self._probing: dict[str, tuple[str, int]] = {}  # by circuit: its probe, and how long that keeps others out

    def router_died(self, router: str) -> None:
        """What it was at has ended with it."""
        self.lanes.died({attempt for attempt, of in self._routers.items() if of == router})

    # ---- one operation ----------------------------------------------------------------------------------------------

    def before(self, operation: list[Any]) -> dict[str, Circuit]:
        """Of the circuits that it names."""
        name = operation[0]
        named: list[str] = []
        if name == "a":
            named = operation[12]
        elif name == "s":
            named = [evidence[0] for evidence in operation[3]]
        elif name == "cleared":
            named = operation[3]
        return {circuit: Circuit.of(self._model.breakers.get(circuit)) for circuit in named}

    def saw(
        self, operation: list[Any], blobs: tuple[bytes, ...], result: list[Any], before: dict[str, Circuit]
    ) -> None:
        name = operation[0]
        if name == "a":
            if operation[2] not in self.requests:
                self.requests[operation[2]] = events_pb2.Event.FromString(blobs[0]).attempt.request_id
            self._admission(operation, result, before)
        elif name == "s":
            self._settlement(operation, result, before)
        elif name == "cleared":
            self._clearing(operation, before)
        elif name == "r" and result[0]:
            self.attempts[operation[2]].expires = self._model.now + operation[3]
            self.lanes.renewed(operation[2], self._model.now + operation[3])
        elif name == "reap":
            self._reaping()
        if name in ("a", "s", "reap"):
            self._money()

    def _admission(self, operation: list[Any], result: list[Any], before: dict[str, Circuit]) -> None:
        attempt_id, now = operation[2], self._model.now
        if result[0] == "n":
            self.refused[attempt_id].add(result[1])
            if len(operation) > 17 and operation[17]:
                self.lanes.refused(operation[17], result)
        if result[0] != "g" or attempt_id in self.attempts:
            for circuit, was in before.items():
                is_now = Circuit.of(self._model.breakers.get(circuit))
                refused_before = was.secret not in ("", operation[13]) and is_now == _CLOSED
                self._check("breakers", is_now == was or refused_before, circuit, "changed with nothing granted")
            return
        granted = Attempt(attempt_id, operation[3], operation[4], operation[12], result[2], now + operation[10])
        self.attempts[attempt_id] = granted
        self._routers[attempt_id] = operation[11]
        levels = operation[15] if len(operation) > 15 else []
        if len(operation) > 17 and operation[17]:
            self.lanes.granted(attempt_id, operation[17], now, operation[10])
        for owner, budget in ((operation[3], operation[8]), *((level[0], level[2]) for level in levels)):
            if budget:
                granted.owners[owner] = budget[1]
        if operation[5]:
            self._count(attempt_id, now, [(operation[3], operation[6]), *((level[0], level[1]) for level in levels)])
        if operation[9]:
            self._passage(
                granted, bool(result[3]), operation[14] == 1, operation[13], min(operation[10], PROBE_LEASE), before
            )

    def _count(self, attempt_id: str, now: int, owners: list[tuple[str, int]]) -> None:
        request = self.requests.get(attempt_id, attempt_id)
        self._check("rates", request not in self._counted, "request", request, "was counted twice")
        self._counted.add(request)
        for owner, limit in owners:
            if limit:
                times = self._admitted[owner]
                times.append(now)
                within = sum(at > now - 60_000 for at in times)
                self._check("rates", within <= limit, owner, "has", within, "requests in a minute, of", limit)

    def _passage(
        self, granted: Attempt, probe: bool, early: bool, secret: str, lease: int, before: dict[str, Circuit]
    ) -> None:
        """Through each of its circuits, which are closed, or are to be probed now."""
        now, probed = self._model.now, False
        for circuit, was in before.items():
            is_now = Circuit.of(self._model.breakers.get(circuit))
            if was.until and was.secret and was.secret != secret and circuit == granted.account:
                continue  # it was the old secret that was refused
            if not was.until:
                self._check("breakers", not is_now.until, circuit, "opened by an admission")
                continue
            probed = True
            self.probes += 1
            due = now >= was.until or (early and not was.told and now >= was.early)
            self._check("breakers", due, circuit, "is probed", was.until - now, "ms too soon")
            other, until = self._probing.get(circuit, ("", 0))
            alone = other in ("", granted.id) or until <= now
            self._check("probes", alone, circuit, "is probed by", granted.id, "beside", other)
            self._check("probes", is_now.probe == granted.id, circuit, "does not know its probe", granted.id)
            self._probing[circuit] = granted.id, now + lease
        self._check("breakers", probed == probe, granted.id, "is told probe:", probe, "and probes:", probed)

    def _settlement(self, operation: list[Any], result: list[Any], before: dict[str, Circuit]) -> None:
        _, events, attempt_id, evidence, cost, _, policy, *_ = operation
        if attempt_id:
            self.lanes.ended(attempt_id)
            known = self._settlements.setdefault(attempt_id, operation)
            self._check("attempts", known == operation, attempt_id, "is settled twice, otherwise the second time")
            first = result[0] in ("settled", "late", "unknown")
            attempt = self.attempts.get(attempt_id)
            if attempt is not None:
                self._check("attempts", first != (attempt.settled or attempt.released), attempt_id, "settled again")
            if attempt is not None and first:
                attempt.settled, attempt.released = events > 0, events == 0
                attempt.cost = cost
                fits = not attempt.owners or cost <= attempt.reserved
                self._check("attempts", fits, attempt_id, "cost", cost, "of", attempt.reserved, "reserved")
        if result[0] != "again":
            for circuit, outcome, _, told in evidence:
                self._lesson(attempt_id, circuit, outcome, told, policy, before[circuit])
        for circuit, (probe, _) in list(self._probing.items()):
            if probe == attempt_id:
                del self._probing[circuit]

    def _lesson(self, attempt_id: str, circuit: str, outcome: str, told: int, policy: Any, was: Circuit) -> None:
        now, is_now = self._model.now, Circuit.of(self._model.breakers.get(circuit))
        probe = was.until and was.probe == attempt_id
        if outcome == "failure" and policy and not was.until:
            self._failures[circuit].append(now)
        if not was.until and is_now.until:
            recent = sum(at > now - policy[1] for at in self._failures[circuit]) if policy else 0
            enough = outcome == "cool" or (outcome == "failure" and recent >= policy[0])
            self._check("breakers", bool(policy) and enough, circuit, "opened by", outcome, "after", recent, "failures")
            self._failures[circuit].clear()
            self.opened += 1
        elif was.until and not is_now.until:
            self._check("breakers", bool(probe) and outcome == "success", circuit, "closed by", attempt_id, outcome)
        elif was.until and is_now.until != was.until:
            longer = told > 0 and is_now.until > was.until and is_now.told
            again = bool(probe) and outcome in ("failure", "cool")
            self._check("breakers", longer or again, circuit, "moved by", outcome, "of", attempt_id)
        elif probe and outcome in ("failure", "cool") and policy:
            self._check("breakers", is_now.until > now, circuit, "is not opened by its probe's", outcome)

    def _clearing(self, operation: list[Any], before: dict[str, Circuit]) -> None:
        attempt_id = operation[2]
        for circuit, was in before.items():
            if was.until and not Circuit.of(self._model.breakers.get(circuit)).until:
                self._check("breakers", was.probe == attempt_id, circuit, "cleared by", attempt_id)
                self._probing.pop(circuit, None)

    def _reaping(self) -> None:
        for attempt in self.attempts.values():
            is_due = attempt.expires <= self._model.now
            if is_due and not (attempt.settled or attempt.released or attempt.reaped):
                attempt.reaped, attempt.cost = True, attempt.reserved

    def _money(self) -> None:
        for (owner, window, start), money in self._model.budgets.items():
            spent, held = money["spent"], money["held"]
            fits = spent + held <= self._caps[owner] and held >= 0 and spent >= 0
            self._check(
                "budgets", fits, owner, window, start, "has", spent, "spent and", held, "held of", self._caps[owner]
            )

    # ---- calls and the end ------------------------------------------------------------------------------------------

    def called(self, event_id: str, account: str) -> str:
        """A provider is called; the id of the attempt that does so, or ""."""
        free = [
            attempt
            for attempt in self.attempts.values()
            if not (attempt.called or attempt.settled or attempt.released)
            and attempt.account == account
            and self.requests.get(attempt.id) == event_id
        ]
        self._check("calls", len(free) == 1, event_id, "calls", account, "with", len(free), "reservations")
        if not free:
            return ""
        free[0].called = True
        return free[0].id

    def close_books(self) -> None:
        """All is over, and the reaper has been."""
        for attempt in self.attempts.values():
            done = attempt.settled or attempt.released or attempt.reaped
            self._check("budgets", done, attempt.id, "is still held")
        self._check("budgets", self._model.open_reservations() == 0, "reservations are open")
        sums: dict[str, int] = defaultdict(int)
        for attempt in self.attempts.values():
            for owner in attempt.owners:
                sums[owner] += attempt.cost
        spent: dict[str, int] = defaultdict(int)
        for (owner, window, start), money in self._model.budgets.items():
            spent[owner] += money["spent"]
            self._check("budgets", money["held"] == 0, owner, window, start, "still holds", money["held"])
        for owner, total in spent.items():
            self._check("budgets", total == sums[owner], owner, "has spent", total, "and not", sums[owner])

    def _check(self, law: str, holds: bool, *said: object) -> None:
        self._verdicts.check(law, holds, *said)
