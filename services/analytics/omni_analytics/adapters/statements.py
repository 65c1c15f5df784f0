"""Sums of attempts from their rows, by what auditors ask for: which budgets were charged, and how sure a count is."""

from omni_core.ports.analytics import Charge, StatementLine

from omni_analytics.adapters.database import Database
from omni_analytics.domain.rollup import DAY_MS
from omni_analytics.domain.rows import UNTOLD

# What has cost something and names no price is of a router that does not say what it charged either.
_TOLD = f"""CASE WHEN charged = '{UNTOLD}' THEN 0 WHEN price_version <> '' THEN 1
  WHEN cost_nano_usd = repriced_nano_usd THEN 1 ELSE 0 END"""
_CHARGES = f"""SELECT key_id, charged, {_TOLD}, sum(cost_nano_usd - repriced_nano_usd), sum(cost_nano_usd)
  FROM attempt_event WHERE started_ms >= ? AND started_ms < ? GROUP BY 1, 2, 3"""  # noqa: S608 - from this file only
_STATEMENT = f"""SELECT started_ms - started_ms % {DAY_MS}, model, outcome, pricing, estimated, suspect, count(*),
    sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens), sum(cost_nano_usd)
  FROM attempt_event WHERE provider = ? AND started_ms >= ? AND started_ms < ? GROUP BY 1, 2, 3, 4, 5, 6
  ORDER BY 1, 2, 3, 4, 5, 6"""  # noqa: S608 - as above
_OPEN = 2**62


def charges(database: Database, from_ms: int, until_ms: int) -> list[Charge]:
    found = database.execute(_CHARGES, (from_ms, until_ms or _OPEN))
    return [
        Charge(key, tuple(charged.split()) if told else (), bool(told), int(nano), int(now))
        for key, charged, told, nano, now in found
    ]


def statement(database: Database, provider: str, from_ms: int, until_ms: int) -> list[StatementLine]:
    return [
        StatementLine(day, model, outcome, pricing, bool(estimated), suspect, *map(int, sums))
        for day, model, outcome, pricing, estimated, suspect, *sums in database.execute(
            _STATEMENT, (provider, from_ms, until_ms)
        )
    ]
