"""What the vendors' shapes have in common: the call, the uniform answer, and reading figures that cannot be trusted."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from omni_catalogue.quotas import PERCENT, SCALE, Quota
from omni_catalogue.snapshot import Account
from omni_wire.asked import Asked as Asked
from omni_wire.asked import line
from omni_wire.asked import number as number
from omni_wire.errors import WireError

# Seconds. What ends later, or ended so long ago, is no end of a window.
_LATEST, _PASSED = 400 * 86_400, 86_400
_EPOCH_MS = 1e11  # from here on a number of an epoch is of milliseconds
_MOST_ENTRIES = 200
_TEXT = 120


class UsageUnreadable(WireError):
    """An answer that is not what its vendor answers. ``wait`` are the seconds that it told to wait, 0 for none."""

    def __init__(self, message: str, *, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Window(msgspec.Struct, frozen=True):
    """``used`` of ``total`` (0: not known) ``of`` something, whole numbers as ``omni_catalogue.quotas`` has them; it
    ends at ``ends`` (epoch seconds, 0: not known). ``models`` are the ids that it is for, none for all."""

    name: str
    of: str
    used: int
    total: int
    ends: float = 0.0
    unlimited: bool = False
    models: tuple[str, ...] = ()


class Usage(msgspec.Struct, frozen=True):
    plan: str
    windows: tuple[Window, ...]
    message: str = ""


class Shape(msgspec.Struct, frozen=True):
    ask: Callable[[Quota, Account, str], Asked]
    read: Callable[[Mapping[str, Any], float], Usage]


# ---- calls ----------------------------------------------------------------------------------------------------------


def get(quota: Quota, secret: str, **headers: str) -> Asked:
    named = {name.replace("_", "-"): value for name, value in headers.items() if value}
    return Asked("GET", quota.address, {"authorization": f"Bearer {secret}", "accept": "application/json", **named})


def post(quota: Quota, secret: str, body: Mapping[str, str], **headers: str) -> Asked:
    asked = get(quota, secret, content_type="application/json", **headers)
    return Asked("POST", asked.url, asked.headers, msgspec.json.encode(body))


# ---- answers --------------------------------------------------------------------------------------------------------


def document(body: bytes) -> Mapping[str, Any]:
    """Raises ``UsageUnreadable`` for what is no JSON object."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageUnreadable("it answered something that is not JSON") from error
    if not isinstance(found, dict):
        raise UsageUnreadable("it answered JSON that is no object")
    return found


def wait_told(headers: Mapping[str, str]) -> float:
    """Of ``retry-after`` in seconds, at most a day; 0 where it says none."""
    return min(number(headers.get("retry-after")) or 0.0, 86_400.0)


def part(of: object, name: str) -> Mapping[str, Any]:
    """The object of that name in ``of``; an empty one where there is none."""
    found = of.get(name) if isinstance(of, dict) else None
    return found if isinstance(found, dict) else {}


def parts(of: object, name: str) -> Iterator[Mapping[str, Any]]:
    """The objects in the list of that name."""
    found = of.get(name) if isinstance(of, dict) else None
    for each in found[:_MOST_ENTRIES] if isinstance(found, list) else ():
        if isinstance(each, dict):
            yield each


def named(of: object, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of the object of that name, by theirs."""
    for key, each in list(part(of, name).items())[:_MOST_ENTRIES]:
        if isinstance(each, dict):
            yield key[:_TEXT], each


def text(value: object) -> str:
    """One line of it, of a bounded length; empty for anything else than a text."""
    return line(value, _TEXT)


def ends(value: object, now: float) -> float:
    """When a window ends (epoch seconds): a date, or an epoch in seconds or milliseconds; 0 where it is none, ended
    long ago, or is too far away to be one."""
    at = number(value)
    if at is not None:
        at = at / 1000 if at >= _EPOCH_MS else at
    elif isinstance(value, str):
        at = _date(value)
    return at if at is not None and now - _PASSED <= at <= now + _LATEST else 0.0


def ends_in(value: object, now: float) -> float:
    """As ``ends``, of how many seconds away it is."""
    seconds = number(value)
    return now + seconds if seconds is not None and seconds <= _LATEST else 0.0


def _date(value: str) -> float | None:
    try:
        found = datetime.fromisoformat(value.strip()[:40].replace("Z", "+00:00"))
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


# ---- windows --------------------------------------------------------------------------------------------------------


def of_percent(name: str, used: object, end: float, models: tuple[str, ...] = ()) -> Window | None:
    """Of what is ``used`` in percent; beyond a hundred it is all."""
    found = number(used)
    if found is None:
        return None
    return Window(name, "percent", round(min(found, 100.0) * SCALE["percent"]), PERCENT, end, models=models)


def of_count(
    name: str, of: str, total: object, end: float, *, used: object = None, left: object = None, unlimited: bool = False
) -> Window | None:
    """Of a ``total`` and what is ``used`` of it or ``left``; either may be missing, and so may the total where it is
    told what is used. More left than there is, is all; more used than there is, is told as it is."""
    scale = SCALE.get(of, 1)
    there, spent, rest = (number(each) for each in (total, used, left))
    if spent is None and rest is not None and there is not None:
        spent = max(0.0, there - rest)
    if spent is None and not unlimited:
        return None
    return Window(name, of, _scaled(spent, scale), _scaled(there, scale), end, unlimited)


def _scaled(value: float | None, scale: int) -> int:
    return min(round((value or 0.0) * scale), 2**53 - 1)


def only(*windows: Window | None) -> tuple[Window, ...]:
    """Those that there are, each name once."""
    return tuple({each.name: each for each in windows if each is not None}.values())
