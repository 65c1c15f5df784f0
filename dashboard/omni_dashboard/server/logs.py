"""``/api/logs``: what was asked, which calls to providers came of it, and what was done to keys and configuration; and
``/api/export``: the same, and what it adds up to, as a file."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from omni_core.ports.analytics import ROLLED, Breakdown, Listing
from omni_core.ports.auth import Identity
from omni_wire.errors import InvalidRequest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from omni_dashboard.domain.access import ADMIN, DEVELOPER, allow, allow_area
from omni_dashboard.domain.values import epoch_ms
from omni_dashboard.server.parquet import ParquetWriter
from omni_dashboard.server.request_schemas import CallOut, RequestLine
from omni_dashboard.server.routes import Row, identity_of, link_next, management_of
from omni_dashboard.server.schemas import AuditEntryOut, Totals
from omni_dashboard.service import Management
from omni_dashboard.usage import exporting
from omni_dashboard.usage.analysis import read_filters
from omni_dashboard.usage.measures import DIMENSIONS, FILTERS, OF_CALLS, OWNERS

Kind = Literal["request", "proxy", "audit", "console"]
Exported = Literal["requests", "attempts", "usage"]
From = Annotated[str, Query(alias="from", max_length=40, description="ISO 8601 or epoch ms, inclusive")]
Until = Annotated[str, Query(max_length=40, description="ISO 8601 or epoch ms, exclusive")]
Filters = Annotated[
    list[Annotated[str, Query(max_length=600)]],
    Query(alias="filter", description="dimension:value; of one dimension any, of several all"),
]
_ROWS = {"request": "request", "proxy": "attempt", "requests": "request", "attempts": "attempt"}
_DAY_MS = 86_400_000
_A_PAGE = 500
_TYPES = [kind.partition(";")[0] for kind in exporting.MEDIA_TYPES.values()]
_FILES: dict[str, Any] = {"responses": {"200": {"description": "the rows", "content": {key: {} for key in _TYPES}}}}


class ConsoleLine(BaseModel):
    """``number`` counts since the process began; ``line`` is as the log file has it."""

    number: int
    line: dict[str, Any]


class LogsOut(BaseModel):
    """Newest first. ``next`` is the ``after`` of the page that follows, null after the last. Of ``kind`` request: what
    clients asked, one with its stages, attempts and decision at ``/api/requests/{id}``; proxy: calls to providers;
    audit: what was done; console: the last lines of a process' log."""

    kind: str
    items: list[RequestLine | CallOut | AuditEntryOut | ConsoleLine]
    next: str | None


def rows() -> tuple[Row, ...]:
    return (
        Row("GET", "/api/logs", DEVELOPER, logs, LogsOut, area="usage"),
        Row("GET", "/api/export", DEVELOPER, export, None, area="usage", name="export_usage", more=_FILES),
    )


async def logs(
    request: Request,
    response: Response,
    kind: Annotated[
        Kind, Query(description="audit needs an admin with the area audit, console one of the platform with system")
    ] = "request",
    from_: From = "",
    until: Until = "",
    filter_: Filters = [],  # noqa: B006 - never written to
    text: Annotated[str, Query(max_length=200, description="an id, or a part of a name (model, account, error)")] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str, Query(max_length=220, description="`next` of the page before")] = "",
    process: Annotated[
        str,
        Query(
            pattern=r"^[A-Za-z0-9-]{0,100}$",
            description="of console: an `instance` of `/api/system`; else the one that answers",
        ),
    ] = "",
) -> LogsOut:
    """What happened, a page at a time. An admin sees all keys', a developer those of their own."""
    management, identity = management_of(request), identity_of(request)
    if process and kind != "console":
        raise InvalidRequest(f"process does not go with kind={kind}", param="process")
    given = {"from": from_, "until": until, "filter": filter_, "text": text}
    if kind == "audit":
        _none_of(given, kind, "from", "until", "filter", "text")
        return await _audit(request, response, limit, after)
    if kind == "console":
        _none_of(given, kind, "from", "until", "filter")
        return await _console(request, response, limit, after, text, process)
    asked = _listing(kind, from_, until, filter_, text, after, limit)
    page = await management.listed(identity, asked)
    link_next(request, response, limit, page.next)
    items: list[RequestLine | CallOut | AuditEntryOut | ConsoleLine] = [
        *map(RequestLine.line, page.requests),
        *map(CallOut.of_call, page.attempts),
    ]
    return LogsOut(kind=kind, items=items, next=page.next or None)


def _none_of(given: Mapping[str, object], kind: str, *names: str) -> None:
    """What cannot narrow it must not look as if it did. Raises ``InvalidRequest``."""
    for name in names:
        if given[name]:
            raise InvalidRequest(f"{name} does not go with kind={kind}", param=name)


async def _audit(request: Request, response: Response, limit: int, after: str) -> LogsOut:
    identity = identity_of(request)
    allow(identity.role, ADMIN, "audit")
    allow_area(identity.scopes, "audit", False)
    page = await management_of(request).audit(identity, "", _number(after), limit)
    following = str(page.next or "")
    link_next(request, response, limit, following)
    return LogsOut(kind="audit", items=list(map(AuditEntryOut.of, page.items)), next=following or None)


