"""The books, looked at: which budgets there are, and what the attempts cost that they count."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from omni_core.ports.analytics import Standing, UsageQuery, UsageReport
from omni_core.ports.quota import KeyState, LimitState, QuotaSnapshot
from omni_wire.errors import DependencyUnavailable

from omni_dashboard.domain.reconciliation import Book, Proof, judge, moments

# Limits that count what is not all of some keys'; a limit of an organisation has no slash in its name.
_NO_KEYS = ("tag/", "provider/", "account/", "model/", "tier/")

Query = Callable[[UsageQuery], Awaitable[UsageReport]]


async def audited(
    snapshot: Callable[[], Awaitable[QuotaSnapshot]], standing: Callable[[], Awaitable[Standing]], query: Query
) -> Proof:
    """Asked in this order: what had left the ledger's outboxes before, and is not in the stream any more, is stored."""
    before = await snapshot()
    found = books(before)
    counted = await standing()
    wanted = sorted(moments(found, counted.kept_from_ms))
    from_rows = True
    try:
        spent = await _spent(wanted, query, from_rows=True)
    except DependencyUnavailable:
        # More rows than can be added up while somebody waits: what they added up to when they came is asked for.
        from_rows = False
        spent = await _spent(wanted, query, from_rows=False)
    after = await snapshot()
    return judge(
        found,
        books(after),
        spent,
        frozenset(key.key_id for key in (*before.keys, *after.keys)),
        waiting_events=before.waiting_events,
        pending_messages=counted.pending,
        kept_from_ms=counted.kept_from_ms,
        from_rows=from_rows,
    )


async def _spent(wanted: Sequence[int], query: Query, *, from_rows: bool) -> dict[int, dict[str, int]]:
    """Nano-USD by key, of what began since each moment; they are in order. No event is read twice."""
    found: dict[int, dict[str, int]] = {}
    spent: dict[str, int] = {}
    for moment, end in reversed([*zip(wanted, [*wanted, 0][1:], strict=True)]):
        report = await query(UsageQuery(moment, end, group_by="key", from_rows=from_rows))
        for key, totals in report.groups.items():
            spent[key] = spent.get(key, 0) + totals.cost_nano_usd
        found[moment] = dict(spent)
    return found


def books(snapshot: QuotaSnapshot) -> list[Book]:
    """Every budget there is: keys', then shared ones."""
    sharing: dict[str, set[str]] = {}
    for key in snapshot.keys:
        for limit_id in key.limit_ids:
            sharing.setdefault(limit_id, set()).add(key.key_id)
    found = [_book("key", key.key_id, key.key_id, key, {key.key_id}) for key in snapshot.keys if key.budget_window]
    return found + [
        _book("limit", limit.limit_id, limit.name, limit, sharing.get(limit.limit_id, ()))
        for limit in snapshot.limits
        if limit.budget_window and not limit.name.startswith(_NO_KEYS)
    ]


def _book(level: str, id_: str, name: str, state: KeyState | LimitState, keys: Iterable[str]) -> Book:
    return Book(
        level, id_, name, state.budget_window, state.budget_resets_at, state.budget_since_ms, state.spent_nano_usd,
        frozenset(keys),
    )  # fmt: skip
