"""The books are looked at again and again: what is found is a metric, and remembered."""

import asyncio
from collections.abc import Iterator

import pytest
from omni_core.telemetry import new_registry
from omni_dashboard import reconciler
from omni_dashboard.adapters.metrics import ReconciliationMeter
from omni_dashboard.domain.reconciliation import Proof
from omni_dashboard.reconciler import KEPT, Reconciler
from omni_wire.errors import DependencyUnavailable
from prometheus_client import CollectorRegistry

RIGHT, WRONG = Proof((), 0, 0, True), Proof((), 0, 0, True, -5)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler, "_AGAIN", 0.0)
    monkeypatch.setattr(reconciler, "_SOON", 0.0)


class Books:
    """Says one after another, and the last for ever."""

    def __init__(self, *found: Proof | Exception) -> None:
        self.left: Iterator[Proof | Exception] = iter(found)
        self.last: Proof | Exception = found[-1]
        self.asked = 0
        self.thrice = asyncio.Event()

    async def __call__(self) -> Proof:
        self.asked += 1
        if self.asked == 3:
            self.thrice.set()
        found = next(self.left, self.last)
        if isinstance(found, Exception):
            raise found
        return found


def made(books: Books, every: float = 0.0) -> tuple[Reconciler, CollectorRegistry]:
    registry = new_registry()
    return Reconciler(books, ReconciliationMeter(registry), every, lambda: 7000), registry


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(f"omniroute_reconciliation_{name}", labels)


async def test_a_difference_that_stays_is_a_metric_and_one_that_passes_is_none() -> None:
    one, registry = made(Books(WRONG, RIGHT, WRONG))
    assert (await one.look()).ok
    assert value(registry, "drift_nano_usd", level="rollup") == 0
    found = await one.look()
    assert (found.ok, found.drift) == (False, {"key": 0, "limit": 0, "rollup": 5})
    assert value(registry, "drift_nano_usd", level="rollup") == 5
    assert value(registry, "runs_total", result="ok") == value(registry, "runs_total", result="drift") == 1
    assert value(registry, "last_run_timestamp_seconds") == 7


async def test_books_that_cannot_be_read_are_no_run_and_leave_what_was_found() -> None:
    one, registry = made(Books(WRONG, WRONG, WRONG, DependencyUnavailable("redis is away")))
    await one.look()
    found = await one.look()
    assert (found.ok, found.failed) == (False, "redis is away")
    assert value(registry, "drift_nano_usd", level="rollup") == 5
    assert value(registry, "runs_total", result="failed") == 1


async def test_the_newest_looks_are_remembered_first_and_not_without_end() -> None:
    one, _ = made(Books(DependencyUnavailable("away"), RIGHT))
    for _ in range(KEPT + 3):
        await one.look()
    assert len(one.looks) == KEPT
    assert one.looks[0].ok


async def test_it_goes_on_after_a_look_that_nobody_foresaw_the_end_of() -> None:
    books = Books(ValueError("oh"), RIGHT)
    one, _ = made(books, every=0.001)
    one.start()
    async with asyncio.timeout(10):
        await books.thrice.wait()
    await one.stop()
    assert one.looks[0].ok


async def test_it_never_looks_where_it_is_told_not_to() -> None:
    books = Books(RIGHT)
    one, _ = made(books, every=0.0)
    one.start()
    await asyncio.sleep(0.01)
    await one.stop()
    assert books.asked == 0
