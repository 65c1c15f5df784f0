"""What would become of a request, for people to read. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

# What an option of a strategy may say of itself, and how.
_VALUES = {
    "weight": "weight {}",
    "uses": "{} uses",
    "in_flight": "{} under way",
    "first_byte_ms": "first byte {} ms",
    "headroom": "{:.0%} left",
    "expected_cost_nano_usd": "costs {usd} USD",
    "warm_seconds_ago": "warm {} s ago",
}


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Of what ``POST /api/simulate-route`` answers."""
    through = f" through combo {found['combo']}" if found.get("combo") else ""
    count = found["candidates"]
    told = f"{count} candidate{'s' if count != 1 else ''}, revision {found['revision']}, {found['router']}"
    yield f"{found['model']}{through}: {told}"
    for order in found.get("orders", ()):
        yield _order(order)
    steps: Sequence[Mapping[str, Any]] = found.get("steps", ())
    if steps:
        yield ""
        yield from _table([_HEAD, *(_row(number, step) for number, step in enumerate(steps, 1))])
    if found.get("left_out"):
        yield f"and {found['left_out']} more"
    if refused := found.get("refused"):
        yield ""
        yield f"The client would be refused with {refused['status']} {refused['code']}: {refused['message']}"


def usd(nano: int) -> str:
    """Without zeros at its end."""
    return f"{Decimal(nano).scaleb(-9).normalize():f}"


_HEAD = ("", "ACCOUNT", "MODEL", "", "TOKENS", "RESERVED", "EXPECTED", "PRICE IN/OUT", "")


def _row(number: int, step: Mapping[str, Any]) -> tuple[str, ...]:
    price = step.get("price")
    per_million = f"{usd(price['input'])}/{usd(price['output'])}" if price else "unknown"
    if step["outcome"] != "would_be_asked":
        why = step.get("cause", "")
        if step["outcome"] == "would_wait":
            why = f"{step.get('wait', 0)} s for its turn"
            return str(number), step["account"], step["model"], "waits", "", "", "", per_million, why
        if why == "paced":
            why = f"its rate limit, for {step.get('wait', 0)} s more"
        elif why == "limit":
            why = f"a limit of it, for {step.get('wait', 0)} s more"
        elif why == "limit_spent":
            why = "a limit of it, which is used up"
        elif why != "budget":
            who = "the provider said so" if step.get("told") else "suspected"
            why = f"{why} for {step.get('wait', 0)} s more, {who}"
        return str(number), step["account"], step["model"], "passed over", "", "", "", per_million, why
    expected = step.get("expected_cost_nano_usd")
    notes = [word for word in ("early", "probe") if step.get(word)]
    notes += [f"the next besides it after {step['hedge_ms']} ms"] if "hedge_ms" in step else []
    return (
        str(number),
        step["account"],
        step["model"],
        "asked",
        str(step.get("granted_output_tokens", "")),
        usd(step.get("reserved_nano_usd", 0)),
        usd(expected) if expected is not None else "unknown",
        per_million,
        ", ".join(notes),
    )


def _order(order: Mapping[str, Any]) -> str:
    more = [f"turn {order['turn']}"] if "turn" in order else []
    more += [f"sticky {order['sticky']}"] if order.get("sticky", 1) != 1 else []
    named = f"{order['scope']}: {order['strategy']}{' (' + ', '.join(more) + ')' if more else ''}"
    left_out = f", and {order['left_out']} more" if order.get("left_out") else ""
    return f"{named}: {', '.join(map(_option, order['options']))}{left_out}"


def _option(option: Mapping[str, Any]) -> str:
    values = [text.format(option[name], usd=usd(option[name]) if "nano" in name else "")
              for name, text in _VALUES.items() if name in option]  # fmt: skip
    values += ["cooling"] if option.get("cooling") else []
    return f"{option['name']}{' (' + ', '.join(values) + ')' if values else ''}"


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
