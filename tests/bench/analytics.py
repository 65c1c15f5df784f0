"""What analytics answers over many events, and how many it takes in.

    python -m tests.bench.analytics                       ten million events in SQLite, then the dashboard's questions
    N=100000 SEED=7 python -m tests.bench.analytics       fewer
    python -m tests.bench.analytics --dir DIR             in a directory that is kept: filled once, asked again

Rows are made by SQL from a seed, and the rollups from them; then the questions of a dashboard are asked through the
store, each up to another odd moment, and at last batches as routers send them are taken in. ``cpu_ms`` is what it takes
of a processor, which a busy machine does not change much. One JSON line a figure: ``{test, seed, figures, pass}``;
progress on stderr.
"""

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from omni_analytics.adapters.decode import decode_batch
from omni_analytics.adapters.finding import row_found
from omni_analytics.adapters.location import usage_path
from omni_analytics.adapters.sqlite import SqliteDatabase
from omni_analytics.adapters.store import SqlStore
from omni_analytics.domain.recent import Recent
from omni_analytics.domain.rollup import DAY_MS, GRAINS, HOUR_MS, MEASURES, MINUTE_MS
from omni_analytics.service import Analytics
from omni_analytics.settings import AnalyticsSettings
from omni_analytics.watching import Watchers
from omni_core.ports.analytics import Breakdown, UsageQuery
from omni_wire.errors import DependencyUnavailable
from omni_wire.latency import OVERHEAD, TOTAL, TTFT, bucket_of, packed, unpacked

from tests.unit.analytics.events import attempt_event, batch, request_event

BEGIN, DAYS = 1_790_812_800_000, 30  # 2026-10-01, UTC
END = BEGIN + DAYS * DAY_MS
KEYS = tuple(f"key_{number:02}" for number in range(20))
MODELS = tuple((f"provider-{number % 4}", f"model-{number}") for number in range(8))
# Few have most of the traffic.
KEY_WEIGHTS = tuple(accumulate(1 / (rank + 1) for rank in range(len(KEYS))))
MODEL_WEIGHTS = tuple(accumulate(1 / (rank + 1) ** 1.5 for rank in range(len(MODELS))))
LOTS = 4096  # of which each names a key, a model and how it went
ROUNDS = 20
TARGET_MS, TARGET_EVENTS = 300.0, 5_000.0
A_MESSAGE, MESSAGES, TAKEN = 50, 64, 40_000

# A request and its attempt for each number, by a mixed-up number of its own (Knuth's multiplicative hash).
_NUMBERED = f"""WITH RECURSIVE numbered (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbered WHERE n + 1 < ?),
  mixed AS (SELECT n, ((n * 2654435761 + ?) >> 9) & 1073741823 AS h FROM numbered),
  drawn AS (
    SELECT printf('%032x', n) AS id, {BEGIN} + n * {END - BEGIN} / ? AS at, lot.*,
      200 + 4 * ((h >> 12) % 1000) AS given, 20 + (h >> 12) % 1000 * 9 / 10 AS made,
      150 + (h >> 12) % 1000 * ((h >> 12) % 1000) * 9 / 10000 AS first, 300 + 2 * ((h >> 14) % 1000) AS ours
    FROM mixed JOIN lot ON lot.number = h % {LOTS})"""
_USED = "given, given / 3, 0, made, made / 4, 0, kind"
_REQUESTS = f"""INSERT INTO request_row (id, seq, request_id, started_ms, duration_ms, first_byte_ms, cost_nano_usd,
  overhead_us, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated, kind)
  {_NUMBERED} SELECT id, 1, id, at, first + made * 9, CASE WHEN failed THEN -1 ELSE first END,
  given * 1250 + made * 10000, CASE WHEN failed THEN 0 ELSE ours END, {_USED} FROM drawn"""
_ATTEMPTS = f"""INSERT INTO attempt_row (id, seq, request_id, started_ms, duration_ms, first_byte_ms, cost_nano_usd,
  reserved_nano_usd, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated,
  kind)
  {_NUMBERED} SELECT 'a' || substr(id, 2), 1, id, at + 1, first + made * 9, CASE WHEN failed THEN -1 ELSE first END,
  given * 1250 + made * 10000, given * 3750 + made * 10000, {_USED} FROM drawn"""
_SUMS = ", ".join(f"sum({name})" for name in MEASURES)
_CELL = "key_id, provider, account_id, model, status"
_MODEL = "CASE WHEN model_served <> '' THEN model_served ELSE model_requested END"
_TIMES = {TOTAL: "duration_ms", TTFT: "first_byte_ms", OVERHEAD: "overhead_us"}


class Histogram:
    """An aggregate of SQL: histograms, or times that are counted in one."""

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)

    def step(self, value: int | bytes) -> None:
        if isinstance(value, bytes):
            for bucket, count in unpacked(value).items():
                self.counts[bucket] += count
        else:
            self.counts[bucket_of(value)] += 1

    def finalize(self) -> bytes:
        return packed(self.counts)


