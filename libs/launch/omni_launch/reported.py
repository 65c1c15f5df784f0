"""What a provider says was used, held against what is recorded: day by day and model by model. Pure.

A report is CSV with a line a day and model, JSON of the same, or what the usage and cost endpoints of OpenAI
(platform.openai.com/docs/api-reference/usage: ``data`` of buckets with ``start_time`` and ``results``) and Anthropic
(docs.claude.com, usage and cost API: with ``starting_at``) answer.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest

NANO = 10**9
# By what they are here: what others call it.
NAMES = {
    "day": ("day", "date", "usage_date", "start_time", "starting_at", "bucket", "time_bucket"),
    "model": ("model", "model_id", "model_name", "snapshot_id"),
    "input_tokens": ("input_tokens", "prompt_tokens", "n_context_tokens_total"),
    "output_tokens": ("output_tokens", "completion_tokens", "n_generated_tokens_total"),
    "cost_usd": ("cost_usd", "cost", "amount_usd", "amount", "usd"),
}
_PARTS = ("uncached_input_tokens", "cache_read_input_tokens")  # of Anthropic's input, beside what is written
MEASURES = ("input_tokens", "output_tokens", "cost_nano_usd")
# What may be otherwise at the provider, and why.
WHY = {
    "estimated": "whose counts are estimated",
    "suspect": "whose counts were not believed, or odd",
    "partial": "that broke off",
    "cancelled": "whose client went away",
    "aborted": "whose router died: charged at their reservation",
    "unpriced": "without a price",
    "assumed": "at a price that a budget assumes",
}


class Reported(msgspec.Struct, frozen=True):
    """Of a day (ISO) and a model; None is what the report does not say. ``unit`` is the last place of its cost, in
    nano-USD."""

    day: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_nano_usd: int | None = None
    unit: int = 1

    def plus(self, other: "Reported") -> "Reported":
        sums = {
            name: None if one is None and two is None else (one or 0) + (two or 0)
            for name in MEASURES
            for one, two in ((getattr(self, name), getattr(other, name)),)
        }
        return Reported(self.day, self.model, unit=max(self.unit, other.unit), **sums)


class Difference(msgspec.Struct, frozen=True):
    """What the provider says is ``more`` than is ``recorded``, or (below zero) less. ``causes`` may make it, and do
    where it is ``explained``."""

    day: str
    model: str
    measure: str
    reported: int
    recorded: int
    more: int
    explained: bool
    causes: tuple[str, ...]


def read(text: str, filename: str) -> list[Reported]:
    """Raises ``InvalidRequest`` with the place of what cannot be read."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            found = json.loads(text, parse_float=Decimal)
        except ValueError as error:
            raise InvalidRequest(f"{filename}: not JSON: {error}") from None
        rows = list(_rows(found))
    else:
        rows = [{_word(key): value for key, value in row.items()} for row in csv.DictReader(io.StringIO(text))]
    if not rows:
        raise InvalidRequest(f"{filename}: nothing is reported in it")
    said = []
    for number, row in enumerate(rows, 1):
        try:
            said.append(_reported(row))
        except (ValueError, InvalidOperation, OverflowError) as error:
            raise InvalidRequest(f"{filename}: line {number}: {error}") from None
    return together(said)


def together(reported: Iterable[Reported]) -> list[Reported]:
    """One of each day and model."""
    found: dict[tuple[str, str], Reported] = {}
    for one in reported:
        known = found.get((one.day, one.model))
        found[one.day, one.model] = one if known is None else known.plus(one)
    return list(found.values())


def _word(key: object) -> str:
    return str(key).strip().lower().replace(" ", "_")


def _rows(found: Any) -> Iterator[Mapping[str, Any]]:
    """Lines, or buckets of them; those are days."""
    listed = found.get("data", found.get("items")) if isinstance(found, dict) else found
    for item in listed if isinstance(listed, list) else ():
        if not isinstance(item, dict):
            continue
        results = item.get("results")
        if not isinstance(results, list):
            yield item
            continue
        day = item.get("start_time", item.get("starting_at"))
        for result in results:
            if isinstance(result, dict):
                yield {"day": day, **result, **_in_cents(item, result)}


