"""``/api/reports``: what a month has cost."""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel
from starlette.requests import Request

from omni_dashboard.domain.access import DEVELOPER
from omni_dashboard.server.routes import Row, identity_of, management_of
from omni_dashboard.server.schemas import Totals
from omni_dashboard.usage import spending
from omni_dashboard.usage.analysis import Line


class SpentLine(BaseModel):
    """``share`` of the month's cost, 0 to 1."""

    values: dict[str, str]
    totals: Totals
    share: float


class SpendReport(BaseModel):
    """What was used in a calendar month (UTC), by what, dearest first; ``before`` is the whole of the month before. All
    lines together are ``total``, to the nano-USD. What keys used that are on no record any more (a file named them, and
    does not now) is in a line of empty names."""

    month: str
    from_ms: int
    until_ms: int
    by: list[str]
    total: Totals
    before: Totals
    lines: list[SpentLine]


def rows() -> tuple[Row, ...]:
    return (Row("GET", "/api/reports/spend", DEVELOPER, spend, SpendReport, area="usage"),)


async def spend(
    request: Request,
    month: Annotated[str, Query(max_length=7, description="such as 2026-11 (UTC); the present one if empty")] = "",
    by: Annotated[
        str, Query(max_length=100, description=f"of {', '.join(spending.OF)}, with commas between")
    ] = "organisation,team",
) -> SpendReport:
    """What a month has cost, by whom or by what. An admin sees all keys, a developer their own (by key, model, provider
    or account)."""
    management, identity = management_of(request), identity_of(request)
    month = month or spending.month_of(management.now_ms())
    asked = spending.report(month, by)
    found = await management.analyse(identity, asked)
    before = await management.analyse(identity, spending.report(spending.month_before(month), ""))
    whole = found.total.now.totals.cost_nano_usd
    return SpendReport(
        month=month,
        from_ms=asked.from_ms,
        until_ms=asked.until_ms,
        by=[*asked.names],
        total=Totals.of(found.total.now.totals),
        before=Totals.of(before.total.now.totals),
        lines=[_line(asked.names, line, whole) for line in found.lines],
    )


def _line(names: tuple[str, ...], line: Line, whole: int) -> SpentLine:
    totals = line.now.totals
    return SpentLine(
        values=dict(zip(names, line.values, strict=True)),
        totals=Totals.of(totals),
        share=round(totals.cost_nano_usd / whole, 6) if whole else 0.0,
    )
