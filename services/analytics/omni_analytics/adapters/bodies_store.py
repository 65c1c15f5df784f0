"""Kept bodies in their database: sealed on the way in, opened on the way out, gone when their time is over."""

import asyncio
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from omni_core.kept_bodies import STAGES, KeptBody
from omni_wire.errors import DependencyUnavailable

from omni_analytics.adapters.bodies_keys import BodiesKeys
from omni_analytics.adapters.bodies_tables import BodiesFile
from omni_analytics.adapters.database import SqlDatabase
from omni_analytics.domain.sealing import Chance, SealBroken, place, seal, unseal
from omni_analytics.ports import Swept

T = TypeVar("T")

_PLAIN = (
    *("request_id", "stage", "attempt", "seq", "told_id", "key_id", "provider", "model", "wire_format"),
    *("at_ms", "until_ms", "size", "redacted", "cut"),
)
_COLUMNS = (*_PLAIN, "stored", "sealed_with", "sealed")
_OVER = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[3:])
_INSERT = (
    f"INSERT INTO kept_body ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "  # noqa: S608 - names of this code
    f"ON CONFLICT (request_id, stage, attempt) DO UPDATE SET {_OVER} WHERE excluded.seq >= kept_body.seq"
)
_FOUND = "SELECT request_id FROM kept_body WHERE {0} = ?{1} ORDER BY at_ms DESC LIMIT 1"
_OF_ONE = f"SELECT {', '.join(_COLUMNS)} FROM kept_body WHERE request_id = ? AND until_ms > ?"  # noqa: S608 - as above
_EXPIRED = (
    "DELETE FROM kept_body WHERE request_id IN (SELECT request_id FROM kept_body WHERE until_ms <= ? "
    "ORDER BY until_ms LIMIT ?) AND until_ms <= ?"
)
_OLDEST = "DELETE FROM kept_body WHERE request_id IN (SELECT request_id FROM kept_body ORDER BY at_ms LIMIT ?)"
# Requests a transaction.
_AT_ONCE = 100


class SqlBodies:
    """Satisfies ``BodiesStore``: one connection, one thread. A database that was away is opened by the next call."""

    def __init__(self, database: SqlDatabase, keys: BodiesKeys, chance: Chance = os.urandom) -> None:
        self._database, self._keys, self._chance = database, keys, chance
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bodies-store")
        self._ended = False

    async def close(self) -> None:
        if not self._ended:
            self._ended = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._database.close)
        self._thread.shutdown(wait=False)

    async def store(self, bodies: Sequence[KeptBody]) -> None:
        await self._run(lambda: self._store(bodies))

    async def find(self, id_: str, key_ids: tuple[str, ...] | None, now_ms: int) -> list[KeptBody]:
        return await self._run(lambda: self._find(id_, key_ids, now_ms))

    async def forget(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        return await self._run(lambda: self._forget(id_, key_ids))

    async def sweep(self, now_ms: int, most_bytes: int) -> Swept:
        return await self._run(lambda: self._sweep(now_ms, most_bytes))

    # ---- in the store's own thread ----------------------------------------------------------------------------------

    async def _run(self, work: Callable[[], T]) -> T:
        if self._ended:
            raise DependencyUnavailable("the store of bodies is closed")

        def opened() -> T:
            if not self._database.is_open:
                self._database.open()
            return work()

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, opened)
        except self._database.failures as error:
            raise DependencyUnavailable(f"the store of bodies is not available: {type(error).__name__}") from error

    def _store(self, bodies: Sequence[KeptBody]) -> None:
        key = self._keys.first
        rows = []
        for body in bodies:
            sealed = seal(
                key, zlib.compress(body.content), place(body.request_id, body.stage, body.attempt), self._chance
            )
            plain = [int(value) if isinstance(value := getattr(body, name), bool) else value for name in _PLAIN]
            rows.append((*plain, len(sealed), key.id, sealed))
        with self._database.writing():
            self._database.executemany(_INSERT, rows)

    def _request(self, id_: str, key_ids: tuple[str, ...] | None) -> str | None:
        """By its own id, and then by what its client was told: the newest of those that may be seen."""
        among, values = ("", ()) if key_ids is None else self._database.among("key_id", key_ids)
        for column in ("request_id", "told_id"):
            found = self._database.execute(
                _FOUND.format(column, f" AND {among}" if among else ""), (id_, *values)
            ).fetchone()
            if found is not None:
                return str(found[0])
        return None

    def _find(self, id_: str, key_ids: tuple[str, ...] | None, now_ms: int) -> list[KeptBody]:
        request = self._request(id_, key_ids)
        rows = self._database.execute(_OF_ONE, (request, now_ms)).fetchall() if request is not None else []
        found = [self._opened(dict(zip(_COLUMNS, row, strict=True))) for row in rows]
        return sorted(found, key=_in_order)

    def _opened(self, row: dict[str, Any]) -> KeptBody:
        """Raises ``DependencyUnavailable`` for what does not open."""
        key = self._keys.one(row["sealed_with"])
        if key is None:
            raise DependencyUnavailable(f"the key {row['sealed_with']} that this is sealed with is not here")
        try:
            content = unseal(key, bytes(row["sealed"]), place(row["request_id"], row["stage"], row["attempt"]))
        except SealBroken as error:
            raise DependencyUnavailable(str(error)) from None
        plain = {name: row[name] for name in _PLAIN} | {name: bool(row[name]) for name in ("redacted", "cut")}
        return KeptBody(**plain, content=zlib.decompress(content))

    def _forget(self, id_: str, key_ids: tuple[str, ...] | None) -> int:
        with self._database.writing():
            request = self._request(id_, key_ids)
            if request is None:
                return 0
            gone = self._database.execute("DELETE FROM kept_body WHERE request_id = ?", (request,)).rowcount
        self._give_back()
        return gone

    def _sweep(self, now_ms: int, most_bytes: int) -> Swept:
        expired = self._deleted(_EXPIRED, (now_ms, _AT_ONCE, now_ms))
        crowded = 0
        while not expired and self._figures()[1] > most_bytes:
            if not (gone := self._deleted(_OLDEST, (_AT_ONCE,))):
                break
            crowded += gone
        if expired or crowded:
            self._give_back()
        bodies, size = self._figures()
        return Swept(expired, crowded, bodies, size, more=expired > 0)

    def _deleted(self, sql: str, values: Sequence[int]) -> int:
        with self._database.writing():
            return self._database.execute(sql, values).rowcount

    def _figures(self) -> tuple[int, int]:
        bodies, size = self._database.execute("SELECT count(*), coalesce(sum(stored), 0) FROM kept_body").fetchone()
        return int(bodies), int(size)

    def _give_back(self) -> None:
        if isinstance(self._database, BodiesFile):
            self._database.give_back()


def _in_order(body: KeptBody) -> tuple[int, int, int]:
    """As they went by: what the client asked, each attempt's two, what the client was answered."""
    number = STAGES.index(body.stage)
    return (number, 0, 0) if body.attempt == 0 else (1, body.attempt, number)
