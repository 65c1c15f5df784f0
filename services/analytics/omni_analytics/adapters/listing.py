"""Pages of recorded requests and attempts, by when they began: the index of that is walked from where the page before
ended, so that no page costs more than another."""

from typing import Any

from omni_core.ports.analytics import Listed, Listing

from omni_analytics.adapters.asking import OF_ATTEMPT, OF_REQUEST, filtered
from omni_analytics.adapters.database import Database
from omni_analytics.adapters.finding import ATTEMPT, REQUEST, attempt_found, request_found

# ruff: noqa: S608 - names from this code only
# What ``text`` may be the whole of, and a part of.
_IDS = {"request": ("id", "request_id"), "attempt": ("id", "request_id")}
_NAMES = {
    "request": ("model_requested", "model_served", "combo", "account_id", "error_kind"),
    "attempt": ("model", "account_id", "error_kind", "proxy"),
}


def listed(database: Database, asked: Listing) -> Listed:
    """One page, and where the next begins."""
    column, names = (OF_REQUEST, REQUEST) if asked.kind == "request" else (OF_ATTEMPT, ATTEMPT)
    where, values = filtered(database, asked.filters, column, "id" if asked.kind == "request" else "request_id")
    for sign, at in ((">=", asked.from_ms), ("<", asked.until_ms)):
        if at:
            where.append(f"started_ms {sign} ?")
            values.append(at)
    way, beyond = ("ASC", ">") if asked.oldest else ("DESC", "<")
    if asked.after:
        began, _, last = asked.after.partition("-")
        # The first alone would do, but is what both databases look for in the index.
        where += [f"started_ms {beyond}= ?", f"(started_ms, id) {beyond} (?, ?)"]
        values += [int(began), int(began), last]
    if asked.text:
        some, given = _containing(asked)
        where.append(some)
        values += given
    sql = (
        f"SELECT {', '.join(names)} FROM {asked.kind}_event{' WHERE ' if where else ''}{' AND '.join(where)} "
        f"ORDER BY started_ms {way}, id {way} LIMIT ?"
    )
    rows = database.execute(sql, [*values, asked.limit + 1]).fetchall()
    shown = [dict(zip(names, row, strict=True)) for row in rows[: asked.limit]]
    following = f"{shown[-1]['started_ms']}-{shown[-1]['id']}" if len(rows) > asked.limit else ""
    if asked.kind == "request":
        return Listed(requests=tuple(map(request_found, shown)), next=following)
    return Listed(attempts=tuple(map(attempt_found, rows[: asked.limit])), next=following)


def _containing(asked: Listing) -> tuple[str, list[Any]]:
    part = asked.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    ids, names = _IDS[asked.kind], _NAMES[asked.kind]
    some = [f"{name} = ?" for name in ids] + [f"{name} LIKE ? ESCAPE '\\'" for name in names]
    return f"({' OR '.join(some)})", [asked.text] * len(ids) + [f"%{part}%"] * len(names)
