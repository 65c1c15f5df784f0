"""Usage as a file: rows one after another, each a line of CSV or of JSON; and what a file of columns has. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Protocol

import msgspec
from omni_core.ports.analytics import ROLLED, AttemptFound, RequestFound, UsageTotals
from omni_wire.usage import Usage

from omni_dashboard.domain.values import usd

Row = Mapping[str, int | float | str | bool | None]
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
# What a decimal text holds.
DECIMAL = Decimal
# A spreadsheet takes a cell that begins so for a formula (owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_USAGE = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "estimated")
_OF_REQUEST = (
    "id", "request_id", "started_ms", "duration_ms", "first_byte_ms", "overhead_us", "key_id", "client_format",
    "model_requested", "combo", "provider", "account_id", "model_served", "stream", "status", "outcome", "error_kind",
    "cost_nano_usd", "pricing", "config_revision", "router_id",
)  # fmt: skip
_OF_ATTEMPT = (
    "id", "request_id", "started_ms", "duration_ms", "first_byte_ms", "key_id", "provider", "account_id", "model",
    "provider_format", "provider_status", "outcome", "error_kind", "cost_nano_usd", "reserved_nano_usd", "pricing",
    "overrun", "router_id",
)  # fmt: skip


def columns(kind: str) -> dict[str, type]:
    """The names of what a row of "requests", "attempts" or "usage" has, and what each holds."""
    if kind == "usage":
        return {
            "at_ms": int,
            **dict.fromkeys(ROLLED, str),
            **dict.fromkeys((*UsageTotals.__struct_fields__, "total_tokens"), int),
            **_COST,
        }
    found, names = (RequestFound, _OF_REQUEST) if kind == "requests" else (AttemptFound, _OF_ATTEMPT)
    own: dict[str, type] = {name: found.__annotations__[name] for name in names}
    used: dict[str, type] = {name: Usage.__annotations__[name] for name in _USAGE}
    return own | used | _COST | ({"losses": str} if kind == "requests" else {})


_COST: dict[str, type] = {"cost_usd": DECIMAL}


def request_row(found: RequestFound) -> Row:
    return _row(found, _OF_REQUEST) | {"losses": " ".join(found.losses)}


def attempt_row(found: AttemptFound) -> Row:
    return _row(found, _OF_ATTEMPT)


def _row(found: RequestFound | AttemptFound, names: Iterable[str]) -> dict[str, int | float | str | bool | None]:
    own = {name: getattr(found, name) for name in names}
    return own | {name: getattr(found.usage, name) for name in _USAGE} | {"cost_usd": usd(found.cost_nano_usd)}


class Writer(Protocol):
    """Writes a file as its rows come."""

    def add(self, rows: Iterable[Row]) -> bytes: ...

    def end(self) -> bytes: ...


class CsvWriter:
    """Satisfies ``Writer``: the names of columns before the first row; no text is a formula."""

    def __init__(self, columns: Mapping[str, type]) -> None:
        self._begun = False

    def add(self, rows: Iterable[Row]) -> bytes:
        out = io.StringIO()
        lines = csv.writer(out)
        for row in rows:
            if not self._begun:
                self._begun = True
                lines.writerow(row)
            lines.writerow([cell(value) for value in row.values()])
        return out.getvalue().encode()

    def end(self) -> bytes:
        return b""


class JsonLines:
    """Satisfies ``Writer``."""

    def __init__(self, columns: Mapping[str, type]) -> None:
        self._encode = msgspec.json.encode

    def add(self, rows: Iterable[Row]) -> bytes:
        return b"".join([self._encode(row) + b"\n" for row in rows])

    def end(self) -> bytes:
        return b""


WRITERS: dict[str, Callable[[Mapping[str, type]], Writer]] = {"csv": CsvWriter, "jsonl": JsonLines}


def cell(value: int | float | str | bool | None) -> int | float | str | None:
    """As it stands in CSV: no text is a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
