"""The script: what a request asks the simulator to play. The grammar is described in the package's docstring."""

from functools import lru_cache
from typing import Any, get_args
from urllib.parse import unquote

import msgspec
from omni_wire.errors import InvalidRequest


class Script(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """One field a key; ``None`` and ``False`` mean that the step was not given. Times are milliseconds, but
    ``retry_after`` is seconds."""

    tokens: int | None = None
    say: str | None = None
    recount: bool = False
    think: int | None = None
    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    tools: bool = False
    parallel: int | None = None
    agent: bool = False
    file: str | None = None
    content: str | None = None
    finish: str | None = None
    no_usage: bool = False
    cite: int | None = None
    quota: int | None = None
    quota_left: int | None = None
    plan: int | None = None
    plan_for: int | None = None
    rpm: int | None = None
    at_once: int | None = None

    latency: int | None = None
    ttft: int | None = None
    tps: int | None = None
    split_utf8: bool = False
    drip: int | None = None

    status: int | None = None
    retry_after: int | None = None
    code: str | None = None
    html: bool = False
    hang: bool = False
    reset: bool = False
    empty: bool = False
    error_200: bool = False
    html_200: bool = False
    type: str | None = None
    cut: int | None = None
    cut_in: str | None = None
    clean_cut: int | None = None
    stall: int | None = None
    stall_ms: int | None = None
    malformed: int | None = None
    error_event: int | None = None
    truncate: bool = False

    fail_first: int | None = None
    fail_every: int | None = None
    only_key: str | None = None
    require_key: str | None = None

    @property
    def calm(self) -> bool:
        """True when the answer can be written at once and whole."""
        given = (getattr(self, name) for name in _UNCALM)
        return all(value is None or value is False for value in given)  # 0 is a value: cut:0

    @property
    def selective(self) -> bool:
        """True when the faults hit some requests only."""
        return self.fail_first is not None or self.fail_every is not None or self.only_key is not None


_PACE = ("latency", "ttft", "tps", "split_utf8", "drip")
_FAULTS = (
    "status",
    "hang",
    "reset",
    "empty",
    "error_200",
    "html_200",
    "type",
    "cut",
    "cut_in",
    "clean_cut",
    "stall",
    "malformed",
    "error_event",
    "truncate",
)
_GATES = ("fail_first", "fail_every", "only_key", "require_key", "rpm", "at_once")
_UNCALM = (*_PACE, *_FAULTS, *_GATES)

_AFTER = 3
_DEFAULTS = {
    "think": 8,
    "cite": 2,
    "cut": _AFTER,
    "clean-cut": _AFTER,
    "stall": _AFTER,
    "malformed": _AFTER,
    "error-event": _AFTER,
}
_BOUNDS = {
    "tokens": (0, 200_000),
    "think": (0, 200_000),
    "parallel": (1, 64),
    "cite": (1, 64),
    "quota": (1, 1_000_000_000),
    "plan": (1, 1_000_000_000),
    "plan-for": (1, 604_800),
    "at-once": (1, 1_000_000),
    "tps": (1, 1_000_000),
    "status": (400, 599),
    "latency": (0, 3_600_000),
    "ttft": (0, 3_600_000),
    "stall-ms": (0, 3_600_000),
    "drip": (0, 3_600_000),
    "fail-every": (1, 1_000_000),
}
_ANY_COUNT = (0, 1_000_000_000)
_FINISHES = ("length", "filter")


def _field_type(annotation: Any) -> type:
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)] or [annotation]
    found: type = kinds[0]
    return found


_KEYS: dict[str, tuple[str, type]] = {
    field.encode_name: (field.name, _field_type(field.type)) for field in msgspec.structs.fields(Script)
}


@lru_cache(maxsize=4096)
def read_script(default: str, model: str, header: str) -> Script:
    """The script of one request; of the three sources a later one wins.

    Raises ``InvalidRequest`` for a step outside the grammar.
    """
    values: dict[str, Any] = {}
    for source in (default, model.partition("+")[2], header):
        for step in source.replace(",", "+").split("+"):
            if step.strip(" "):
                name, value = _read_step(step.strip(" "))
                values[name] = value
    return Script(**values)


@lru_cache(maxsize=4096)
def without_faults(script: Script) -> Script:
    """The same request on a good day."""
    return msgspec.structs.replace(script, **{name: _default(name) for name in _FAULTS})


def _default(name: str) -> bool | None:
    return False if _KEYS[name.replace("_", "-")][1] is bool else None


def _read_step(step: str) -> tuple[str, Any]:
    key, colon, raw = step.partition(":")
    if key not in _KEYS:
        raise InvalidRequest(f"the script has no step {key!r}; known: {', '.join(sorted(_KEYS))}", param="model")
    name, kind = _KEYS[key]
    if kind is bool:
        if colon:
            raise InvalidRequest(f"the step {key!r} takes no value", param="model")
        return name, True
    if kind is str:
        text = unquote(raw)
        if not colon or (key == "finish" and text not in _FINISHES):
            raise InvalidRequest(f"the step {key!r} needs a value{_one_of(key)}", param="model")
        return name, text
    if not colon and key in _DEFAULTS:
        return name, _DEFAULTS[key]
    low, high = _BOUNDS.get(key, _ANY_COUNT)
    if not (raw.isascii() and raw.isdecimal() and len(raw) < 12 and low <= int(raw) <= high):
        raise InvalidRequest(f"the step {key!r} needs a number from {low} to {high}", param="model")
    return name, int(raw)


def _one_of(key: str) -> str:
    return f": {' or '.join(_FINISHES)}" if key == "finish" else ""
