"""`make matrix`: every client over every upstream, nine scenarios each.

    python -m tests.clients.matrix [PART[:UPSTREAM] …]    only clients whose name contains a PART

A JSON line a client and upstream, ``figures.cells`` with what went wrong in each cell, empty where nothing did; exit
code 1 when anything did. A full run writes docs/client-matrix.md.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from tests.clients import page
from tests.clients.clients import Row
from tests.clients.door import Door, report
from tests.clients.jobs import Job, Report
from tests.clients.scenarios import SCENARIOS, Wrong
from tests.clients.upstreams import KEY, UPSTREAMS, Upstream, configuration
from tests.clients.workers import Worker, all_clients, program, versions
from tests.support.stack import running, simulator


class Outcome(msgspec.Struct, kw_only=True):
    """``cells`` maps a scenario to the steps that went wrong in it; ``steps`` is how many there were. ``absent``: the
    scenarios that the client, or the upstream's format, has no place for."""

    client: str
    upstream: str
    steps: int = 0
    cells: dict[str, list[str]] = {}
    absent: list[str] = []
    seconds: float = 0

    @property
    def passed(self) -> bool:
        return not any(self.cells.values())


def play(row: Row, upstream: Upstream, door: Door, worker: Worker | None = None) -> Outcome:
    """Every scenario of one client over one upstream."""
    outcome = Outcome(client=row.name, upstream=upstream.format, cells={}, absent=[*upstream.lacks])
    start = time.perf_counter()
    for name, scenario in SCENARIOS.items():
        wrong = outcome.cells[name] = []
        if row.shows is not None and name not in row.shows:
            outcome.absent.append(name)
            continue
        for label, job, check in scenario(row, upstream):
            outcome.steps += 1
            try:
                check(_do(row, door, job, worker))
            except Wrong as error:
                wrong.append(f"{label}: {error}")
            except (ValueError, KeyError, TypeError, IndexError, RuntimeError) as error:
                wrong.append(f"{label}: {type(error).__name__}: {error}")
    outcome.seconds = round(time.perf_counter() - start, 1)
    return outcome


def _do(row: Row, door: Door, job: Job, worker: Worker | None) -> Report:
    if row.run is not None:
        return report(row.run, door, job)
    if worker is None:
        raise ValueError(f"{row.name} needs a process of its own")
    return worker.ask(row.name, job)


Pair = tuple[Row, Upstream]


def _play_all(pairs: Sequence[Pair], door: Door, progress: "_Progress") -> list[Outcome]:
    """Clients of one program, one after the other."""
    row = pairs[0][0]
    worker = Worker(row, door) if row.run is None else None
    try:
        return [progress.told(play(row, upstream, door, worker)) for row, upstream in pairs]
    finally:
        if worker is not None:
            worker.close()


class _Progress:
    """A JSON line an outcome, and how far the run has come beside it."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def told(self, outcome: Outcome) -> Outcome:
        with self._lock:
            self._done += 1
            print(_line(outcome), flush=True)
            so_far = f"{self._done} of {self._total} rows, {time.monotonic() - self._start:.0f} s"
            print(so_far, file=sys.stderr, flush=True)
        return outcome


def _line(outcome: Outcome) -> str:
    figures = {"steps": outcome.steps, "seconds": outcome.seconds, "cells": outcome.cells}
    line = {"test": f"{outcome.client} over {outcome.upstream}", "seed": 0, "figures": figures, "pass": outcome.passed}
    return json.dumps(line, ensure_ascii=False)


def run(pairs: Sequence[Pair]) -> list[Outcome]:
    with (
        tempfile.TemporaryDirectory() as home,
        simulator() as provider,
        running("all", Path(home), configuration(provider.url), {}) as stack,
        ThreadPoolExecutor() as pool,
    ):
        door = Door(stack.edge, KEY)
        progress = _Progress(len(pairs))
        programs: dict[tuple[str, ...], list[Pair]] = {}
        for row, upstream in pairs:
            programs.setdefault(program(row), []).append((row, upstream))
        found = pool.map(lambda mine: _play_all(mine, door, progress), programs.values())
        return [outcome for outcomes in found for outcome in outcomes]


def main(parts: list[str]) -> int:
    rows = all_clients()
    outcomes = run(
        [(row, upstream) for row in rows for upstream in UPSTREAMS if not parts or _wanted(row, upstream, parts)]
    )
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if not parts:
        notes = [f"{row.name} {lack}" for row in rows for lack in row.lacks]
        limits = {upstream.format: upstream.limits for upstream in UPSTREAMS}
        marks = [(found.client, found.upstream, found.cells, found.absent) for found in outcomes]
        page.write(marks, limits, notes, versions(rows))
    print(f"{len(outcomes) * len(SCENARIOS)} cells, {sum(map(_red, outcomes))} of them red", file=sys.stderr)
    return 1 if failed or not outcomes else 0


def _wanted(row: Row, upstream: Upstream, parts: list[str]) -> bool:
    asked = [part.partition(":") for part in parts]
    return any(name in row.name and only in ("", upstream.id) for name, _, only in asked)


def _red(outcome: Outcome) -> int:
    return sum(1 for wrong in outcome.cells.values() if wrong)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
