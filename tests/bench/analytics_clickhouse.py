"""What a dashboard's questions take in ClickHouse, and how many events are taken in: on its engine, chdb.

    python -m tests.bench.analytics_clickhouse            a hundred thousand events of a month
    N=10000 SEED=7 python -m tests.bench.analytics_clickhouse

Events are recorded as the consumer does, then asked as ``tests.bench.analytics`` asks. One JSON line a figure; there
are no targets, as the engine behind this interface answers one question at a time.
"""

import asyncio
import json
import os
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from omni_analytics.adapters.location import URL, usage_database
from omni_analytics.adapters.rebuild import rebuild
from omni_analytics.adapters.store import SqlStore
from omni_analytics.domain.rollup import DAY_MS
from omni_analytics.domain.rows import UsageRow

from tests.bench.analytics import BEGIN, DAYS, KEY_WEIGHTS, KEYS, MODEL_WEIGHTS, MODELS, asked
from tests.support.clickhouse import clickhouse_server
from tests.unit.analytics.events import ATTEMPT, REQUEST

A_COMMIT = 5_000


def events(count: int, seed: int) -> Iterator[Sequence[UsageRow]]:
    """In the order of time, half of them attempts, so many a commit."""
    chance, some = random.Random(seed), list[UsageRow]()
    for number in range(count // 2):
        (key,) = chance.choices(KEYS, cum_weights=KEY_WEIGHTS)
        ((provider, model),) = chance.choices(MODELS, cum_weights=MODEL_WEIGHTS)
        at = BEGIN + number * DAYS * DAY_MS // (count // 2)
        own = {"started_ms": at, "key_id": key, "provider": provider, "account_id": f"{provider}/main"}
        used = {"cost_nano_usd": chance.randrange(10**7), "output_tokens": chance.randrange(1000)}
        spent = {"duration_ms": chance.randrange(20_000), "first_byte_ms": chance.randrange(2_000)}
        some.append(
            msgspec.structs.replace(
                ATTEMPT, id=f"a{number:012}", request_id=f"r{number:012}", model=model, **own, **used
            )
        )
        some.append(msgspec.structs.replace(REQUEST, id=f"r{number:012}", model_served=model, **own, **used, **spent))
        if len(some) >= A_COMMIT:
            yield some
            some = []
    if some:
        yield some


async def main() -> int:
    count, seed = int(os.environ.get("N", 10**5)), int(os.environ.get("SEED", 1))
    with clickhouse_server() as server:
        env = {URL: server.database()}
        store = SqlStore(usage_database(Path(), env), query_timeout=60.0)
        await store.open()
        began, stored = time.perf_counter(), 0
        for rows in events(count, seed):
            found = await store.record(rows)
            stored += found.attempts_stored + found.requests_stored
        figures = {"events": stored, "events_per_second": round(stored / (time.perf_counter() - began))}
        line = {"test": "clickhouse: events taken in", "seed": seed, "figures": figures, "pass": stored == count}
        print(json.dumps(line), flush=True)
        fine = stored == count
        async for line in asked(store, seed):
            del line["figures"]["target_ms"]
            print(
                json.dumps(line | {"test": line["test"].replace("analytics", "clickhouse"), "pass": True}), flush=True
            )
        await store.close()
        database = usage_database(Path(), env)
        database.open()
        looked = rebuild(database, check=True)
        database.close()
        figures = {"days": looked.days, "cells": looked.cells, "wrong": looked.wrong}
        fine = fine and not looked.wrong
        line = {"test": "clickhouse: rebuild --check", "seed": seed, "figures": figures, "pass": not looked.wrong}
        print(json.dumps(line), flush=True)
    return 0 if fine else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main()))
