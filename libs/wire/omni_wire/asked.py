"""A call to somebody's HTTP API, and figures and words of an answer that need not be what it should."""

from collections.abc import Mapping
from math import isfinite

import msgspec

MOST = 1e15  # nobody gives more of anything


class Asked(msgspec.Struct, frozen=True):
    """What is to be sent. URL, headers and body may hold secrets, and are in no repr."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Asked({self.method})"


def number(value: object) -> float | None:
    """A figure that can be one, whether it is written as a number or a text; not NaN, not negative, nothing absurd."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if isfinite(found) and 0 <= found <= MOST else None


def line(value: object, most: int) -> str:
    """One line of a text, of at most so many characters; empty for anything else."""
    if not isinstance(value, str):
        return ""
    return " ".join("".join(char if char.isprintable() else " " for char in value[: 4 * most]).split())[:most]
