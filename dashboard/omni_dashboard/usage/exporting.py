"""Usage as a file: rows one after another, each a line of CSV or of JSON. Pure."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping

import msgspec
from omni_core.ports.analytics import AttemptFound, RequestFound

from omni_dashboard.domain.values import usd

Row = Mapping[str, int | float | str | bool | None]
MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
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


def request_row(found: RequestFound) -> Row:
    return _row(found, _OF_REQUEST) | {"losses": " ".join(found.losses)}


def attempt_row(found: AttemptFound) -> Row:
    return _row(found, _OF_ATTEMPT)


def _row(found: RequestFound | AttemptFound, names: Iterable[str]) -> dict[str, int | float | str | bool | None]:
    own = {name: getattr(found, name) for name in names}
    return own | {name: getattr(found.usage, name) for name in _USAGE} | {"cost_usd": usd(found.cost_nano_usd)}


def as_csv() -> Callable[[Iterable[Row]], bytes]:
    """Writes rows, the names of their columns before the first; no text is a formula."""
    begun = False

    def written(rows: Iterable[Row]) -> bytes:
        nonlocal begun
        out = io.StringIO()
        lines = csv.writer(out)
        for row in rows:
            if not begun:
                begun = True
                lines.writerow(row)
            lines.writerow([cell(value) for value in row.values()])
        return out.getvalue().encode()

    return written


def as_jsonl() -> Callable[[Iterable[Row]], bytes]:
    encode = msgspec.json.encode
    return lambda rows: b"".join([encode(row) + b"\n" for row in rows])


WRITERS = {"csv": as_csv, "jsonl": as_jsonl}


def cell(value: int | float | str | bool | None) -> int | float | str | None:
    """As it stands in CSV: no text is a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
