"""``Recordings`` in Redis: ``idem:{<name>}`` and, for the cache, ``cache:{<name>}``: what ``recording.lua`` says.

An entry is a letter and what it says: ``H`` and the head, ``D`` and bytes, ``E`` and how it ended.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import copy
from pathlib import Path
from typing import Any, Final

import msgspec
from omni_core.ports.router import Head
from omni_wire.errors import GatewayError, from_kind
from redis.asyncio import Redis

from omni_router.adapters.bells import CHANNEL, Bells
from omni_router.adapters.scripts import ScriptQueue
from omni_router.ports import Ended, Entry, Found

SCRIPT: Final = Path(__file__).parent / "recording.lua"
# How long who follows a recording may take to read that it failed.
LINGER = 10.0
KEPT, CACHED = "idem:", "cache:"

_encode = msgspec.json.Encoder().encode
_head = msgspec.json.Decoder(Head).decode


class _Said(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: str = ""
    message: str = ""
    status: int = 0
    retry_after: float | None = None
    param: str | None = None
    code: str = ""
    tokens: int = 0
    nano_usd: int = 0


_said = msgspec.json.Decoder(_Said).decode


def encode_entry(entry: Entry) -> bytes:
    if isinstance(entry, bytes):
        return b"D" + entry
    if isinstance(entry, Head):
        return b"H" + _encode(entry)
    error = entry.error
    if error is None:
        return b"E" + _encode(_Said(tokens=entry.tokens, nano_usd=entry.nano_usd))
    said = _Said(error.kind, error.message, error.status, error.retry_after, error.param, error.code)
    return b"E" + _encode(said)


def decode_entry(data: bytes) -> Entry:
    kind, rest = data[:1], data[1:]
    if kind == b"D":
        return rest
    if kind == b"H":
        return _head(rest)
    said = _said(rest)
    return Ended(_raised(said) if said.kind else None, said.tokens, said.nano_usd)


def _raised(said: _Said) -> GatewayError:
    error = from_kind(
        said.kind, said.message, status=said.status or None, retry_after=said.retry_after, param=said.param,
        code=said.code or None,
    )  # fmt: skip
    error.reported = True  # by who made it
    return error


class RedisRecordings:
    """``full_at`` is the share of Redis' memory from which on no more is kept."""

    def __init__(self, redis: "Redis", router_id: str, full_at: float) -> None:
        self._scripts = ScriptQueue(redis, SCRIPT.read_text(encoding="utf-8"))
        self._bells = Bells(redis, CHANNEL + router_id)
        self._router_id = router_id
        self._full_at = str(full_at)
        self._prefix = KEPT

    def cache(self) -> "RedisRecordings":
        """The same, by the same connections, for answers that the cache has; closed with this one."""
        other = copy(self)
        other._prefix = CACHED
        return other

    async def close(self) -> None:
        await self._bells.close()
        await self._scripts.close()

    async def claim(
        self, name: str, token: str, print_: str, owner: str, lease: float, *, fresh: bool = False
    ) -> Found:  # fmt: skip
        return await self._call("claim", name, token, print_, owner, _ms(lease), _ms(lease), int(fresh))

    async def read(self, name: str) -> Found:
        return await self._call("read", name, "")

    async def look(self, name: str, token: str, seen: int, lease: float) -> Found:
        return await self._call("look", name, token, seen, _ms(lease))

    async def write(self, name: str, token: str, seen: int, entries: Sequence[Entry], seconds: float) -> Found:
        done = bool(entries) and isinstance(entries[-1], Ended)
        return await self._call(
            "write", name, token, "done" if done else "running", _ms(seconds), self._full_at, seen,
            *map(encode_entry, entries),
        )  # fmt: skip

    async def unkeep(self, name: str, token: str, seconds: float) -> None:
        await self._call("unkeep", name, token, _ms(seconds))

    async def fail(self, name: str, token: str, seen: int, entries: Sequence[Entry]) -> None:
        await self._call("fail", name, token, _ms(LINGER), seen, *map(encode_entry, entries))

    async def leave(self, name: str, token: str) -> bool:
        return (await self._call("leave", name, token, 1)).state == "running"

    async def forget(self, name: str, token: str) -> None:
        await self._call("leave", name, token, 0)

    def listening(self, name: str) -> AbstractContextManager[asyncio.Event]:
        return self._bells.listening(self._key(name))

    async def ready(self) -> None:
        await self._bells.ready()

    async def _call(self, operation: str, name: str, token: str, *arguments: str | bytes | int) -> Found:
        reply = await self._scripts.call(self._key(name), operation, token, self._router_id, *arguments)
        return _found(reply)

    def _key(self, name: str) -> str:
        return f"{self._prefix}{{{name}}}"


def _found(reply: Any) -> Found:
    state, left, attached, token, *entries = reply
    return Found(
        state.decode(), token.decode(), left / 1000, attached == 1, tuple(decode_entry(entry) for entry in entries)
    )


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
