"""The books, looked at: which budgets there are, and what the attempts were settled at that are on them."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from omni_core.ports.analytics import Charge, Standing, UsageQuery, UsageReport
from omni_core.ports.quota import KeyState, LimitState, QuotaSnapshot
from omni_wire.errors import DependencyUnavailable

from omni_dashboard.domain.reconciliation import Book, Proof, Spent, judge, moments, only_by_key, rollup_difference

# What limits are called that count other things than all of some keys' attempts. A key's name has no slash.
_NO_KEYS = ("tag/", "provider/", "account/", "model/", "tier/")

Query = Callable[[UsageQuery], Awaitable[UsageReport]]
Charges = Callable[[int, int], Awaitable[list[Charge]]]


async def audited(
    snapshot: Callable[[], Awaitable[QuotaSnapshot]],
    standing: Callable[[], Awaitable[Standing]],
    query: Query,
    charges: Charges,
) -> Proof:
    """Asked in this order: what had left the ledger's outboxes before, and is not in the stream any more, is stored."""
    before = await snapshot()
    found = books(before)
    counted = await standing()
    wanted = sorted(moments(found, counted.kept_from_ms))
    from_rows, rollups = True, 0
    try:
        spent, rollups = await _spent(wanted, query, charges)
    except DependencyUnavailable:
        # More rows than can be added up while somebody waits: what they added up to when they came is asked for.
        # These do not say which budgets were charged, without which only those are known that are of keys alone.
        from_rows = False
        found = [book for book in found if not book.name.startswith(_NO_KEYS)]
        spent = await _rolled_up(wanted, query)
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
        rollup_difference=rollups,
    )


async def _spent(wanted: Sequence[int], query: Query, charges: Charges) -> tuple[dict[int, Spent], int]:
    """What was spent since each moment, which are in order, and what the rollups have more. No event is read twice."""
    if not wanted:
        return {}, 0
    before = (await query(UsageQuery(wanted[0]))).totals.cost_nano_usd
    found: dict[int, Spent] = {}
    spent: dict[tuple[str, tuple[str, ...] | None], int] = {}
    cost = 0
    for moment, end in reversed([*zip(wanted, [*wanted, 0][1:], strict=True)]):
        for charge in await charges(moment, end):
            place = charge.key_id, charge.charged if charge.told else None
            spent[place] = spent.get(place, 0) + charge.nano_usd
            cost += charge.cost_nano_usd
        found[moment] = dict(spent)
    after = (await query(UsageQuery(wanted[0]))).totals.cost_nano_usd
    return found, rollup_difference(before, cost, after)


async def _rolled_up(wanted: Sequence[int], query: Query) -> dict[int, Spent]:
    """The same without knowing which budgets were charged."""
    found: dict[int, Spent] = {}
    spent: dict[str, int] = {}
    for moment, end in reversed([*zip(wanted, [*wanted, 0][1:], strict=True)]):
        report = await query(UsageQuery(moment, end, group_by="key"))
        for key, totals in report.groups.items():
            spent[key] = spent.get(key, 0) + totals.cost_nano_usd
        found[moment] = only_by_key(spent)
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
        if limit.budget_window
    ]


def _book(level: str, id_: str, name: str, state: KeyState | LimitState, keys: Iterable[str]) -> Book:
    return Book(
        level, id_, name, state.budget_window, state.budget_resets_at, state.budget_since_ms, state.spent_nano_usd,
        frozenset(keys),
    )  # fmt: skip
