"""The ids of function calls, which Gemini often has none of.

Every other format joins a result to its call by an id; Gemini joins them by name and order, and its ids are optional
on either side (gemini-cli gives an id to the result only). So a call without an id gets one that is made here, from
where it stands: the same bytes always give the same ids, a history that only grows keeps them, and whoever writes
Gemini again knows them by their look and leaves them out.
"""

import re
from collections import deque
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

# Letters, digits, "_" and "-", at most 40 characters: an id every format takes.
_MADE: Final = re.compile(r"gemini-[0-9a-f]{16}-[0-9]+")


def made_id(place: str, number: int) -> str:
    """An id for the ``number``-th nameless call of what ``place`` names (an answer's id, a turn of a request)."""
    digest = blake2b(place.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"gemini-{digest}-{number}"


def is_made(call_id: str) -> bool:
    return _MADE.fullmatch(call_id) is not None


class _Call:
    """A call of a history; ``known`` when its id is somebody's own."""

    __slots__ = ("answered", "id", "known", "place")

    def __init__(self, place: tuple[int, int], call_id: str) -> None:
        self.place = place
        self.known = bool(call_id)
        self.id = call_id or made_id(f"turn {place[0]}", place[1])
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


def pair(contents: list[Any]) -> Mapping[tuple[int, int], str]:
    """(turn, part) -> id, of every call and every result in a request's ``contents``.

    A result with an id belongs to the call of that id; else to the first unanswered call of its name that has none
    (which then takes the result's); a result without an id to the first unanswered call of its name, or of any when it
    names none. One that belongs to no call keeps its own id or is given one.
    """
    found: dict[tuple[int, int], str] = {}
    by_id: dict[str, _Call] = {}
    by_name: dict[str, _Waiting] = {}
    in_order = _Waiting()
    for turn, content in enumerate(contents):
        for number, part in enumerate(_parts(content)):
            call, result = _member(part, "functionCall"), _member(part, "functionResponse")
            place = (turn, number)
            if call is not None:
                made = _Call(place, _text(call, "id"))
                by_id.setdefault(made.id, made)
                by_name.setdefault(_text(call, "name"), _Waiting()).add(made)
                in_order.add(made)
                found[place] = made.id
            elif result is not None:
                own, name = _text(result, "id"), _text(result, "name")
                target = by_id.get(own) if own else None
                if target is None:
                    waiting = by_name.get(name) if name else in_order
                    target = waiting.first(nameless=bool(own)) if waiting is not None else None
                if target is None:
                    found[place] = own or made_id(f"turn {turn}", number)
                    continue
                target.answered = True
                if own and not target.known:
                    target.id, target.known = own, True
                    by_id[own] = target
                    found[target.place] = own
                found[place] = target.id
    return found


def _parts(content: Any) -> list[Any]:
    parts = content.get("parts") if isinstance(content, dict) else None
    return parts if isinstance(parts, list) else [parts] if isinstance(parts, dict) else []


def _member(part: Any, name: str) -> Any:
    if not isinstance(part, dict):
        return None
    snake = "function_call" if name == "functionCall" else "function_response"
    value = part.get(name, part.get(snake))
    return value if isinstance(value, dict) else None


def _text(holder: Any, key: str) -> str:
    value = holder.get(key)
    return value if isinstance(value, str) else ""
