"""Values as they stand in a statement of ClickHouse. Pure."""

import re
from typing import Any

_MOST = 2**63 - 1
_ESCAPES = {ord(char): f"\\{name}" for char, name in (("\\", "\\"), ("'", "'"), ("\0", "0"), ("\n", "n"), ("\r", "r"))}

# Of bytes what does not stand for itself.
_RAW = re.compile(rb"[^ -&(-\[\]-~]")


def _hex(found: re.Match[bytes]) -> bytes:
    return b"\\x%02x" % found[0][0]


def quoted(text: str) -> str:
    return f"'{text.translate(_ESCAPES)}'"


def literal(value: Any) -> str:
    """A list is what something may be one of, a tuple an array, or with others in a list a tuple. Raises
    ``OverflowError`` for a number of more than 64 bits, ``TypeError`` for what has no place in a table."""
    match value:
        case str():
            return quoted(value)
        case int():  # and truth, as 0 or 1
            if not -_MOST - 1 <= value <= _MOST:
                raise OverflowError("a number is too large")
            return str(int(value))
        case bytes():
            return f"'{_RAW.sub(_hex, value).decode('ascii')}'"
        case tuple():
            return f"[{', '.join(map(literal, value))}]"
        case list():
            found = [
                f"({', '.join(map(literal, each))})" if isinstance(each, tuple) else literal(each) for each in value
            ]
            return f"({', '.join(found or ['NULL'])})"
    raise TypeError(f"no literal of {type(value).__name__}")


def _one(value: Any) -> str:
    return f"({', '.join(map(literal, value))})" if isinstance(value, tuple) else literal(value)
