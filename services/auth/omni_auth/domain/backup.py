"""A backup's envelope: what is in the clear, what is checked, and when one is too old to be kept.

Bytes: a magic line, a line of JSON (``Header``), then the database, sealed with AES-256-GCM. The line of JSON is the
sealed part's associated data, so neither can be changed without the other's knowing.
"""

import hashlib
from collections.abc import Mapping

import msgspec

MAGIC = b"omniroute backup 1\n"
SUFFIX = ".backup"
REASONS = ("manual", "migration", "restore", "import")
KEY_BYTES = 32


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """``created`` in epoch ms; ``schema`` is the revision of the database; ``rows`` counts each table's; ``sha256`` is
    of the database as a SQLite file, ``key`` tells which key opens it, ``nonce`` is hexadecimal."""

    created: int
    reason: str
    schema: str
    rows: dict[str, int]
    size: int
    sha256: str
    key: str
    nonce: str


class BackupUnreadable(ValueError):
    """The message says what is wrong with it."""


def key_name(key: bytes) -> str:
    """What tells keys apart without telling them."""
    return hashlib.sha256(b"omniroute backup key\n" + key).hexdigest()[:12]


def read_key(written: str) -> bytes:
    """A key as 64 hexadecimal digits. Raises ``BackupUnreadable``."""
    try:
        key = bytes.fromhex(written.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BackupUnreadable("the backup key must be 64 hexadecimal digits (openssl rand -hex 32)")
    return key


def pack(header: Header) -> bytes:
    return MAGIC + msgspec.json.encode(header) + b"\n"


def unpack(content: bytes) -> tuple[Header, bytes, bytes]:
    """The header, the bytes it was read from, and what is sealed. Raises ``BackupUnreadable``."""
    if not content.startswith(MAGIC):
        raise BackupUnreadable("it is no backup of OmniRoute, or of a newer version")
    end = content.find(b"\n", len(MAGIC)) + 1
    try:
        header = msgspec.json.decode(content[len(MAGIC) : end], type=Header)
        bytes.fromhex(header.nonce)
    except (msgspec.MsgspecError, ValueError):
        raise BackupUnreadable("its first lines are damaged") from None
    return header, content[:end], content[end:]


def file_name(header: Header, stamp: str) -> str:
    """``stamp`` is its time as 20261129T021500123Z, by which names sort."""
    return f"{stamp}-{header.reason}{SUFFIX}"


def too_many(arrived: Mapping[str, int], keep: int) -> list[str]:
    """Those beyond the newest ``keep``, but for the latest ``keep`` that came here after a newer one: they were
    imported, to be restored. ``arrived`` has any count of time by name."""
    newest = sorted(arrived, reverse=True)
    late: list[str] = []
    for place, name in enumerate(newest):
        if any(arrived[newer] < arrived[name] for newer in newest[:place]):
            late.append(name)
    late.sort(key=lambda name: arrived[name], reverse=True)
    kept = {*newest[:keep], *late[:keep]}
    return [name for name in newest if name not in kept]
