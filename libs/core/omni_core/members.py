"""Who is there: every process announces its components in a bucket of NATS, and whoever calls them listens.

Theory of operation. A key ``<service>.<instance>`` is written again every ``EVERY`` seconds and at once when what it
says has changed; the bucket forgets it ``TTL`` seconds after the last time. Nobody is told when that happens, so a
listener keeps the time itself and, before it drops a member, asks the bucket whether the key is really gone: what it
missed, or a bucket that cannot be asked, must not cost a member. While NATS is away nobody is dropped; once it is back,
everybody has one ``TTL`` to be heard anew, also when NATS has lost its data.
"""

import asyncio
import contextlib
import logging
import random
import re
from collections.abc import Callable

import msgspec
from omni_wire.errors import DependencyUnavailable

from omni_core.bus import Bus, KvChange
from omni_core.clock import monotonic

log = logging.getLogger("omniroute.members")

BUCKET = "omniroute_members"

# Seconds.
TTL = 10.0
EVERY = 2.5
CHECK = 0.25  # between two looks for a change
RETRY = 0.5
STOP_WITHIN = 1.0

Members = dict[str, "Member"]

_FORM = re.compile(r"[a-z]+\.[A-Za-z0-9-]+")
_ADDRESS = re.compile(r"|(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One component of one process. ``address`` is the "host:port" of its gRPC listener, "" when it has none.

    ``started_ms`` is in epoch milliseconds. ``revision`` is of the configuration it works with, 0 when it follows none;
    ``refused_revision`` and ``refused_reason`` of a newer one that it would not take. ``broken_proxies`` are those that
    it leaves alone now.
    """

    service: str
    instance: str
    address: str = ""
    draining: bool = False
    started_ms: int = 0
    version: str = ""
    revision: int = 0
    refused_revision: int = 0
    refused_reason: str = ""
    broken_proxies: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.service}.{self.instance}"


class Announcer:
    """Keeps ``members()`` announced. NATS may come and go: it is tried again until ``stop``."""

    def __init__(self, bus: Bus, members: Callable[[], list[Member]]) -> None:
        self._bus = bus
        self._members = members
        self._said: list[Member] = []
        self._one_at_a_time = asyncio.Lock()  # else an older word might be stored after a newer one
        self._touched = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once; the first announcement follows as soon as NATS is there."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def touch(self) -> None:
        """Announce soon."""
        self._touched.set()

    async def now(self, timeout: float = STOP_WITHIN) -> bool:
        """Announce, and say whether NATS has it: it is not waited for longer than ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._say()
        except (DependencyUnavailable, TimeoutError):
            return False
        return True

    async def stop(self) -> None:
        """Take the announcements back, as far as NATS is there to take them. Safe when it never started."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if not self._bus.connected:
            return
        with contextlib.suppress(DependencyUnavailable, TimeoutError):
            async with asyncio.timeout(STOP_WITHIN):
                for member in self._said:
                    await self._bus.kv_delete(BUCKET, member.key)

    async def _run(self) -> None:
        while True:
            # Processes that were started together need not speak together for ever.
            pause = EVERY * random.uniform(0.8, 1.0)
            try:
                await self._say()
            except DependencyUnavailable:
                pause = RETRY
            except Exception:
                # A process must not fall silent because one announcement failed.
                log.exception("announcing this process failed; trying again")
            await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        """Until ``seconds`` are over, ``touch`` is called or there is something else to say."""
        until = monotonic() + seconds
        self._touched.clear()
        while (left := until - monotonic()) > 0 and not self._touched.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, CHECK)):
                    await self._touched.wait()
            if self._said and self._members() != self._said:
                return

    async def _say(self) -> None:
        async with self._one_at_a_time:
            members = self._members()
            for member in members:
                await self._bus.kv_put(BUCKET, member.key, msgspec.json.encode(member), ttl=TTL)
            self._said = members


class MemberFeed:
    """Who has announced itself: those of ``service``, or all. ``members`` maps "service.instance" to the member."""

    def __init__(self, bus: Bus, service: str | None, *, clock: Callable[[], float] = monotonic) -> None:
        self._bus = bus
        self._pattern = f"{service}.>" if service else ">"
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._callbacks: list[Callable[[Members], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.members: Members = {}

    async def start(self) -> None:
        """Returns at once; members come as they are heard of."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._follow()), loop.create_task(self._forget())]

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def on_change(self, callback: Callable[[Members], None]) -> None:
        """Call ``callback`` with all members, now and whenever one comes, goes, or says something new."""
        self._callbacks.append(callback)
        self._call(callback)

    async def _follow(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._bus.kv_watch_all(BUCKET, self._pattern, ttl=TTL)) as changes:
                    async for change in changes:
                        self._take(change)
            except Exception:
                # A process that cannot follow its neighbours must say so, and go on trying.
                log.exception("following the members failed; trying again")
                await asyncio.sleep(RETRY)

    def _take(self, change: KvChange | None) -> None:
        if change is None:
            self._heard = dict.fromkeys(self.members, self._clock())
        elif change.value is None:
            self._drop(change.key, "it said goodbye")
        else:
            self._hear(change.key, change.value)

    def _hear(self, key: str, value: bytes) -> None:
        try:
            member = msgspec.json.decode(value, type=Member)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("%s announced what cannot be read: %s", key, error)
            return
        if member.key != key or _FORM.fullmatch(key) is None or _ADDRESS.fullmatch(member.address) is None:
            log.warning("%r announced what no member of ours says", key[:100])
            return
        self._heard[key] = self._clock()
        before = self.members.get(key)
        if member == before:
            return
        if before is None:
            log.info("%s is there%s", key, f" at {member.address}" if member.address else "")
        self.members = self.members | {key: member}
        self._changed()

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(TTL / 10)
            if not self._bus.connected:
                self._heard = dict.fromkeys(self.members, self._clock())
                continue
            try:
                for key in overdue(self._heard, self._clock(), TTL):
                    await self._verify(key)
            except Exception:
                # As above: the list must not go stale in silence.
                log.exception("looking for members that are gone failed; trying again")

    async def _verify(self, key: str) -> None:
        """Drop a member that was not heard of for its whole time, unless the bucket knows better or cannot say."""
        heard = self._heard.get(key)
        try:
            value = await self._bus.kv_get(BUCKET, key)
        except DependencyUnavailable:
            return
        if value is not None:
            self._hear(key, value)
        elif heard == self._heard.get(key):  # else it was heard of, or NATS was lost, while we asked
            self._drop(key, "it was not heard of any more")

    def _drop(self, key: str, why: str) -> None:
        self._heard.pop(key, None)
        if key in self.members:
            log.info("%s is gone: %s", key, why)
            self.members = {other: member for other, member in self.members.items() if other != key}
            self._changed()

    def _changed(self) -> None:
        for callback in self._callbacks:
            self._call(callback)

    def _call(self, callback: Callable[[Members], None]) -> None:
        try:
            callback(self.members)
        except Exception:
            # One listener's mistake must not keep the others from hearing.
            log.exception("a listener failed on a change of members")


def overdue(heard: dict[str, float], now: float, ttl: float) -> list[str]:
    """Whose last word is older than ``ttl`` seconds."""
    return [key for key, at in heard.items() if now - at > ttl]
