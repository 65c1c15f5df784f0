"""An append-only file of what this process would need to know, should it be killed.

A record is the length of its payload, the CRC-32 of it (both 32 bits, little-endian) and the payload, msgpack; a
length of 0 is the end. The file is mapped into memory, so that a record costs no call of the system: what is stored
there is the kernel's, as what is written is, and outlives the process, though not the machine unless it is ``synced``.
A record's head is stored after its payload, so a process that is killed meanwhile leaves none. The room is allocated
beforehand, as a store for which the disk has none would end the process.

The first record, "b", says in which life of the machine it was written, so that a reader knows whether something may be
missing. Who has the file open holds a lock on it (flock), which ends with the process: a file that nobody has locked
was left behind.
"""

import asyncio
import fcntl
import logging
import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
from omni_core.ids import new_id

SUFFIX = ".journal"
ROOM = 4 * 1024 * 1024
MAX_RECORD = 32 * 1024 * 1024
_HEAD = struct.Struct("<II")

log = logging.getLogger("omniroute.ledger")

Record = tuple[Any, ...]
_encode = msgspec.msgpack.Encoder().encode
_put_head = _HEAD.pack_into
_decode = msgspec.msgpack.Decoder().decode


def life_of_machine() -> str:
    """Another after each boot (proc(5), random/boot_id), "" where nobody knows."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def framed(record: Record) -> bytes:
    payload = _encode(record)
    return _HEAD.pack(len(payload), crc32(payload)) + payload


class Read(msgspec.Struct):
    """What a journal says: ``records``, and ``bad`` bytes that are none; what a killed process had only begun to write
    is neither."""

    records: list[list[Any]]
    bad: list[bytes]

    def is_whole(self, life: str) -> bool:
        """Whether nothing is missing that its process had written, in a machine that is in this ``life``."""
        return bool(life and not self.bad and self.records and list(self.records[0]) == ["b", life])


def read(data: bytes) -> Read:
    """Every record that is whole; also those behind one that is not, as long as its length can be believed."""
    found, at = Read([], []), 0
    while at < len(data):
        head = data[at : at + _HEAD.size]
        size, crc = _HEAD.unpack(head) if len(head) == _HEAD.size else (len(data), 0)
        if size == 0:
            break
        payload = data[at + _HEAD.size : at + _HEAD.size + size]
        if len(head) < _HEAD.size or (len(payload) < size <= MAX_RECORD):
            break
        if size > MAX_RECORD:  # no length: what follows cannot be told apart
            found.bad.append(data[at:])
            break
        whole = crc32(payload) == crc
        try:
            record = _decode(payload) if whole else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            record = None
        if isinstance(record, list) and record:
            found.records.append(record)
        else:
            found.bad.append(data[at : at + _HEAD.size + size])
        at += _HEAD.size + size
    return found


class Journal:
    """This process' own, in ``folder``. After an ``OSError`` (a full disk) it is ``broken`` and takes nothing more.

    ``synced`` is whether writes are brought to the disk, in groups.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.broken = False
        self.synced = False
        self._path = folder / f"{name}-{new_id()}{SUFFIX}"
        self._syncing: asyncio.Task[None] | None = None
        self._unsynced = False
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._first = framed(("b", life_of_machine()))
        self._file, self._map = _made(self._path, self._first)
        self._at, self._room, self._rewrite_at = len(self._first), len(self._map), ROOM

    def write(self, *record: Any) -> None:
        """Append a record. Raises nothing: who needs to know looks at ``broken``."""
        if self.broken:
            return
        payload = _encode(record)
        start, size = self._at, len(payload)
        end = start + 8 + size
        if end + 8 > self._room and not self._grow(end):
            return
        mapped = self._map
        mapped[start + 8 : end] = payload
        _put_head(mapped, start, size, crc32(payload))
        self._at = end
        if self.synced:
            self._sync_soon()

    @property
    def is_large(self) -> bool:
        """Whether most of it may be past: time for ``rewrite``."""
        is_syncing = self._syncing is not None and not self._syncing.done()  # of the file that would be closed
        return self._at > self._rewrite_at and not self.synced and not is_syncing

    def rewrite(self, records: Iterable[Record]) -> None:
        """Keep only these, which are all that matter."""
        data = b"".join((self._first, *map(framed, records)))
        try:
            file, mapped = _made(self._path, data)
        except OSError as error:
            self._broke(error)
            return
        self._map.close()
        os.close(self._file)
        self._file, self._map, self._at, self._room = file, mapped, len(data), len(mapped)
        self._rewrite_at = max(ROOM, 4 * len(data))

    def _grow(self, end: int) -> bool:
        size = end + max(ROOM, len(self._map))
        try:
            os.posix_fallocate(self._file, 0, size)
            self._map.resize(size)
            self._room = size
        except OSError as error:
            self._broke(error)
            return False
        return True

    async def close(self, *, remove: bool) -> None:
        if self._syncing is not None:
            await asyncio.gather(self._syncing, return_exceptions=True)
        if remove:
            self._path.unlink(missing_ok=True)
        self.broken = True
        self._map.close()
        os.close(self._file)

    def _sync_soon(self) -> None:
        self._unsynced = True
        if self._syncing is None or self._syncing.done():
            self._syncing = asyncio.get_running_loop().create_task(self._sync(), name="ledger-journal")

    async def _sync(self) -> None:
        while self._unsynced and not self.broken:
            self._unsynced = False
            try:
                await asyncio.to_thread(os.fsync, self._file)
            except OSError as error:
                self._broke(error)

    def _broke(self, error: OSError) -> None:
        self.broken = True
        log.error("the journal cannot be written", extra={"fields": {"error": error.strerror or str(error)}})


class Left:
    """A journal that a process left behind, locked for us until ``close``."""

    def __init__(self, path: Path, file: int) -> None:
        self.path, self._file = path, file

    def read(self) -> Read:
        """Moves what cannot be read aside, to ``<name>.bad``. Raises ``OSError``."""
        found = read(self.path.read_bytes())
        if found.bad:
            with self.path.with_suffix(".bad").open("ab") as aside:
                aside.write(b"".join(found.bad))
        return found

    def close(self, *, remove: bool) -> None:
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._file)


def left_in(folder: Path) -> Iterator[Left]:
    """Those of processes that are gone. Each is locked, so that of several that look only one has it."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            file = os.open(path, os.O_RDWR)
        except OSError:
            continue  # another has just removed it
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(file), path.stat())
        except OSError:
            is_there = False  # locked by who has it, or removed by who had it
        if is_there:
            yield Left(path, file)
        else:
            os.close(file)


def _made(path: Path, data: bytes) -> tuple[int, mmap.mmap]:
    """A file with ``data``, and room for more, in the place of what was there: locked before it has its name, so that
    nobody takes it for one that was left behind. Raises ``OSError``."""
    fresh = path.with_suffix(".new")
    file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        size = ROOM + 4 * len(data)
        os.posix_fallocate(file, 0, size)
        mapped = mmap.mmap(file, size)
        mapped[: len(data)] = data
        fresh.rename(path)
    except OSError:
        os.close(file)
        raise
    return file, mapped
