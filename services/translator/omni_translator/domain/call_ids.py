"""Calls and their results, brought together in formats that need no ids for that.

Gemini and Ollama join a result to its call by name and order; ids are optional there, on either side, and some clients
give one on one side only. Every other format joins them by an id. So a call without one is given one that is made from
where it stands: the same bytes always give the same ids, a history that only grows keeps them, and whoever writes that
format again knows them by their look and leaves them out.
"""

import re
from collections import deque
from collections.abc import Iterable
from hashlib import blake2b, sha256
from typing import Final, NamedTuple

Place = tuple[int, int]  # turn, part

# Letters, digits, "_" and "-", at most 40 characters: an id every format takes.
_MADE: Final = re.compile(r"([a-z]+)-[0-9a-f]{16}-[0-9]+")
_NOTHING: Final = re.compile(r"(?!)")


def made_id(vendor: str, place: str, number: int) -> str:
    """An id for the ``number``-th nameless call of what ``place`` names (an answer's id, a turn of a request)."""
    digest = blake2b(place.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{vendor}-{digest}-{number}"


def is_made(vendor: str, call_id: str) -> bool:
    found = _MADE.fullmatch(call_id)
    return found is not None and found[1] == vendor


def fitted(call_id: str, most: int, strange: re.Pattern[str] = _NOTHING) -> str:
    """``call_id`` where a format takes ``most`` characters and none that is ``strange``; two that differ stay so."""
    plain = strange.sub("_", call_id)
    if plain == call_id and 0 < len(call_id) <= most:
        return call_id
    digest = sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[: most - 9] or 'call'}_{digest}"


class Step(NamedTuple):
    """A call, or with ``result`` the result of one; ``id`` and ``name`` are empty where there is none."""

    place: Place
    result: bool
    id: str
    name: str


class _Call:
    """A call of a history; ``known`` when its id is somebody's own."""

    __slots__ = ("answered", "id", "known", "place")

    def __init__(self, vendor: str, place: Place, call_id: str) -> None:
        self.place = place
        self.known = bool(call_id)
        self.id = call_id or made_id(vendor, f"turn {place[0]}", place[1])
        self.answered = False


class _Waiting:
    """Calls in order, from which those that wait no longer fall away at the front."""

    __slots__ = ("_all", "_nameless")

    def __init__(self) -> None:
        self._all: deque[_Call] = deque()
        self._nameless: deque[_Call] = deque()

    def add(self, call: _Call) -> None:
        self._all.append(call)
        if not call.known:
            self._nameless.append(call)

    def first(self, *, nameless: bool) -> _Call | None:
        queue = self._nameless if nameless else self._all
        while queue and (queue[0].answered or (nameless and queue[0].known)):
            queue.popleft()
        return queue[0] if queue else None


def pair(vendor: str, steps: Iterable[Step]) -> dict[Place, str]:
    """The id of every call and every result of a request, by its place.

    A result with an id belongs to the call of that id; else to the first unanswered call of its name that has none
    (which then takes the result's); a result without an id to the first unanswered call of its name, or of any when it
    names none. One that belongs to no call keeps its own id or is given one.
    """
    found: dict[Place, str] = {}
    by_id: dict[str, _Call] = {}
    by_name: dict[str, _Waiting] = {}
    in_order = _Waiting()
    for place, result, own, name in steps:
        if not result:
            made = _Call(vendor, place, own)
            by_id.setdefault(made.id, made)
            by_name.setdefault(name, _Waiting()).add(made)
            in_order.add(made)
            found[place] = made.id
            continue
        target = by_id.get(own) if own else None
        if target is None:
            waiting = by_name.get(name) if name else in_order
            target = waiting.first(nameless=bool(own)) if waiting is not None else None
        if target is None:
            found[place] = own or made_id(vendor, f"turn {place[0]}", place[1])
            continue
        target.answered = True
        if own and not target.known:
            target.id, target.known = own, True
            by_id[own] = target
            found[target.place] = own
        found[place] = target.id
    return found
