"""What usage can be asked for: one table of measures and one of dimensions, which answers, errors and the meta endpoint
are made from."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from omni_core.ports.analytics import OF_ATTEMPTS, OF_REQUESTS, ROLLED, TAG, UsageTotals
from omni_wire.errors import InvalidRequest
from omni_wire.latency import OVERHEAD, TOTAL, TTFT

from omni_dashboard.domain.values import usd

Value = int | float | str | None


class Measure(msgspec.Struct, frozen=True):
    """``of`` works it out from sums, so that a ratio is that of the whole and no mean of ratios; with a ``histogram``
    (of ``Slice.latency``) there are percentiles of that instead."""

    name: str
    unit: str
    about: str
    of: Callable[[UsageTotals], Value] = lambda _: None
    histogram: str = ""


class Dimension(msgspec.Struct, frozen=True):
    """``kept`` is where it is known: in the "rollups" for ever, in the "rows" of requests while these are kept, or of
    the "keys" that there are."""

    name: str
    about: str
    kept: str


def _sum(name: str, unit: str, about: str) -> Measure:
    def of(totals: UsageTotals) -> Value:
        found: int = getattr(totals, name)
        return found

    return Measure(name, unit, about, of)


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


MEASURES = {
    measure.name: measure
    for measure in (
        _sum("requests", "requests", "requests that a router took"),
        _sum("errors", "requests", "those that came to a bad end; a client that went away is none"),
        _sum("attempts", "attempts", "calls to accounts of providers"),
        _sum("input_tokens", "tokens", "of attempts, those from caches included"),
        _sum("cached_input_tokens", "tokens", "of the input, what came from the provider's cache"),
        _sum("cache_write_tokens", "tokens", "of the input, what was written there"),
        _sum("output_tokens", "tokens", "of attempts, those of reasoning included"),
        _sum("reasoning_tokens", "tokens", "of the output, what was thought"),
        Measure("total_tokens", "tokens", "input and output", lambda found: found.input_tokens + found.output_tokens),
        _sum("unpriced_requests", "requests", "of a model without a price"),
        _sum("cost_nano_usd", "nano-USD", "what the attempts were settled at"),
        Measure("cost_usd", "USD", "the same, as a decimal text", lambda found: usd(found.cost_nano_usd)),
        Measure("total_ms", "ms", "from a request's start to the end of its answer", histogram=TOTAL),
        Measure("ttft_ms", "ms", "from a request's start to the first byte of its answer", histogram=TTFT),
        Measure(
            "overhead_us",
            "us",
            "our own before the provider was asked: planning, admission, encoding",
            histogram=OVERHEAD,
        ),
    )
}
# Of sums, and so no field of a total.
DERIVED = {
    measure.name: measure
    for measure in (
        Measure("error_ratio", "of 1", "errors of requests", lambda found: _ratio(found.errors, found.requests)),
        Measure(
            "cached_input_ratio", "of 1", "of the input, how much came from the provider's cache",
            lambda found: _ratio(found.cached_input_tokens, found.input_tokens),
        ),
        Measure(
            "attempts_per_request", "attempts", "how many calls a request took",
            lambda found: _ratio(found.attempts, found.requests),
        ),
    )
}  # fmt: skip
ALL = MEASURES | DERIVED


_ABOUT = {
    "key": "the API key, by id",
    "model": "what served it, or was asked for where nothing did",
    "provider": "empty where none served it",
    "account": "of the provider, by id",
    "status": "its class: 2xx, 4xx, …; none where no status came",
    "requested": "the model, combo or alias that was asked for",
    "combo": "empty where none was",
    "surface": "the client's dialect",
    "outcome": "ok, failed, partial, cancelled, replayed, cached",
    "error": "the kind of error, empty where it went well",
    "stream": "true or false",
    "router": "which took it",
    "organisation": "whose key it is",
    "team": "whose key it is; empty for no team's",
    "user": "whose key it is; empty for no user's",
}
OWNERS = ("organisation", "team", "user")
DIMENSIONS = {
    name: Dimension(name, _ABOUT[name], kept)
    for names, kept in ((ROLLED, "rollups"), (OF_REQUESTS, "rows"), (OWNERS, "keys"))
    for name in names
}
# What requests may be filtered by: also by their tags, of which one has any number.
FILTERS = DIMENSIONS | {TAG: Dimension(TAG, "one of a request's", "rows")}
# Of attempts, which know less.
OF_CALLS = {name: FILTERS[name] for name in (*OF_ATTEMPTS, *OWNERS, TAG)}
GRAINS = ("minute", "hour", "day")

T = TypeVar("T")


def named(known: dict[str, T], names: Sequence[str], param: str) -> tuple[T, ...]:
    """Those of a table, in the order asked. Raises ``InvalidRequest``, which says what there is."""
    for name in names:
        if name not in known:
            raise InvalidRequest(f"{param} '{name[:64]}' is not one of {', '.join(known)}", param=param)
    if len(set(names)) < len(names):
        raise InvalidRequest(f"a name stands twice in {param}", param=param)
    return tuple(known[name] for name in names)
