"""Which member a call goes to, as pure functions: chance is passed in."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol, TypeVar

from omni_core.settings import DISCOVER

# Seconds that a member is left alone after its first, second, … failure without a success in between.
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0


class Busy(Protocol):
    in_flight: int


class Seated(Protocol):
    draining: bool
    ejected: bool


B = TypeVar("B", bound=Busy)
S = TypeVar("S", bound=Seated)


def of_two(members: Sequence[B], chance: Callable[[], float]) -> B:
    """The less busy of two chosen by chance: spreads nearly as well as looking at all, and does not send everybody to
    the same one. ``members`` is not empty; ``chance`` gives numbers in [0, 1)."""
    count = len(members)
    if count == 1:
        return members[0]
    first = int(chance() * count)
    second = int(chance() * (count - 1))
    if second >= first:
        second += 1
    one, other = members[first], members[second]
    return one if one.in_flight <= other.in_flight else other


def usable(members: Iterable[S]) -> list[S]:
    """Those that may be given a call. One that is draining only where there is nothing else."""
    reachable = [member for member in members if not member.ejected]
    return [member for member in reachable if not member.draining] or reachable


def untried(members: Sequence[S], tried: Collection[S]) -> Sequence[S]:
    """Those that this call has not been to; all, when it has been to each."""
    return [member for member in members if member not in tried] or members


def pause(failures: int) -> float:
    """Seconds to leave a member alone after ``failures`` (from 1) in a row."""
    return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE)


def addresses(setting: str) -> tuple[str, ...]:
    """The addresses a setting names: "host:port", several with commas, or a "dns:" target; () for "discover".

    Raises ``ValueError`` for what is none of these.
    """
    if setting.strip() == DISCOVER:
        return ()
    found = tuple(part.strip() for part in setting.split(","))
    for address in found:
        host, _, port = address.rpartition(":")
        if not host or not (port.isascii() and port.isdigit()):
            raise ValueError(f"'{address}' is no host:port, dns:///name:port or '{DISCOVER}'")
    return found
