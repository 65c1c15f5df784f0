import asyncio

from omni_edge.server.roster import Guest, Roster
from omni_wire.errors import GatewayError

FIRST_LOOK = 0.2


class Visitor:
    def __init__(self) -> None:
        self.seat: set[Guest] = set()
        self.entered = self._now()
        self.looked: list[float] = []

    def look(self) -> None:
        self.looked.append(self._now() - self.entered)

    def interrupt(self, verdict: GatewayError) -> None: ...

    def leave(self) -> None:
        self.seat.discard(self)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def enter(roster: Roster) -> Visitor:
    visitor = Visitor()
    roster.enter(visitor)
    return visitor


async def test_who_stays_is_looked_at_once_between_half_the_time_and_all_of_it() -> None:
    roster = Roster(FIRST_LOOK)
    visitors = []
    for _ in range(6):
        visitors.append(enter(roster))
        await asyncio.sleep(FIRST_LOOK / 5)
    await asyncio.sleep(FIRST_LOOK * 2)
    for visitor in visitors:
        assert len(visitor.looked) == 1
        assert FIRST_LOOK * 0.45 <= visitor.looked[0] <= FIRST_LOOK * 2.5  # the slack is the machine's
    assert len(roster) == 6


async def test_who_has_left_is_not_looked_at() -> None:
    roster = Roster(FIRST_LOOK)
    early, later = enter(roster), enter(roster)
    early.leave()
    await asyncio.sleep(FIRST_LOOK * 0.6)
    later.leave()
    await asyncio.sleep(FIRST_LOOK)
    assert early.looked == later.looked == []
    assert len(roster) == 0


async def test_the_young_the_older_and_the_grown_are_all_on_it_and_can_leave() -> None:
    roster = Roster(FIRST_LOOK)
    grown = enter(roster)
    await asyncio.sleep(FIRST_LOOK * 1.3)
    older = enter(roster)
    await asyncio.sleep(FIRST_LOOK * 0.6)
    young = enter(roster)
    assert set(roster) == {grown, older, young}
    for visitor in (grown, older, young):
        visitor.leave()
    assert len(roster) == 0


async def test_after_a_quiet_time_the_next_is_looked_at_again() -> None:
    roster = Roster(FIRST_LOOK)
    enter(roster).leave()
    await asyncio.sleep(FIRST_LOOK * 2)
    visitor = enter(roster)
    await asyncio.sleep(FIRST_LOOK * 2)
    assert len(visitor.looked) == 1
