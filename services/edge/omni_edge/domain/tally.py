"""How often somebody has come in the last minute, here and at the other edges. Pure: time is an argument.

A sliding window of two: of the minute before, as much counts as is left of it in the last sixty seconds, as if it had
come evenly. What is counted here is told to the others every second and theirs is heard in the answer, so that to let
somebody in takes no call: between two answers the others' counts are those of the last one.
"""

from collections import OrderedDict

import msgspec

WINDOW = 60.0  # seconds
_MOST = 50_000  # subjects that are remembered; those that came longest ago are forgotten first
MOST_TOLD = 1_000  # subjects a time


class Told(msgspec.Struct, frozen=True):
    """What an edge adds to the common count of ``name`` in the window ``window`` (epoch seconds / 60)."""

    name: str
    window: int
    count: int


class Heard(msgspec.Struct, frozen=True):
    """The common counts, ours among them: of the window that was told of, and of the one before."""

    count: int
    before: int


class _Subject:
    __slots__ = ("before", "count", "others", "others_before", "told", "told_before", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.count = self.before = 0  # here
        self.told = self.told_before = 0  # of these
        self.others = self.others_before = 0

    def turn(self, window: int) -> None:
        """On to a later window."""
        next_one = window == self.window + 1
        self.before, self.told_before = (self.count, self.told) if next_one else (0, 0)
        self.others_before = self.others if next_one else 0
        self.count = self.told = self.others = 0
        self.window = window


class Tally:
    """Counts of many subjects, by name. ``now`` is epoch seconds throughout."""

    def __init__(self, most: int = _MOST) -> None:
        self._subjects: OrderedDict[str, _Subject] = OrderedDict()
        self._untold: set[str] = set()
        self._most = most

    def __len__(self) -> int:
        return len(self._subjects)

    def wait(self, name: str, limit: int, now: float) -> float:
        """Seconds until ``name`` may come again, 0 for at once."""
        subject = self._subjects.get(name)
        if subject is None:
            return 0.0
        window = int(now // WINDOW)
        if subject.window != window:
            subject.turn(window)
        passed = now - window * WINDOW
        current, before = subject.count + subject.others, subject.before + subject.others_before
        if current + before * (1 - passed / WINDOW) < limit:
            return 0.0
        if current < limit:  # when so much of the minute before has slipped away
            return max(WINDOW * (1 - (limit - current) / before) - passed, 0.1)
        # The minute that runs is used up: as much of it must slip away in the next.
        return WINDOW - passed + WINDOW * (1 - limit / (current + 1))

    def count(self, name: str, now: float) -> None:
        window = int(now // WINDOW)
        subject = self._subjects.get(name)
        if subject is None:
            subject = self._subjects[name] = _Subject(window)
            if len(self._subjects) > self._most:
                forgotten, _ = self._subjects.popitem(last=False)
                self._untold.discard(forgotten)
        elif subject.window != window:
            subject.turn(window)
        self._subjects.move_to_end(name)
        subject.count += 1
        self._untold.add(name)

    def take(self, now: float) -> list[Told]:
        """What is to be told, at most ``MOST_TOLD``; it counts as told from now on."""
        window = int(now // WINDOW)
        told: list[Told] = []
        while self._untold and len(told) < MOST_TOLD:
            name = self._untold.pop()
            subject = self._subjects[name]
            if subject.window != window:
                subject.turn(window)
            if added := subject.count - subject.told:
                told.append(Told(name, window, added))
                subject.told = subject.count
        return told

    def give_back(self, told: list[Told]) -> None:
        """It was not heard: tell it again."""
        for each in told:
            subject = self._subjects.get(each.name)
            if subject is not None and subject.window == each.window:
                subject.told -= each.count
                self._untold.add(each.name)

    def hear(self, told: Told, heard: Heard) -> None:
        """What came back for ``told``."""
        subject = self._subjects.get(told.name)
        if subject is not None and subject.window == told.window:
            subject.others = max(heard.count - subject.told, 0)
            subject.others_before = max(heard.before - subject.told_before, 0)


class Running:
    """How many of somebody's run at a time, in this process."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def of(self, name: str) -> int:
        return self._counts.get(name, 0)

    def enter(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1

    def leave(self, name: str) -> None:
        left = self._counts[name] - 1
        if left:
            self._counts[name] = left
        else:
            del self._counts[name]