def fill(path: Path, events: int, seed: int) -> None:
    """Rows by SQL, evenly over the days, half of them attempts and half requests; and the rollups that they add up to,
    made of them day by day: what recording them one by one would have left there."""
    half, began = events // 2, time.monotonic()
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("PRAGMA synchronous = OFF")
        store.execute("PRAGMA temp_store = MEMORY")
        store.create_aggregate("histogram", 1, Histogram)  # type: ignore[arg-type]
        _draw_lots(store, seed)
        for day in range(DAYS):
            ends = -(-half * day // DAYS), -(-half * (day + 1) // DAYS)
            store.execute("BEGIN")
            if ends[0] < ends[1]:
                for sql in (_REQUESTS, _ATTEMPTS):
                    store.execute(sql, (*ends, seed, half))
            _roll_up(store, BEGIN + day * DAY_MS)
            store.execute("COMMIT")
            done, now = 2 * ends[1], time.monotonic() - began
            print(f"{done:,} of {events:,} events in {now:.0f} s", file=sys.stderr, flush=True)


def _draw_lots(store: sqlite3.Connection, seed: int) -> None:
    """What of a row many share, and which numbers have it."""
    chance = random.Random(seed)
    store.execute("CREATE TEMP TABLE lot (number INTEGER PRIMARY KEY, kind INTEGER, failed INTEGER)")
    kinds: dict[tuple[str, str, str, bool], int] = {}
    for number in range(LOTS):
        (key,) = chance.choices(KEYS, cum_weights=KEY_WEIGHTS)
        ((provider, model),) = chance.choices(MODELS, cum_weights=MODEL_WEIGHTS)
        failed = chance.random() < 0.02
        kind = kinds.setdefault((key, provider, model, failed), len(kinds) + 1)
        store.execute("INSERT INTO lot VALUES (?, ?, ?)", (number, kind, failed))
    for (key, provider, model, failed), kind in kinds.items():
        status, outcome, error = (502, "failed", "upstream_failed") if failed else (200, "ok", "")
        account = f"{provider}/main"
        store.execute(
            "INSERT INTO request_kind "
            "VALUES (?, ?, 'openai.chat', ?, '', ?, ?, ?, 1, ?, ?, 1, 'priced', ?, 3, 'r1', '[]')",
            (kind, key, model, provider, account, model, status, error, outcome),
        )
        store.execute(
            "INSERT INTO attempt_kind (kind, key_id, provider, account_id, model, provider_format, outcome, "
            "error_kind, provider_status, pricing, overrun, config_revision, router_id) "
            "VALUES (?, ?, ?, ?, ?, 'openai.chat', ?, ?, ?, 'priced', 0, 3, 'r1')",
            (kind, key, provider, account, model, outcome, error, status),
        )


def _roll_up(store: sqlite3.Connection, day: int) -> None:
    """One day, from its rows to minutes, from these to hours, and to the day."""
    span = (day, day + DAY_MS)
    source, at = "usage_fact", "started_ms"
    for grain, unit in GRAINS.items():
        store.execute(
            f"INSERT INTO usage_{grain} SELECT {at} / {unit} * {unit}, {_CELL}, {_SUMS} FROM {source} "
            f"WHERE {at} >= ? AND {at} < ? GROUP BY 1, {_CELL}",
            span,
        )
        source, at = f"usage_{grain}", "at_ms"
    for measure, column in _TIMES.items():
        there = {TTFT: " AND first_byte_ms >= 0", OVERHEAD: " AND overhead_us > 0"}.get(measure, "")
        store.execute(
            f"INSERT INTO latency_minute SELECT started_ms / {MINUTE_MS} * {MINUTE_MS} AS at, key_id, provider, "
            f"account_id, {_MODEL} AS model, CASE status WHEN 200 THEN '2xx' ELSE '5xx' END AS status_class, "
            f"'{measure}', histogram({column}) FROM request_event WHERE started_ms >= ? AND started_ms < ?{there} "
            "GROUP BY at, key_id, provider, account_id, model, status_class",
            span,
        )
    for finer, grain in pairwise(GRAINS):
        unit = GRAINS[grain]
        store.execute(
            f"INSERT INTO latency_{grain} SELECT at_ms / {unit} * {unit}, {_CELL}, measure, histogram(counts) "
            f"FROM latency_{finer} WHERE at_ms >= ? AND at_ms < ? GROUP BY 1, {_CELL}, measure",
            span,
        )


Question = Callable[[int], Awaitable[object]]


def questions(store: SqlStore) -> dict[str, Question]:
    """What the dashboard asks, each up to a moment that begins no unit of time."""

    def usage(days: float, **more: Any) -> Question:
        return lambda now: store.query(UsageQuery(now - int(days * DAY_MS), now, **more))

    def parts(
        days: float, dimensions: tuple[str, ...], filters: dict[str, tuple[str, ...]] | None = None, **more: Any
    ) -> Question:
        return lambda now: store.breakdown(Breakdown(now - int(days * DAY_MS), now, dimensions, filters or {}, **more))

    return {
        "day by the hour, with latency": usage(1, grain="hour", latency=True),
        "hour by the minute, with latency": usage(1 / 24, grain="minute", latency=True),
        "week by the hour and model": usage(7, grain="hour", group_by="model"),
        "week by status": usage(7, group_by="status"),
        "month by the day and provider": usage(30, grain="day", group_by="provider"),
        "month by key": usage(30, group_by="key"),
        "month by model, with latency": usage(30, group_by="model", latency=True),
        "month by key and model": parts(30, ("key", "model")),
        "week of one key by model, with latency": parts(7, ("model",), {"key": KEYS[:1]}, latency=(TOTAL, TTFT)),
        "last use of each key": lambda _: store.key_use(),
    }


async def asked(store: SqlStore, seed: int) -> AsyncIterator[dict[str, Any]]:
    chance = random.Random(seed)
    everything: list[float] = []
    for name, question in questions(store).items():
        times, busy = [], time.process_time()
        for _ in range(ROUNDS):
            now = END - chance.randrange(1, 2 * HOUR_MS)
            began = time.perf_counter()
            await question(now)
            times.append((time.perf_counter() - began) * 1000)
        everything += times
        cpu = round((time.process_time() - busy) / ROUNDS * 1000, 1)
        yield _line(f"analytics: {name}", seed, {**_percentiles(times), "cpu_ms": cpu, "target_ms": TARGET_MS})
    yield _line("analytics: all questions", seed, {**_percentiles(everything), "target_ms": TARGET_MS})


def _percentiles(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=20, method="inclusive")
    return {"p50_ms": round(cuts[9], 1), "p95_ms": round(cuts[18], 1)}


def _line(test: str, seed: int, figures: dict[str, Any]) -> dict[str, Any]:
    fine = figures["p95_ms"] <= TARGET_MS if "p95_ms" in figures else figures["events_per_second"] >= TARGET_EVENTS
    return {"test": test, "seed": seed, "figures": figures, "pass": fine}


class Message:
    """As the stream delivers it, and answered at once."""

    num_delivered = 1
    traceparent = ""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def ack(self) -> None:
        return

    async def nak(self, delay: float) -> None:
        raise DependencyUnavailable("a message was given back")

    async def term(self) -> None:
        raise DependencyUnavailable("a message was refused")


class Meter:
    """Counts nothing."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_: None


async def nothing_waits() -> int:
    return 0


async def taken_in(store: SqlStore, seed: int, events: int = TAKEN) -> dict[str, Any]:
    """Messages of fifty events, 64 a transaction, as the consumer takes them from the stream."""
    chance, stamp = random.Random(seed), f"{time.time_ns():x}"
    messages = []
    for number in range(events // A_MESSAGE):
        made = []
        for _ in range(A_MESSAGE // 2):
            (key,) = chance.choices(KEYS, cum_weights=KEY_WEIGHTS)
            ((provider, model),) = chance.choices(MODELS, cum_weights=MODEL_WEIGHTS)
            id_ = f"{stamp}-{number}-{len(made)}"
            at = END + number * MINUTE_MS // 60
            served = {"key_id": key, "provider": provider, "account_id": f"{provider}/main", "started_ms": at}
            made.append(attempt_event(id=f"a{id_}", request_id=id_, model=model, **served))
            made.append(request_event(id=id_, request_id=id_, model_served=model, **served))
        messages.append(Message(batch(*made, batch_id=f"{stamp}-{number}")))
    service = Analytics(
        store, decode_batch, None, Meter(), nothing_waits, AnalyticsSettings(),  # type: ignore[arg-type]
        now_ms=lambda: END, clock=time.monotonic, watchers=Watchers(Recent("bench"), row_found),
        bodies=None,  # type: ignore[arg-type]
    )  # fmt: skip
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(messages), MESSAGES):
        await service.take(messages[start : start + MESSAGES])
    seconds, busy = time.perf_counter() - began, time.process_time() - cpu
    figures = {
        "events_per_second": round(events / seconds),
        "cpu_us_per_event": round(busy / events * 1e6, 1),
        "target_events_per_second": TARGET_EVENTS,
    }
    return _line("analytics: events taken in", seed, figures)


async def main() -> int:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--dir", type=Path, help="where to keep the store")
    told = given.parse_args()
    events, seed = int(os.environ.get("N", 10**7)), int(os.environ.get("SEED", 1))
    fine = True
    with tempfile.TemporaryDirectory() as scratch:
        place = told.dir or Path(scratch)
        path = usage_path(place)
        there = path.exists()
        store = SqlStore(SqliteDatabase(path), query_timeout=60.0)
        await store.open()
        if not there:
            began = time.perf_counter()
            fill(path, events, seed)
            size = round(path.stat().st_size / 1e6)
            print(f"filled in {time.perf_counter() - began:.0f} s, {size:,} MB", file=sys.stderr, flush=True)
        async for line in asked(store, seed):
            print(json.dumps(line), flush=True)
            fine = fine and line["pass"]
        line = await taken_in(store, seed)
        print(json.dumps(line), flush=True)
        await store.close()
    return 0 if fine and line["pass"] else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
