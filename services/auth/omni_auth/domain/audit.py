"""The audit log: who did what to what, each entry sealed with the hash of all before it.

``hash`` is the SHA-256 of every other field, ``previous`` among them, each with its length before it: so no two entries
have the same encoding, and no byte of any can change without the chain breaking at that entry. What a chain cannot show
by itself is that its end was cut off: for that keep the last ``head`` somewhere else, and give it to ``verify``.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest

GENESIS = bytes(32)
_VERSION = b"omniroute.audit.1"
# Names of fields, whole or behind another word ("client_secret"). Others that such a word stands in are none:
# "require_api_key" and "max_tokens" say how a gateway is set up, which the log is there to show.
_SECRET = re.compile(
    r"(?!require_)(.*_)?(api_?key|private_key|secrets?|passwords?|passwd|token|digest|pepper|authorization)"
)
_SOURCES = ("env", "file", "vault")  # where a secret is may be shown, what it is may not
REDACTED = "[redacted]"
_HEAD = re.compile(r"[1-9][0-9]{0,17}:[0-9a-f]{64}")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """``at`` in epoch ms; ``target`` is "kind/id"; ``before`` and ``after`` are JSON, "null" where there is nothing.
    ``seq`` counts from 1 without gaps."""

    seq: int
    at: int
    organisation: str
    actor: str
    action: str
    target: str
    before: str
    after: str
    previous: bytes = GENESIS
    hash: bytes = b""


class Verdict(msgspec.Struct, frozen=True):
    """``entries`` good ones, the last of which is ``head`` ("seq:hash"); ``bad`` is the number of the first that is
    not, and ``why``."""

    entries: int
    head: str
    bad: int | None = None
    why: str = ""


def seal(entry: Entry, last: Entry | None) -> Entry:
    """The entry as the next of the chain."""
    previous = last.hash if last else GENESIS
    entry = msgspec.structs.replace(entry, seq=last.seq + 1 if last else 1, previous=previous)
    return msgspec.structs.replace(entry, hash=digest(entry))


def digest(entry: Entry) -> bytes:
    found = hashlib.sha256(_VERSION)
    for name in Entry.__struct_fields__:
        if name != "hash":
            value = getattr(entry, name)
            part = value if isinstance(value, bytes) else str(value).encode()
            found.update(len(part).to_bytes(8, "big") + part)
    return found.digest()


def head(entry: Entry) -> str:
    return f"{entry.seq}:{entry.hash.hex()}"


def verify(rows: Iterable[Sequence[Any]], expected: str = "") -> Verdict:
    """``rows`` are the fields of entries as they are stored, texts as bytes, in the order of ``seq``. ``expected`` is
    a head that was noted before and must still be in the chain. Raises ``InvalidRequest`` for what is none."""
    last: Entry | None = None
    if expected and not _HEAD.fullmatch(expected):
        raise InvalidRequest("head: must be what verify said before, a number and 64 hex digits", param="head")
    wanted = int(expected.partition(":")[0] or 0)
    for number, row in enumerate(rows, 1):
        try:
            values = [part.decode() if isinstance(part, bytes) else part for part in row[:-2]]
            hashes = [bytes(part) for part in row[-2:] if isinstance(part, bytes | memoryview)]
            fields = dict(zip(Entry.__struct_fields__, [*values, *hashes], strict=True))
            entry = msgspec.convert(fields, Entry)
            good = digest(entry) == entry.hash
        except (TypeError, ValueError, msgspec.ValidationError):
            return _bad(last, number, "it is not readable")
        if entry.seq != number:
            return _bad(last, number, f"it is missing; {entry.seq} is next")
        if not good:
            return _bad(last, number, "its content is not what its hash says")
        if entry.previous != (last.hash if last else GENESIS):
            return _bad(last, number, "it does not follow the one before")
        last = entry
        if number == wanted and head(entry) != expected:
            return _bad(last, number, "it is another than the one that was noted")
    if wanted > (last.seq if last else 0):
        return _bad(last, (last.seq if last else 0) + 1, f"the log ends before {wanted}, which was noted")
    return Verdict(last.seq if last else 0, head(last) if last else "")


def _bad(last: Entry | None, number: int, why: str) -> Verdict:
    return Verdict(number - 1, head(last) if last else "", number, why)


def redacted(value: Any) -> Any:
    """A document without what may be a secret, whatever its shape; where a secret comes from stays."""
    if isinstance(value, Mapping):
        return {key: _hidden(item) if _is_secret(key) else redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return REDACTED if isinstance(value, bytes) else value


def _is_secret(key: object) -> bool:
    return _SECRET.fullmatch(str(key).lower().replace("-", "_")) is not None


def _hidden(value: Any) -> Any:
    if isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in _SOURCES:
        return dict(value)
    return value if value in (None, "none", "") or isinstance(value, bool | int | float) else REDACTED