async def _console(request: Request, response: Response, limit: int, after: str, text: str, process: str) -> LogsOut:
    identity = identity_of(request)
    allow(identity.role, ADMIN, "system")
    allow_area(identity.scopes, "system", False)
    found = await management_of(request).console(identity, _number(after), limit + 1, text, process)
    # Another process tells what fits into its answer, so there may be more behind fewer.
    more = len(found) > limit or (process and found and found[-1].number > 1)
    following = str(found[:limit][-1].number) if more else ""
    link_next(request, response, limit, following)
    lines = [ConsoleLine(number=line.number, line=msgspec.json.decode(line.text)) for line in found[:limit]]
    return LogsOut(kind="console", items=[*lines], next=following or None)


def _number(after: str) -> int:
    if after and not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise InvalidRequest("after is not the next of a page", param="after")
    return int(after or 0)


def _listing(
    kind: str, from_: str, until: str, filters: list[str], text: str = "", after: str = "", limit: int = _A_PAGE
) -> Listing:
    """Raises ``InvalidRequest``."""
    rows_of = _ROWS[kind]
    known = FILTERS if rows_of == "request" else OF_CALLS
    return Listing(rows_of, *_span(from_, until), read_filters(filters, known), text, after, limit)


def _span(from_: str, until: str) -> tuple[int, int]:
    """Epoch milliseconds, 0 for an open end. Raises ``InvalidRequest``."""
    start, end = (epoch_ms(at, name) if at else 0 for at, name in ((from_, "from"), (until, "until")))
    if end and start > end:
        raise InvalidRequest("from is after until", param="from")
    return start, end


async def export(
    request: Request,
    kind: Annotated[Exported, Query(description="usage is what rows add up to, a line an hour and kind")] = "requests",
    format_: Annotated[Literal["csv", "jsonl", "parquet"], Query(alias="format")] = "csv",
    from_: From = "",
    until: Until = "",
    filter_: Filters = [],  # noqa: B006 - never written to
) -> Response:
    """Rows in the order in which they began, as a stream that holds a page at a time, or in Parquet a row group. Texts
    that a spreadsheet would take for a formula begin with an apostrophe in CSV."""
    management, identity = management_of(request), identity_of(request)
    writer = (exporting.WRITERS | {"parquet": ParquetWriter})[format_](exporting.columns(kind))
    if kind == "usage":
        pages = await _usage(management, identity, from_, until, filter_)
    else:
        pages = await _all(management, identity, _listing(kind, from_, until, filter_))

    async def parts() -> AsyncIterator[bytes]:
        async for page in pages:
            yield await asyncio.to_thread(writer.add, page)
        yield await asyncio.to_thread(writer.end)

    named = {"Content-Disposition": f'attachment; filename="{kind}.{format_}"'}
    return StreamingResponse(parts(), media_type=exporting.MEDIA_TYPES[format_], headers=named)


Pages = AsyncIterator[Iterable[exporting.Row]]


async def _all(management: Management, identity: Identity, asked: Listing) -> Pages:
    """The first page is asked for before anything is sent, so that what goes wrong is told by a status."""
    filters = await management.visible(identity, asked.filters)
    asked = msgspec.structs.replace(asked, filters=filters, oldest=True)
    page = await management.page(asked)

    async def pages() -> Pages:
        found = page
        while True:
            yield [*map(exporting.request_row, found.requests), *map(exporting.attempt_row, found.attempts)]
            if not found.next:
                return
            found = await management.page(msgspec.structs.replace(asked, after=found.next))

    return pages()


_ROLLED = {name: DIMENSIONS[name] for name in (*ROLLED, *OWNERS)}


async def _usage(management: Management, identity: Identity, from_: str, until: str, filters: list[str]) -> Pages:
    """What rows add up to, an hour at a time and day by day: from the rollups, which outlive rows. The first day is
    asked for before anything is sent."""
    start, end = _span(from_, until)
    if not start:
        raise InvalidRequest("usage is exported day by day: it needs a from", param="from")
    passing = await management.visible(identity, read_filters(filters, _ROLLED))
    tomorrow = management.now_ms() + _DAY_MS
    days = _days(start, min(end or tomorrow, tomorrow))

    async def a_day(at: int, following: int) -> list[exporting.Row]:
        return [
            {"at_ms": one.at_ms, **dict(zip(ROLLED, one.values, strict=True)), **Totals.of(one.totals).model_dump()}
            for one in await management.breakdown(Breakdown(at, following, ROLLED, passing, "hour"))
        ]

    first = next(days, None)
    found = await a_day(*first) if first is not None else []

    async def pages() -> Pages:
        yield found
        for day in days:
            yield await a_day(*day)

    return pages()


def _days(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The days of UTC that are in it, and what of the first and the last."""
    while start < end:
        following = min(end, start - start % _DAY_MS + _DAY_MS)
        yield start, following
        start = following
