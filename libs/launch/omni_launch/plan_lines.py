"""What applying a file does, as lines for a person."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from omni_core.ports.configuration import Applied, ObjectChange

_MARKS = {"create": "+ created", "update": "~ updated", "delete": "- deleted", "adopt": "> taken over"}
_WIDTH = 80
_NOTHING = object()


def plan(changes: Iterable[ObjectChange]) -> Iterator[str]:
    """A line for each object, and beneath a change one for each field that is another then."""
    for change in changes:
        yield f"{_MARKS.get(change.action, change.action)} {change.kind}/{change.name}"
        if change.action == "update":
            before, after = (msgspec.json.decode(text) for text in (change.before, change.after))
            for path, old, new in fields(before, after):
                yield f"    {path}: {_shown(old)} → {_shown(new)}"


def summary(applied: Applied) -> str:
    """``2 created, 1 updated, 0 deleted, 5 unchanged``; what was taken over only where something was."""
    count = Counter(change.action for change in applied.changes)
    words = [f"{count[action]} {_MARKS[action][2:]}" for action in ("create", "update", "delete")]
    taken = [f"{count['adopt']} taken over"] if count["adopt"] else []
    return ", ".join([*words, *taken, f"{applied.unchanged} unchanged"])


def differences(applied: Applied) -> tuple[ObjectChange, ...]:
    """Those that make the configuration another; who manages an object is no part of it."""
    return tuple(change for change in applied.changes if change.action != "adopt")


def fields(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Each place at which two documents differ, with what is there before and after."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in {**before, **after}:
            inner = f"{path}.{key}" if path else key
            yield from fields(before.get(key, _NOTHING), after.get(key, _NOTHING), inner)
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            old, new = (items[index] if index < len(items) else _NOTHING for items in (before, after))
            yield from fields(old, new, f"{path}[{index}]")
    elif before != after:
        yield path, before, after


def _shown(value: Any) -> str:
    if value is _NOTHING:
        return "nothing"
    text = value if isinstance(value, str) and value.isprintable() and value else msgspec.json.encode(value).decode()
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
