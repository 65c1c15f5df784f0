"""The configuration snapshot in force, as it comes over the bus, with the last good copy on disk."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from omni_catalogue.snapshot import Snapshot, decode
from omni_wire.errors import DependencyUnavailable, WireError

from omni_core.bus import Bus

log = logging.getLogger("omniroute.config")

BUCKET = "omniroute_config"
KEY = "snapshot"

# Seconds that a process which already has a copy of its own waits for a newer one before it serves.
FRESHNESS_WAIT = 1.0


class ConfigFeed:
    """Follows the published snapshot. ``cache_file`` keeps the last good one; None keeps none."""

    def __init__(self, bus: Bus, cache_file: Path | None) -> None:
        self._bus = bus
        self._file = cache_file
        self._callbacks: list[Callable[[Snapshot], None]] = []
        self._arrived = asyncio.Event()
        self._live = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.current: Snapshot | None = None

    @property
    def revision(self) -> int:
        """Of the snapshot in force; 0 before the first."""
        return self.current.revision if self.current is not None else 0

    async def start(self, timeout: float) -> None:
        """Take the copy on disk, follow the bus, and wait up to ``timeout`` seconds for the first published snapshot.

        With a copy in hand at most ``FRESHNESS_WAIT``. Returns without a snapshot when none came: see ``wait``.
        """
        if self._file is not None:
            self._load(self._file)
        self._task = asyncio.get_running_loop().create_task(self._follow())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout if self.current is None else min(timeout, FRESHNESS_WAIT)):
                await self._live.wait()

    async def stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def on_change(self, callback: Callable[[Snapshot], None]) -> None:
        """Call ``callback`` with every snapshot that comes into force from now on, and at once with the current one."""
        self._callbacks.append(callback)
        if self.current is not None:
            self._call(callback, self.current)

    async def wait(self, timeout: float) -> Snapshot:
        """The snapshot in force; waits for the first. Raises ``DependencyUnavailable``."""
        try:
            async with asyncio.timeout(timeout):
                await self._arrived.wait()
        except TimeoutError:
            raise DependencyUnavailable("no configuration has been published yet") from None
        assert self.current is not None  # noqa: S101 — set before the event is
        return self.current

    async def _follow(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._bus.kv_watch(BUCKET, KEY)) as values:
                    async for value in values:
                        await self._take(value)
            except Exception:
                # A process must never go deaf to its configuration in silence.
                log.exception("following the configuration failed; trying again")
                await asyncio.sleep(1.0)

    async def _take(self, value: bytes) -> None:
        if self._offer(value, "published"):
            self._live.set()
            if self._file is not None:
                await asyncio.to_thread(_store, self._file, value)

    def _load(self, file: Path) -> None:
        try:
            value = file.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("cannot read the configuration copy on disk: %s", error.strerror)
            return
        self._offer(value, "stored")

    def _offer(self, value: bytes, origin: str) -> bool:
        """Put a snapshot into force unless it is unreadable or older; True when the bus and we agree afterwards."""
        try:
            snapshot = decode(value)
        except (WireError, RecursionError) as error:
            log.error("refused a %s configuration, keeping revision %d: %s", origin, self.revision, error)
            return False
        if self.current is not None and snapshot.revision <= self.revision:
            if snapshot.revision < self.revision:
                log.warning("ignored configuration %d, %d is in force", snapshot.revision, self.revision)
            return snapshot.revision == self.revision
        self.current = snapshot
        self._arrived.set()
        log.info("configuration %d is in force (%s)", snapshot.revision, origin)
        for callback in self._callbacks:
            self._call(callback, snapshot)
        return True

    def _call(self, callback: Callable[[Snapshot], None], snapshot: Snapshot) -> None:
        try:
            callback(snapshot)
        except Exception:
            # One listener's mistake must not keep the others, or the next revision, from coming.
            log.exception("a listener failed on configuration %d", snapshot.revision)


def _store(file: Path, value: bytes) -> None:
    """Replace the file in one step, so that a crash leaves the old copy or the new one."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(fresh, "wb", opener=_private) as out:
            out.write(value)
            out.flush()
            os.fsync(out.fileno())
        fresh.replace(file)
    except OSError as error:
        log.warning("cannot keep a copy of the configuration on disk: %s", error.strerror)
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
