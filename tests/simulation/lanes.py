"""A book of what went through each lane, kept from the operations alone, to tell where more did than its limit says."""

from collections import defaultdict
from typing import Any

from tests.simulation.verdicts import Verdicts

MINUTE = 60_000


class LaneBook:
    """``granted`` and the rest are told in the order in which the ledger did it; times in ms."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts
        self._times: dict[str, list[int]] = defaultdict(list)
        self._under_way: dict[str, dict[str, int]] = defaultdict(dict)  # attempts by the end of their reservation
        self._waiting: dict[str, dict[str, int]] = defaultdict(dict)  # tickets by when they came
        self.waited = self.served = 0

    def refused(self, passage: list[Any], result: list[Any]) -> None:
        if passage[2] and result[1] == "paced" and passage[2] not in self._waiting[result[3]]:
            self._waiting[result[3]][passage[2]] = result[7]
            self.waited += 1

    def granted(self, attempt: str, passage: list[Any], now: int, ttl: int) -> None:
        for name, requests, _, gap, at_once in passage[5]:
            times, under_way = self._times[name], self._under_way[name]
            within = sum(at > now - MINUTE for at in times) + 1
            self._check(not requests or within <= requests, name, "lets", within, "through in a minute, of", requests)
            last = times[-1] if times else now - gap
            self._check(now - last >= gap, name, "lets one through after", now - last, "ms, of", gap)
            live = sum(until > now for until in under_way.values()) + 1
            self._check(not at_once or live <= at_once, name, "has", live, "under way, of", at_once)
            times.append(now)
            under_way[attempt] = now + ttl
            if self._waiting[name].pop(passage[2], None) is not None:
                self.served += 1

    def died(self, attempts: set[str]) -> None:
        """With their router."""
        for attempt in attempts:
            self.ended(attempt)

    def renewed(self, attempt: str, until: int) -> None:
        for under_way in self._under_way.values():
            if attempt in under_way:
                under_way[attempt] = until

    def ended(self, attempt: str) -> None:
        for under_way in self._under_way.values():
            under_way.pop(attempt, None)

    def _check(self, holds: bool, *said: object) -> None:
        self._verdicts.check("lanes", holds, *said)