def _in_cents(bucket: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic's cost report has amounts in the lowest unit of their currency, as a text; OpenAI's has whole ones."""
    amount = result.get("amount")
    if "starting_at" not in bucket or amount is None or isinstance(amount, dict):
        return {}
    return {"amount": Decimal(str(amount)) / 100}


def _reported(row: Mapping[str, Any]) -> Reported:
    said = {name: _first(row, names) for name, names in NAMES.items()}
    if said["day"] is None:
        raise ValueError("it says no day")
    if all(name in row for name in _PARTS):
        made = row.get("cache_creation")
        written = sum(map(_count, made.values())) if isinstance(made, dict) else 0
        said["input_tokens"] = sum(_count(row[name]) for name in _PARTS) + written
    cost = said["cost_usd"]
    amount = _amount(cost.get("value") if isinstance(cost, dict) else cost)
    exponent = amount.as_tuple().exponent if amount is not None else 0
    return Reported(
        _day(said["day"]),
        str(said["model"] or ""),
        None if said["input_tokens"] is None else _count(said["input_tokens"]),
        None if said["output_tokens"] is None else _count(said["output_tokens"]),
        None if amount is None else round(amount * NANO),
        max(1, int(Decimal(10) ** int(exponent) * NANO)) if amount is not None else 1,
    )


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _count(value: Any) -> int:
    text = str(value).replace(",", "").strip()
    count = Decimal(text)
    if not count.is_finite() or count < 0 or count != int(count):
        raise ValueError(f"{text!r} is no number of tokens")
    return int(count)


def _amount(value: Any) -> Decimal | None:
    if value is None:
        return None
    amount = Decimal(str(value).replace("$", "").replace(",", "").strip())
    if not amount.is_finite():
        raise ValueError(f"{value!r} is no amount")
    return amount


def _day(value: Any) -> str:
    text = str(value).strip()
    if text.isascii() and text.isdigit() and len(text) > 8:
        return datetime.fromtimestamp(int(text) / (1000 if len(text) > 11 else 1), UTC).date().isoformat()
    try:
        return date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is no day such as 2026-11-01") from None


# ---- comparing ------------------------------------------------------------------------------------------------------


def compare(reported: Iterable[Reported], lines: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """``lines`` are those of a statement (``GET /api/usage/statement``) of all days of the report. What no model is
    named for is held against all models of its day."""
    by: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in lines:
        day = datetime.fromtimestamp(line["day_ms"] / 1000, UTC).date().isoformat()
        by.setdefault((day, line["model"]), []).append(line)
        by.setdefault((day, ""), []).append(line)
    asked = {(one.day, one.model): one for one in reported}
    days = {one.day for one in asked.values()}
    whole = {day for day, model in asked if not model}
    for day, model in by:
        if model and day in days and day not in whole and (day, model) not in asked:
            said = next(one for one in asked.values() if one.day == day)
            silent = {name: None if getattr(said, name) is None else 0 for name in MEASURES}
            asked[day, model] = Reported(day, model, unit=said.unit, **silent)
    return [
        difference
        for place in sorted(asked)
        for measure in MEASURES
        if (difference := _difference(asked[place], by.get(place, []), measure)) is not None
    ]


def _difference(one: Reported, lines: list[Mapping[str, Any]], measure: str) -> Difference | None:
    said: int | None = getattr(one, measure)
    if said is None:
        return None
    recorded = sum(line[measure] for line in lines)
    more = said - recorded
    if abs(more) <= (one.unit // 2 if measure == "cost_nano_usd" else 0):
        more = 0
    doubts: dict[str, tuple[int, int]] = {}
    least = most = 0  # how much less, and how much more, it may be at the provider
    boundless = False
    for line in lines:
        if doubt := _doubt(line, measure):
            count, total = doubts.get(doubt, (0, 0))
            doubts[doubt] = count + line["attempts"], total + line[measure]
            least -= line[measure]
            most += 0 if doubt == "aborted" else line[measure]  # these were charged the most that they can have cost
            boundless = boundless or doubt == "unpriced" or (doubt == "aborted" and measure != "cost_nano_usd")
    causes = tuple(
        f"{count} attempts {WHY[doubt]}: {_shown(total, measure)}" for doubt, (count, total) in doubts.items()
    )
    explained = more == 0 or least <= more <= most or (more > 0 and boundless)
    return Difference(one.day, one.model, measure, said, recorded, more, explained, causes if more else ())


def _doubt(line: Mapping[str, Any], measure: str) -> str:
    """What is to be known of these attempts first of all."""
    if line["outcome"] == "aborted":
        return "aborted"
    if measure == "cost_nano_usd" and line["pricing"] in ("unpriced", "assumed"):
        return str(line["pricing"])
    if line["suspect"]:
        return "suspect"
    if line["estimated"]:
        return "estimated"
    return line["outcome"] if line["outcome"] in ("partial", "cancelled") else ""


def _shown(value: int, measure: str) -> str:
    return f"${Decimal(value) / NANO:f}" if measure == "cost_nano_usd" else f"{value} tokens"


def lines(found: Iterable[Difference]) -> Iterator[str]:
    """For people: what differs, and a sum of it."""
    every = list(found)
    for one in every:
        if not one.more:
            continue
        mark = "~" if one.explained else "≠"
        yield (
            f"{mark} {one.day} {one.model or 'all models'} {one.measure.removesuffix('_nano_usd')}: reported "
            f"{_shown(one.reported, one.measure)}, recorded {_shown(one.recorded, one.measure)}, "
            f"{'more' if one.more > 0 else 'less'} by {_shown(abs(one.more), one.measure)}"
        )
        yield from (f"    {cause}" for cause in one.causes)
    wrong = sum(not one.explained for one in every)
    same = sum(not one.more for one in every)
    yield f"{same} of {len(every)} figures are the same, {wrong} differ by more than what is in doubt"
