"""What a killed router's journal says is done for it: settled by the truth where that was known, else charged in full.

Records are, by their first field: "o" a slice begins (its id, its key); "n" an attempt is paid from it (slice, attempt,
amounts, events of who aborts); "s" it has ended (attempt, what it came to, events); "f" a word is said of a slice
(number, how many ended attempts are in it, what is given back, whether it closes) and "k" was heard; "c" a slice is
over. A journal that was rewritten has "q" (slice, number of the last word heard) and "p" (slice, amounts, truth,
events) for an attempt that ended. "b" begins it. "w" is an operation that waits for Redis (number, itself), and "d"
that it was done.

Where something may be missing (a record is damaged, or the machine has been off and what it had not written is gone)
nothing is given back: an attempt may have been paid from it. The reaper then charges what is left of the slice.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from omni_core.events import charged_event
from omni_wire.errors import DependencyUnavailable, Internal

from omni_ledger import operations
from omni_ledger.batcher import Batcher
from omni_ledger.journal import Left, left_in, life_of_machine
from omni_ledger.leases import MAX_WORD, NOTHING, summed
from omni_ledger.metrics import LeaseMetrics
from omni_ledger.operations import Operation

AGAIN_AFTER = 30.0
REAPED_AFTER_MS = 1000

log = logging.getLogger("omniroute.ledger")

_Ended = tuple[Sequence[int], Sequence[int], Sequence[bytes]]


class _Slice:
    def __init__(self, key: str) -> None:
        self.key = key
        self.heard = 0
        self.pending: list[_Ended] = []
        self.flight: tuple[int, list[_Ended], Sequence[int], bool] | None = None


class Found(msgspec.Struct):
    """``operations`` in the order in which they must be done; ``settled`` and ``aborted`` attempts are in them."""

    operations: list[Operation]
    settled: int = 0
    aborted: int = 0


def recover(records: Iterable[Sequence[Any]], router_id: str, *, is_whole: bool) -> Found:
    """What is to be done for it, in the name of ``router_id``. Pure."""
    slices: dict[str, _Slice] = {}
    attempts: dict[str, tuple[str, Sequence[int], Sequence[bytes]]] = {}
    waiting: dict[int, Operation] = {}
    found = Found([])
    for kind, name, *rest in records:
        part = slices.get(name) if kind in "qpfk" else None
        if kind == "o":
            slices[name] = _Slice(rest[0])
        elif kind == "n":
            attempts[rest[0]] = name, rest[1], rest[2]
        elif kind == "s":
            _end(name, rest, slices, attempts, found, router_id)
        elif kind == "c":
            slices.pop(name, None)
        elif kind == "w":
            waiting[name] = rest[0]
        elif kind == "d":
            waiting.pop(name, None)
        elif part is not None:
            _follow(part, kind, rest)
    for name, amounts, events in attempts.values():
        if name in slices:
            told = [charged_event(event, amounts[4]) for event in events]
            slices[name].pending.append((amounts, amounts, told))
            found.aborted += 1
    found.operations += waiting.values()
    for name, part in slices.items():
        found.operations += _words((name, router_id, part.key), part, is_whole)
        found.settled += len(part.pending) + (len(part.flight[1]) if part.flight is not None else 0)
    found.settled -= found.aborted
    return found


def _end(
    attempt: str,
    rest: Sequence[Any],
    slices: dict[str, _Slice],
    attempts: dict[str, tuple[str, Sequence[int], Sequence[bytes]]],
    found: Found,
    router_id: str,
) -> None:
    truth, events = rest
    name, amounts, _ = attempts.pop(attempt, ("", NOTHING, ()))
    if name in slices:
        slices[name].pending.append((amounts, truth, events))
    elif events:  # what was noted of it is lost: at least it is told
        found.operations.append(operations.told(events, router_id))


def _follow(part: _Slice, kind: str, rest: Sequence[Any]) -> None:
    if kind == "q":
        part.heard = rest[0]
    elif kind == "p":
        part.pending.append((rest[0], rest[1], rest[2]))
    elif kind == "f":
        seq, count, back, closes = rest
        part.flight = seq, part.pending[:count], back, closes
        part.pending = part.pending[count:]
    else:
        part.heard, part.flight = rest[0], None


def _words(name: tuple[str, str, str], part: _Slice, is_whole: bool) -> list[Operation]:
    said = []
    seq = part.heard
    if part.flight is not None:  # it may have been heard: then it changes nothing
        seq, ended, back, closes = part.flight
        said.append(_word(name, seq, ended, back, closes))
    rest = [part.pending[at : at + MAX_WORD] for at in range(0, len(part.pending), MAX_WORD)] or [[]]
    for at, ended in enumerate(rest, 1):
        said.append(_word(name, seq + at, ended, NOTHING, is_whole and at == len(rest)))
    return said


def _word(
    name: tuple[str, str, str], seq: int, ended: Sequence[_Ended], back: Sequence[int], closes: bool
) -> Operation:
    return operations.lease(
        name,
        seq,
        REAPED_AFTER_MS,
        moved=(summed([one[0] for one in ended]), summed([one[1] for one in ended]), back),
        wanted=NOTHING,
        least=NOTHING,
        events=[event for one in ended for event in one[2]],
        closes=closes,
    )


class Recovery:
    """Looks for what others left in ``folder``, at the start and now and then: a neighbour may die later."""

    def __init__(self, folder: Path, router_id: str, batcher: Batcher, metrics: LeaseMetrics) -> None:
        self._folder, self._router_id = folder, router_id
        self._batcher, self._metrics = batcher, metrics
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger-recovery")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                for each in left_in(self._folder):
                    await self._settle(each)
            except OSError as error:
                log.exception("journals cannot be read", extra={"fields": {"error": error.strerror}})
            await asyncio.sleep(AGAIN_AFTER)

    async def _settle(self, left: Left) -> None:
        is_done = False
        try:
            read = left.read()
            if read.bad:
                self._metrics.bad_records.inc(len(read.bad))
                log.error(
                    "a journal has records that are damaged",
                    extra={"fields": {"records": len(read.bad), "file": left.path.with_suffix(".bad").name}},
                )
            found = recover(read.records, self._router_id, is_whole=read.is_whole(life_of_machine()))
            answers = [self._batcher.keep(each, wait=True).answer() for each in found.operations]
            for answer in await asyncio.gather(*answers, return_exceptions=True):
                if isinstance(answer, BaseException) and not isinstance(answer, Internal):
                    raise answer
            is_done = True
            self._metrics.recovered.labels("settled").inc(found.settled)
            self._metrics.recovered.labels("aborted").inc(found.aborted)
            if found.operations:
                log.warning(
                    "settled for a process that was killed",
                    extra={"fields": {"settled": found.settled, "aborted": found.aborted}},
                )
        except (DependencyUnavailable, ValueError, TypeError, IndexError) as error:
            log.error("a journal is left for later", extra={"fields": {"error": type(error).__name__}})
        finally:
            left.close(remove=is_done)
