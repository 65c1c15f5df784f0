"""What was checked, and what did not hold."""

from collections import Counter

# What must hold, by name.
LAWS = {
    "ends": "every request ends, in an answer or in one error, within its time",
    "budgets": "spent and held never exceed a cap, nothing stays held, and spent is the sum of all that was charged",
    "rates": "no minute holds more requests than its limit, and a request counts once",
    "lanes": "no provider, account or model is asked more often, sooner or with more at once than its rate limit says",
    "attempts": "an attempt is settled once, for no more than it had reserved, and by what its provider billed",
    "unsent": "an event tells of an attempt without a call only where it was reaped, as aborted and for nothing",
    "calls": "a provider is called by an attempt that holds its reservation, once",
    "events": "a request of a router that lives leaves one final event, which tells what its client saw",
    "breakers": "a breaker opens, is probed and closes only for the reasons that there are",
    "probes": "a circuit has one probe at a time",
    "starvation": "who may spend is answered where a candidate was well all the time",
    "text": "a client never reads a word twice, or out of turn, and a stream without error has one end",
}


class Verdicts:
    def __init__(self) -> None:
        self.checked: Counter[str] = Counter()
        self.broken: list[tuple[str, str]] = []

    def check(self, law: str, holds: bool, *said: object) -> None:
        self.checked[law] += 1
        if not holds:
            self.broken.append((law, " ".join(map(str, said))))
