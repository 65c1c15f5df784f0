"""Who comes too often: by client address, by key, and by how many wrong keys an address has tried. Pure.

What is at a time is counted in one process, what is in a minute together with the other edges (``tally``). Somebody who
is refused is not counted, so that hammering on the door does not keep it shut.
"""

from omni_catalogue.guard import Guard
from omni_wire.errors import RateLimited

from omni_edge.domain.tally import WINDOW, Heard, Running, Tally, Told

_SOON = 1.0  # seconds until somebody with too much at a time may try again
_ADDRESS, _KEY, _FAILURES = "address", "key", "failures"


class Limiter:
    """``by_address`` and ``by_key`` are whether there is anything to count by them; ``now`` is epoch seconds."""

    def __init__(self) -> None:
        self._tallies = {_ADDRESS: Tally(), _KEY: Tally(), _FAILURES: Tally()}
        self._addresses, self._keys = Running(), Running()
        self.policy = Guard()
        self.by_address = self.by_key = False

    def configure(self, policy: Guard) -> None:
        self.policy = policy
        self.by_address = bool(policy.requests or policy.concurrent)
        self.by_key = bool(policy.key_requests or policy.key_concurrent)

    def enter(self, address: str, now: float) -> None:
        """Count a request of ``address``, which is to ``leave``. Raises ``RateLimited``."""
        policy = self.policy
        if policy.concurrent and self._addresses.of(address) >= policy.concurrent:
            raise _too_many(f"This address has {policy.concurrent} requests running, as many as it may.")
        if policy.requests:
            self._count(_ADDRESS, address, policy.requests, now, "This address has sent too many requests.")
        self._addresses.enter(address)

    def leave(self, address: str) -> None:
        self._addresses.leave(address)

    def enter_key(self, key_id: str, now: float) -> None:
        """As ``enter``, for a key; then ``leave_key``."""
        policy = self.policy
        if policy.key_concurrent and self._keys.of(key_id) >= policy.key_concurrent:
            raise _too_many(f"This API key has {policy.key_concurrent} requests running, as many as it may.")
        if policy.key_requests:
            self._count(_KEY, key_id, policy.key_requests, now, "This API key has sent too many requests.")
        self._keys.enter(key_id)

    def leave_key(self, key_id: str) -> None:
        self._keys.leave(key_id)

    def check_guesses(self, address: str, now: float) -> None:
        """Whether ``address`` may try a key that nobody here knows. Raises ``RateLimited``."""
        most = self.policy.failures
        if most and (wait := self._tallies[_FAILURES].wait(address, most, now)):
            raise _too_often(_FAILURES, most, wait, "This address has tried too many wrong API keys.")

    def guessed(self, address: str, now: float) -> None:
        """It was a wrong one."""
        if self.policy.failures:
            self._tallies[_FAILURES].count(address, now)

    def _count(self, kind: str, name: str, most: int, now: float, told: str) -> None:
        tally = self._tallies[kind]
        if wait := tally.wait(name, most, now):
            raise _too_often(kind, most, wait, told)
        tally.count(name, now)

    # ---- with the other edges ---------------------------------------------------------------------------------------

    def take(self, now: float) -> dict[str, list[Told]]:
        """What the others are to be told, by kind."""
        return {kind: told for kind, tally in self._tallies.items() if (told := tally.take(now))}

    def hear(self, kind: str, told: list[Told], heard: list[Heard]) -> None:
        for each, answer in zip(told, heard, strict=True):
            self._tallies[kind].hear(each, answer)

    def give_back(self, kind: str, told: list[Told]) -> None:
        self._tallies[kind].give_back(told)


def _too_many(told: str) -> RateLimited:
    return RateLimited(told, retry_after=_SOON, code="too_many_at_a_time")


def _too_often(kind: str, most: int, wait: float, told: str) -> RateLimited:
    error = RateLimited(told, retry_after=wait)
    error.standing = (kind, most, int(WINDOW))
    return error
