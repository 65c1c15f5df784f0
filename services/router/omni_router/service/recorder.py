"""Makes each recorded answer once, over all routers.

Theory of operation. A name is claimed in the store: one router makes the answer, and renews its lease while it does;
the others follow it. Where the lease has run out somebody else claims it, with a token of its own, so that a maker that
was only slow writes nothing any more. Who has sent nothing of it to a client yet may do that; who has cannot go on with
another answer's bytes, and its client is told that the stream broke.

The task of a recording ends when the answer has, or when nobody wants it: no reader here, and no router that follows.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Protocol

import msgspec
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.router import CompleteCall, Frame, Head
from omni_wire.errors import DependencyUnavailable, GatewayError, Internal, StreamInterrupted

from omni_router.domain import recorded
from omni_router.ports import Ended, Entry, Found, Recordings
from omni_router.service.recording import Reader, Recording

log = logging.getLogger("omniroute.router")

Answer = Callable[[CompleteCall], AsyncGenerator[Frame, None]]
Count = Callable[[str], None]
# Why an answer may not be told later, of its head and all its bytes, in a word for ``Count``; "" where it may.
Unfit = Callable[[Head, bytes], str]

AT_ONCE = 500  # entries a write
STOP_WITHIN = 2.0  # seconds
_AGAIN_AFTER = 0.2  # seconds, when the store did not answer


class Keep(msgspec.Struct, frozen=True):
    """How an answer is recorded: for ``window`` seconds from its end, where it has no more than ``most`` bytes and is
    not ``unfit``; with ``fresh`` also where one is complete already. ``answer`` makes it where the recorder's own does
    not, ``recorded`` is told that it was."""

    window: float
    most: int
    unfit: Unfit | None = None
    fresh: bool = False
    answer: Answer | None = None
    recorded: Callable[[], Awaitable[None]] | None = None


class Bill(Protocol):
    """What an answer took, by the id of its request: asked for before it begins, and given when it has ended."""

    def expect(self, event_id: str) -> None: ...

    def of(self, event_id: str) -> Ended: ...


class Recorder:
    """``answer`` asks a provider. ``lease`` is in seconds; ``count`` is told what becomes of recordings, a word each:
    "recorded", "unkept", what ``Unfit`` says, "forgotten" (it failed, or nobody waited for it), "taken_over", "lost"
    (the store was away, or another took it over)."""

    def __init__(
        self, store: Recordings, answer: Answer, lease: float, count: Count, bill: Bill | None = None
    ) -> None:  # fmt: skip
        self._store = store
        self._answer = answer
        self._lease = lease
        self._count = count
        self._bill = bill
        self._open: dict[str, Recording] = {}
        self._tasks: dict[Recording, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._making: set[Recording] = set()

    def enter(self, call: CompleteCall, name: str, print_: str, keep: Keep) -> tuple[Recording, Reader]:
        """Read what is recorded under ``name``, or is from now on. Raises ``InvalidRequest`` where another request has
        that name here."""
        recording = self._open.get(name)
        ended = recording.ended if recording is not None else None
        if ended is not None and (keep.fresh or ended.error is not None):
            recording = None  # a failure is forgotten in the store already
        if recording is not None and recording.print != print_:
            raise recorded.reused()
        reader = Reader(call)
        if recording is None:
            recording = self._open[name] = Recording(name, print_)
            task = asyncio.get_running_loop().create_task(self._fill(recording, keep))
            self._tasks[recording] = task
            task.add_done_callback(lambda _: self._tasks.pop(recording, None))
        reader.late = recording.ended is not None
        recording.readers.append(reader)
        return recording, reader

    def leave(self, recording: Recording, reader: Reader) -> None:
        """``reader`` reads no more. What nobody reads is ended, where no other router follows it."""
        recording.readers.remove(reader)
        if recording.readers or recording.ended is not None:
            return
        self._close(recording)
        if recording in self._making:
            task = asyncio.get_running_loop().create_task(self._leave(recording))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def stop(self) -> None:
        """Keep what is complete; end all else that is made here, so that others may take it over."""
        ending = [task for recording, task in self._tasks.items() if recording.ended is not None]
        if ending:
            await asyncio.wait(ending, timeout=STOP_WITHIN)
        tasks = [*self._tasks.values(), *self._leaving]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # ---- filling ----------------------------------------------------------------------------------------------------

    async def _fill(self, recording: Recording, keep: Keep) -> None:
        try:
            again = False
            while recording.readers:
                reader, token = recording.readers[0], new_id()
                found = await self._store.claim(
                    recording.name, token, recording.print, reader.call.event_id, self._lease, fresh=keep.fresh
                )
                if found.state == "held":
                    if not recording.readers:
                        await self._store.forget(recording.name, token)
                        return
                    if again:
                        self._count("taken_over")
                    await self._make(recording, recording.readers[0], token, keep)
                elif found.state == "other":
                    recording.end(Ended(recorded.reused()))
                elif found.state == "unkept":
                    recording.unkeep()
                    recording.end(Ended(recorded.unkept()))
                else:
                    recording.complete = found.state == "done"
                    await self._follow(recording, found)
                    if recording.ended is None and recording.seen:
                        recording.end(Ended(StreamInterrupted("the router that gave this answer went away")))
                if recording.ended is not None:
                    return
                again = True
        except GatewayError as error:
            recording.away = True
            recording.end(Ended(error))
        except asyncio.CancelledError:
            recording.end(Ended(DependencyUnavailable("the router is shutting down", retry_after=1.0)))
            raise
        except Exception:
            log.exception("a recording failed")
            recording.end(Ended(Internal("something went wrong inside the gateway")))
        finally:
            self._close(recording)

    def _close(self, recording: Recording) -> None:
        """Whoever asks from now on begins with the store."""
        if self._open.get(recording.name) is recording:
            del self._open[recording.name]

    async def _follow(self, recording: Recording, found: Found) -> None:
        """Read along with who makes it, until it ends or has no maker any more."""
        store, name, token, lease = self._store, recording.name, found.token, self._lease
        _take(recording, found.entries)
        if recording.ended is not None:
            return
        heard = clock.monotonic()
        with store.listening(name) as bell:
            await store.ready()
            while recording.readers:
                bell.clear()
                try:
                    found = await store.look(name, token, recording.seen, lease)
                    heard = clock.monotonic()
                except DependencyUnavailable:
                    if clock.monotonic() > heard + lease:
                        raise
                    await asyncio.sleep(_AGAIN_AFTER)
                    continue
                _take(recording, found.entries)
                if found.state == "unkept":
                    recording.unkeep()
                    recording.end(Ended(recorded.unkept()))
                if recording.ended is not None or found.state == "gone":
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(recorded.wait_for(found.left, lease, random.random())):
                        await bell.wait()

    # ---- making -----------------------------------------------------------------------------------------------------

    async def _make(self, recording: Recording, reader: Reader, token: str, keep: Keep) -> None:
        reader.made = True
        self._making.add(recording)
        recording.token = token
        writer = _Writer(self._store, recording.name, token, self._lease)
        bill, event_id = self._bill, reader.call.event_id
        if bill is not None:
            bill.expect(event_id)
        answer = (keep.answer or self._answer)(reader.call)
        try:
            async for frame in answer:
                recording.add(frame)
                if not recording.kept:
                    await recording.read_up()
                elif recording.size > keep.most or writer.unkept:
                    recording.unkeep()
                    await writer.unkeep()
                else:
                    writer.add(frame)
        except GatewayError as error:
            await writer.fail(Ended(error))  # first, so that a client that tries again finds nothing
            recording.end(Ended(error))
            self._count("forgotten")
        except BaseException:
            await writer.forget()
            self._count("forgotten")
            raise
        else:
            ended = bill.of(event_id) if bill is not None else Ended()
            recording.end(ended)
            unfit = keep.unfit(*recording.whole()) if keep.unfit is not None and recording.kept else ""
            if unfit:
                await writer.fail(ended)
            outcome = unfit or await writer.finish(ended, keep.window)
            self._count(outcome)
            if outcome == "recorded" and keep.recorded is not None:
                await keep.recorded()
        finally:
            self._making.discard(recording)
            if bill is not None:
                bill.of(event_id)
            await answer.aclose()
            await writer.stop()

    async def _leave(self, recording: Recording) -> None:
        """Its last reader here has left while it is made: end it as soon as no router follows it."""
        while recording.ended is None and (task := self._tasks.get(recording)) is not None:
            try:
                followed = await self._store.leave(recording.name, recording.token)
            except DependencyUnavailable:
                followed = False
            if not followed:
                task.cancel()
                return
            await asyncio.sleep(self._lease / 3)


def _take(recording: Recording, entries: tuple[Entry, ...]) -> None:
    for entry in entries:
        recording.add(entry)


class _Writer:
    """Takes what is made to the store, behind the client's back: all that has come meanwhile at once, and a sign of
    life where nothing has. ``unkept`` once the store has no room."""

    def __init__(self, store: Recordings, name: str, token: str, lease: float) -> None:
        self._store = store
        self._name = name
        self._token = token
        self._lease = lease
        self._pending: list[Entry] = []
        self._written = 0
        self._lives_until = clock.monotonic() + lease
        self._wake = asyncio.Event()
        self.unkept = False
        self._lost = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    def add(self, entry: Entry) -> None:
        self._pending.append(entry)
        self._wake.set()

    async def finish(self, ended: Ended, window: float) -> str:
        """Write all that is left, and that it is all. Returns what became of it."""
        await self.stop()
        if not self.unkept:
            self._pending.append(ended)
        while self._pending and not self._lost:
            last = len(self._pending) <= AT_ONCE
            await self._write(self._pending[:AT_ONCE], window if last else self._lease)
        if self.unkept:  # for as long as it would have been kept
            with contextlib.suppress(DependencyUnavailable):
                await self._store.unkeep(self._name, self._token, window)
            return "unkept"
        return "lost" if self._lost else "recorded"

    async def unkeep(self) -> None:
        self.unkept = True
        self._pending.clear()
        with contextlib.suppress(DependencyUnavailable):
            await self._store.unkeep(self._name, self._token, self._lease)

    async def fail(self, ended: Ended) -> None:
        """Tell those who follow the rest, and nobody else."""
        await self.stop()
        with contextlib.suppress(DependencyUnavailable):
            await self._store.fail(self._name, self._token, self._written, [*self._pending, ended])

    async def forget(self) -> None:
        await self.stop()
        with contextlib.suppress(DependencyUnavailable):
            await self._store.forget(self._name, self._token)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease / 3):
                    await self._wake.wait()
            self._wake.clear()
            while not self._lost:
                await self._write(self._pending[:AT_ONCE], self._lease)
                if not self._pending:
                    break

    async def _write(self, entries: list[Entry], seconds: float) -> None:
        try:
            if self.unkept:
                await self._store.unkeep(self._name, self._token, seconds)
                self._lives_until = clock.monotonic() + self._lease
                return
            found = await self._store.write(self._name, self._token, self._written, entries, seconds)
        except DependencyUnavailable:
            if clock.monotonic() > self._lives_until:
                self._lost = True  # by now it may be made elsewhere
                log.warning("a recorded answer is lost: the store is away")
            else:
                await asyncio.sleep(_AGAIN_AFTER)
            return
        self._lives_until = clock.monotonic() + self._lease
        if found.state == "unkept":
            self.unkept = True
            self._pending.clear()
        elif found.state == "gone":
            self._lost = True
        else:
            self._written += len(entries)
            del self._pending[: len(entries)]
