"""Virtual time: an event loop that never waits but goes to its next timer, and a process whose clock, chance and ids
all come of it and of a seed. So a run is the same each time, and minutes of it take milliseconds."""

import asyncio
import contextlib
import gc
import logging
import random
import selectors
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar
from unittest import mock

T = TypeVar("T")


class Stuck(Exception):
    """Nothing is ready and nothing is due, so nothing will ever happen again."""


class _NoWaiting(selectors.SelectSelector):
    """Lets time pass instead of waiting for files, of which there are none but the loop's own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s."""

    def __init__(self) -> None:
        self._virtual = _NoWaiting()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(main: Callable[[], Coroutine[Any, Any, T]], seed: int, epoch_ms: int) -> T:
    """``main()`` in virtual time that begins at ``epoch_ms``. Raises ``Stuck`` where it waits for what never comes."""
    with contextlib.ExitStack() as around:
        around.enter_context(_without_gc())
        runner = around.enter_context(asyncio.Runner(loop_factory=VirtualLoop))
        loop = runner.get_loop()
        around.enter_context(_of(loop, seed, epoch_ms))
        return runner.run(main())


@contextlib.contextmanager
def _of(loop: asyncio.AbstractEventLoop, seed: int, epoch_ms: int) -> Iterator[None]:
    from omni_core import clock, ids

    def now_ms() -> int:
        return epoch_ms + int(loop.time() * 1000)

    chance, before = random.Random(f"ids of {seed}"), random.getstate()
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    try:
        with (
            mock.patch.object(clock, "monotonic", loop.time),
            mock.patch.object(clock, "now_ms", now_ms),
            mock.patch.object(ids, "_mint", ids.Mint(now_ms, chance.getrandbits)),
        ):
            yield
    finally:
        logging.disable(logging.NOTSET)
        random.setstate(before)


@contextlib.contextmanager
def _without_gc() -> Iterator[None]:
    """When garbage is found depends on everything that the process did before, and finding it can end generators."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
