"""Allowances again, in plain Python: what ``counts.lua`` must agree with. Nothing is forgotten but by its window."""

from collections.abc import Iterable

from omni_catalogue.windows import Window
from omni_ledger import AllowanceHold, Level, Refusal
from omniroute_proto.events.v1 import events_pb2

from tests.support.lanes_model import LEASE
from tests.support.windows import name_of, window_of

ROLLING = {"minute": (60, 1), "5h": (18_000, 300)}  # seconds: the window, a bucket
Place = tuple[str, str, str, int]  # owner, of, window, its start or the bucket


class Taken:
    """What one attempt has taken of one place."""

    def __init__(self, place: Place, amount: int, asked: AllowanceHold, end: int) -> None:
        self.place, self.amount, self.asked, self.end = place, amount, asked, end


class Counts:
    def __init__(self, outbox: list[bytes]) -> None:
        self.outbox = outbox
        self.told: dict[tuple[Place, int], int] = {}  # when, in seconds, by percent; of one that rolls without bucket
        self.spent: dict[Place, int] = {}
        self.held: dict[Place, int] = {}
        self.active: dict[str, dict[str, int]] = {}  # attempts of an owner by when they are taken for gone (ms)
        self.taken: dict[str, list[Taken]] = {}
        self.began: dict[tuple[str, str], int] = {}  # by owner and name: windows that begin with their first use

    def bounds(self, owner: str, window: Window, now: int) -> tuple[int, int]:
        """Of one that begins with its first use, which has not begun: as if it did now."""
        if isinstance(window, str) or len(window) != 2:
            return window_of(window, now)
        second, start = now // 1000, self.began.get((owner, window[0]), -1)
        if not start <= second < start + window[1]:
            start = second
        return start, start + window[1]

    def look(self, levels: Iterable[Level], wanted: int, now: int) -> int | Refusal:
        """The output that is granted, or the refusal with the longest wait."""
        granted, refusals = wanted, list[Refusal]()
        for level in levels:
            for asked in level.allowances:
                found = self._look(level.owner, asked, wanted, now)
                if isinstance(found, Refusal):
                    refusals.append(found)
                else:
                    granted = min(granted, found)
        if not refusals:
            return granted
        return next(
            (each for each in refusals if each.retry_after == 0), max(refusals, key=lambda one: one.retry_after)
        )

    def _look(self, owner: str, asked: AllowanceHold, wanted: int, now: int) -> int | Refusal:
        if not asked.refuses:
            return wanted
        if asked.of == "concurrent":
            if len(self.under_way(owner, now)) < asked.most:
                return wanted
            return Refusal("rate_limited", 1.0, "", asked.of, level=owner)
        least = min(1, wanted)
        need = asked.fixed + least * asked.per_output_token
        if need == 0:
            return wanted
        spent, held, end = self.standing(owner, asked.of, asked.window, now)
        if isinstance(asked.window, tuple):
            end = self.bounds(owner, asked.window, now)[1]
        room = asked.most - spent - held - asked.fixed
        granted = min(wanted, room // asked.per_output_token) if asked.per_output_token else wanted
        if room >= 0 and granted >= least:
            return granted
        what = "budget" if asked.of == "usd" else "tokens"
        if asked.most - spent >= need:
            reason = "rate_limited" if asked.of == "requests" else f"{what}_held"
            return Refusal(reason, 1.0, "", asked.of, level=owner)
        wait = max(1, end * 1000 - now) / 1000 if end else 0.0
        if name_of(asked.window) in ROLLING:
            wait = self._rolling_wait(owner, asked, need, now)
        reason = "rate_limited" if asked.of == "requests" else f"{what}_exhausted"
        return Refusal(reason, wait, "", asked.of, level=owner)

    def _rolling_wait(self, owner: str, asked: AllowanceHold, need: int, now: int) -> float:
        span, width = ROLLING[name_of(asked.window)]
        for bucket in self._buckets(owner, asked.of, name_of(asked.window), now):
            later = (bucket + width + span) * 1000
            spent, held, _ = self.standing(owner, asked.of, asked.window, later)
            if spent + held + need <= asked.most:
                return (later - now) / 1000
        return float(span + width)

    def _buckets(self, owner: str, of: str, window: str, now: int) -> list[int]:
        span, width = ROLLING[window]
        starts = {place[3] for place in (*self.spent, *self.held) if place[:3] == (owner, of, window)}
        return sorted(start for start in starts if start + width + span > now // 1000)

    def standing(self, owner: str, of: str, window: Window, now: int) -> tuple[int, int, int]:
        """Spent, held, and when it begins anew, or when the first of a window that rolls is free again."""
        if of == "concurrent":
            return 0, len(self.under_way(owner, now)), 0
        if isinstance(window, str) and window in ROLLING:
            starts = self._buckets(owner, of, window, now)
            end = starts[0] + sum(ROLLING[window]) if starts else 0
        else:
            start, end = self.bounds(owner, window, now)
            starts = [start]
            if isinstance(window, tuple) and len(window) == 2 and self.began.get((owner, window[0])) != start:
                end = 0
        places = [(owner, of, name_of(window), start) for start in starts]
        return sum(self.spent.get(each, 0) for each in places), sum(self.held.get(each, 0) for each in places), end

    @staticmethod
    def money(levels: Iterable[Level], granted: int) -> int:
        """What is held by the first that refuses by money."""
        asked = [each for level in levels for each in level.allowances if each.of == "usd" and each.refuses]
        amounts = (each.fixed + granted * each.per_output_token for each in asked)
        return next((amount for amount in amounts if amount), 0)

    @staticmethod
    def is_at_once(levels: Iterable[Level]) -> bool:
        return any(asked.of == "concurrent" for level in levels for asked in level.allowances)

    def under_way(self, owner: str, now: int) -> list[str]:
        return [attempt for attempt, end in self.active.get(owner, {}).items() if end > now]

    def take(self, levels: Iterable[Level], granted: int, wanted: int, attempt: str, expires: int, now: int) -> None:
        taken = self.taken.setdefault(attempt, [])
        for level in levels:
            for asked in level.allowances:
                if asked.of == "concurrent":
                    self.active.setdefault(level.owner, {})[attempt] = min(expires, now + LEASE)
                elif asked.fixed + min(1, wanted) * asked.per_output_token:
                    rolling = ROLLING.get(name_of(asked.window))
                    second = now // 1000
                    start = (
                        second // rolling[1] * rolling[1] if rolling else self.bounds(level.owner, asked.window, now)[0]
                    )
                    place = level.owner, asked.of, name_of(asked.window), start
                    amount = asked.fixed + granted * asked.per_output_token
                    into = self.spent if asked.of == "requests" else self.held
                    into[place] = into.get(place, 0) + amount
                    end = self.bounds(level.owner, asked.window, now)[1] if not rolling else 0
                    one = Taken(place, amount, asked, end)
                    if isinstance(asked.window, tuple) and len(asked.window) == 2:
                        self.began[level.owner, asked.window[0]] = start
                    if asked.of == "requests":
                        self._warn(one, now)
                    else:
                        taken.append(one)

    def _warn(self, taken: Taken, now: int) -> None:
        asked, (owner, of, window, start) = taken.asked, taken.place
        rolling, second = ROLLING.get(window), now // 1000
        spent = self.spent[taken.place]
        if rolling:
            spent, _, _ = self.standing(owner, of, window, now)
            start = 0
        for percent in asked.warn or ():
            mark = (owner, of, window, start), percent
            known = self.told.get(mark)
            if spent * 100 >= asked.most * percent and (
                known is None or (rolling is not None and known + sum(rolling) <= second)
            ):
                self.told[mark] = second
                limit, name, organisation = asked.limit
                news = events_pb2.LimitEvent(
                    id=f"{limit}/{of}/{window}/{second if rolling else taken.end}/{percent}",
                    at_ms=now,
                    percent=percent,
                    used=spent,
                    limit_id=limit,
                    name=name,
                    organisation=organisation,
                    of=of,
                    window=window,
                    most=asked.most,
                )
                self.outbox.append(events_pb2.Event(limit=news).SerializeToString())

    def end(self, attempt: str, held: bool, used: tuple[int, int] | None, cost: int, now: int) -> None:
        """``held`` until now, or reaped before; ``used`` None is all that was held."""
        for active in self.active.values():
            active.pop(attempt, None)
        for taken in self.taken.get(attempt, ()):
            truth = taken.amount
            if used is not None:
                truth = {"input": used[0], "output": used[1], "tokens": sum(used), "usd": cost}[taken.place[1]]
            if held:
                self.held[taken.place] -= taken.amount
            self.spent[taken.place] = self.spent.get(taken.place, 0) + truth - (0 if held else taken.amount)
            self._warn(taken, now)

    def renew(self, attempt: str, now: int) -> None:
        for active in self.active.values():
            if attempt in active:
                active[attempt] = now + LEASE
