"""One request, found by an id, with its attempts and its decision."""

from collections.abc import Sequence
from typing import Any

import msgspec
from omni_core.ports.analytics import AttemptFound, RequestFound
from omni_wire.usage import Apart, Usage

from omni_analytics.adapters.database import Database
from omni_analytics.domain.rows import AttemptRow, RequestRow, parts

_COUNTS = tuple(name for name in Usage.__struct_fields__ if name not in ("estimated", "apart", "suspect"))
REQUEST, ATTEMPT = parts(RequestRow).all, parts(AttemptRow).all
_TAKEN = {
    row: set(row.__struct_fields__) - {"attempts", "stream", "losses", "overrun", "charged"}
    for row in (RequestFound, AttemptFound)
}

# By its own id, and then by what a client chose, newest first. Both are looked up in an index.
_BY_ID = f"SELECT {', '.join(REQUEST)} FROM request_event WHERE id = ?"  # noqa: S608 - names from this code only
_BY_TOLD = (
    f"SELECT {', '.join(REQUEST)} FROM request_event "  # noqa: S608 - as above
    "WHERE request_id = ? AND request_id <> id ORDER BY started_ms DESC, id DESC"
)
_ATTEMPTS = (
    f"SELECT {', '.join(ATTEMPT)} FROM attempt_event "  # noqa: S608 - as above
    "WHERE request_id = ? ORDER BY started_ms, id LIMIT ?"
)
# Far above what a request may try.
_MOST_ATTEMPTS = 1000

_Fields = dict[str, str | int]


def find_request(database: Database, id_: str, key_ids: Sequence[str] | None) -> RequestFound | None:
    found = _newest(database, id_, None if key_ids is None else frozenset(key_ids))
    if found is None:
        return None
    rows = database.execute(_ATTEMPTS, (found["id"], _MOST_ATTEMPTS)).fetchall()
    tags = database.execute("SELECT tag FROM request_tag WHERE id = ? ORDER BY tag", (found["id"],)).fetchall()
    decision = database.execute("SELECT document FROM decision WHERE id = ?", (found["id"],)).fetchone()
    return request_found(
        found,
        tuple(map(attempt_found, rows)),
        bytes(decision[0]) if decision is not None else b"",
        tuple(tag for (tag,) in tags),
    )


def attempt_found(row: Sequence[Any]) -> AttemptFound:
    """Of a row whose columns are ``ATTEMPT``."""
    fields: _Fields = dict(zip(ATTEMPT, row, strict=True))
    return AttemptFound(
        **_own(AttemptFound, fields),  # type: ignore[arg-type]
        usage=_usage(fields),
        overrun=bool(fields["overrun"]),
        charged=tuple(str(fields["charged"]).split()),
    )


def request_found(
    found: _Fields, attempts: tuple[AttemptFound, ...] = (), decision: bytes = b"", tags: tuple[str, ...] = ()
) -> RequestFound:
    """Of ``REQUEST`` by name."""
    return RequestFound(
        **_own(RequestFound, found),  # type: ignore[arg-type]
        usage=_usage(found),
        stream=bool(found["stream"]),
        losses=tuple(msgspec.json.decode(str(found["losses"]), type=list[str])),
        attempts=attempts,
        tags=tags,
        decision=decision,
    )


def row_found(row: RequestRow) -> RequestFound:
    """As if it had been stored and found."""
    return request_found({name: getattr(row, name) for name in REQUEST})


def _newest(database: Database, id_: str, allowed: frozenset[str] | None) -> _Fields | None:
    for question in (_BY_ID, _BY_TOLD):
        for row in database.execute(question, (id_,)):
            fields: _Fields = dict(zip(REQUEST, row, strict=True))
            if allowed is None or fields["key_id"] in allowed:
                return fields
    return None


def _own(found: type[RequestFound] | type[AttemptFound], fields: _Fields) -> _Fields:
    """What is taken as it is stored."""
    return {name: value for name, value in fields.items() if name in _TAKEN[found]}


def _usage(fields: _Fields) -> Usage:
    counts: dict[str, Any] = {name: fields[name] for name in _COUNTS}
    apart = fields.get("apart")  # of an attempt; a request's are the sum of these
    return Usage(
        **counts,
        estimated=bool(fields["estimated"]),
        apart=msgspec.json.decode(str(apart), type=Apart) if apart else None,
        suspect=str(fields.get("suspect", "")),
    )
