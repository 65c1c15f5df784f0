"""The configuration snapshot in force, as it comes over the bus, with the last good copy on disk.

A snapshot comes into force as a whole or not at all: it must be signed by auth, decode and hold together, and every
listener must be able to prepare it, before any of them switches over. One that does not pass is refused: the old one
goes on everywhere, the copy on disk stays, and ``refused`` says which one it was and why, until a good one comes. The
copy on disk is kept as it came, signature and all, and is believed for that alone.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import msgspec
from omni_catalogue.catalogue import Catalogue
from omni_catalogue.snapshot import Snapshot, decode
from omni_wire.errors import DependencyUnavailable, WireError
from prometheus_client import CollectorRegistry, Counter, Gauge

from omni_core import clock
from omni_core.bus import Bus
from omni_core.component import ConfigState
from omni_core.signatures import NotSigned, PublicKeys

log = logging.getLogger("omniroute.config")

BUCKET = "omniroute_config"
KEY = "snapshot"

# Seconds that a process which already has a copy of its own waits for a newer one before it serves.
FRESHNESS_WAIT = 1.0

PUBLISHED = f"{BUCKET}/{KEY}"  # where it comes from, as reasons name it

# Characters of a reason that go to logs, to other processes and onto a page.
MAX_REASON = 300

# Prepares a snapshot and returns what puts it into force. The first may raise, the second must not.
Switch: TypeAlias = Callable[[], None]
Listener: TypeAlias = Callable[[Snapshot], Switch]


class Refused(msgspec.Struct, frozen=True):
    """A snapshot that is not in force. Its ``revision``, or its number in the bucket where that cannot be read or is
    not to be believed."""

    revision: int
    reason: str


class ConfigMetrics:
    """Which configuration a service works with: ``omniroute_<service>_config_…``."""

    def __init__(self, service: str, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"omniroute_{service}_config_{name}", text, registry=registry)

        self.revision = gauge("revision", "Configuration revision in force.")
        self.refused = gauge("refused_revision", "Configuration revision that is refused, 0 when none is.")
        self.applied = gauge("applied_timestamp_seconds", "When the revision in force was put into force.")
        self.not_signed = Counter(
            f"omniroute_{service}_config_not_signed",
            "Configurations, published or on disk, without a signature that is believed.",
            registry=registry,
        )


class ConfigFeed:
    """Follows the published snapshot. ``cache_file`` keeps the last good one; None keeps none. ``keys`` are whose
    signatures are believed, of both."""

    def __init__(
        self, bus: Bus, cache_file: Path | None, keys: PublicKeys, metrics: ConfigMetrics | None = None
    ) -> None:
        self._bus = bus
        self._file = cache_file
        self._keys = keys
        self._metrics = metrics
        self._listeners: list[Listener] = []
        self._arrived = asyncio.Event()
        self._live = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.current: Snapshot | None = None
        self.refused: Refused | None = None

    @property
    def revision(self) -> int:
        """Of the snapshot in force; 0 before the first."""
        return self.current.revision if self.current is not None else 0

    @property
    def state(self) -> ConfigState:
        """For a component's ``config_state``."""
        refused = self.refused
        return ConfigState(self.revision, refused.revision, refused.reason) if refused else ConfigState(self.revision)

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

    def on_change(self, listener: Listener) -> None:
        """Have ``listener`` prepare every snapshot from now on, and call what it returns once all agree. At once with
        the current one, if there is one: raises what the listener raises."""
        if self.current is not None:
            listener(self.current)()
        self._listeners.append(listener)

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
                    async for number, value in values:
                        await self._take(value, number)
            except Exception:
                # A process must never go deaf to its configuration in silence.
                log.exception("following the configuration failed; trying again")
                await asyncio.sleep(1.0)

    async def _take(self, value: bytes, number: int) -> None:
        if self._offer(value, number, "published"):
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
        self._offer(value, 0, "stored")

    def _offer(self, value: bytes, number: int, origin: str) -> bool:
        """Put a snapshot into force unless it is refused; True when the bus and we agree afterwards."""
        try:
            payload = self._keys.opened(value)
        except NotSigned as error:
            return self._refuse_unsigned(number, error, origin)
        try:
            snapshot = decode(payload)
        except (WireError, RecursionError) as error:
            return self._refuse(_revision(payload) or number, str(error), origin)
        if self.current is not None and snapshot.revision < self.revision:
            return self._refuse(snapshot.revision, f"it is older than {self.revision}, which is in force", origin)
        if self.current is None or snapshot.revision > self.revision:
            try:
                Catalogue(snapshot)
                switches = [listener(snapshot) for listener in self._listeners]
            except WireError as error:
                return self._refuse(snapshot.revision, str(error), origin)
            except Exception as error:
                log.exception("configuration %d cannot be put into force", snapshot.revision)
                return self._refuse(snapshot.revision, f"it cannot be put into force ({type(error).__name__})", origin)
            self._put_in_force(snapshot, switches, origin)
        self.refused = None
        if self._metrics is not None:
            self._metrics.refused.set(0)
        return True

    def _put_in_force(self, snapshot: Snapshot, switches: list[Switch], origin: str) -> None:
        self.current = snapshot
        for switch in switches:
            try:
                switch()
            except Exception:
                # It promised not to. The others must not be left behind.
                log.exception("a listener failed to switch to configuration %d", snapshot.revision)
        if self._metrics is not None:
            self._metrics.revision.set(snapshot.revision)
            self._metrics.applied.set(clock.now_ms() / 1000)
        self._arrived.set()
        log.info("configuration %d is in force (%s)", snapshot.revision, origin)

    def _refuse_unsigned(self, number: int, error: NotSigned, origin: str) -> bool:
        if self._metrics is not None:
            self._metrics.not_signed.inc()
        if origin == "stored":
            told = f"{self._file}: {error}. Remove the file: auth's own is taken when NATS has it"
        else:
            told = f"{PUBLISHED} in NATS: {error}. auth puts its own in place again; see who else may write there"
        return self._refuse(number, told, origin)

    def _refuse(self, revision: int, reason: str, origin: str) -> bool:
        refused = Refused(revision, reason[:MAX_REASON])
        if refused != self.refused:
            text = "refused configuration %d (%s), keeping revision %d: %s"
            log.error(text, revision, origin, self.revision, refused.reason)
        self.refused = refused
        if self._metrics is not None:
            self._metrics.refused.set(revision)
        return False


class _Numbered(msgspec.Struct):
    revision: int


def _revision(value: bytes) -> int:
    """The number that a snapshot gives itself, though the rest of it cannot be read; 0 when that cannot be either."""
    try:
        return max(0, msgspec.json.decode(value, type=_Numbered).revision)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


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
