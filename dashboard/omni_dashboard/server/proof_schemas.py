"""What ``GET /api/audit/usage`` answers."""

from collections.abc import Sequence

from pydantic import BaseModel

from omni_dashboard.domain.reconciliation import Proof, Verdict
from omni_dashboard.reconciler import Look


class BudgetProofOut(BaseModel):
    """One budget in its present window. Money in nano-USD: ``ledger`` is what it has as spent, ``events`` what the
    recorded attempts since ``since_ms`` (epoch milliseconds) cost; ``difference`` is what the ledger has more, or,
    below zero, less. ``causes`` say where it comes from; it is ``explained`` where there is one, or no difference."""

    level: str
    id: str
    name: str
    window: str
    resets_at: int
    since_ms: int
    ledger_nano_usd: int
    events_nano_usd: int
    difference_nano_usd: int
    explained: bool
    causes: list[str]

    @classmethod
    def of(cls, found: Verdict) -> "BudgetProofOut":
        book = found.book
        return cls(
            level=book.level,
            id=book.id,
            name=book.name,
            window=book.window,
            resets_at=book.resets_at,
            since_ms=book.since_ms,
            ledger_nano_usd=found.ledger,
            events_nano_usd=found.events,
            difference_nano_usd=found.difference,
            explained=found.explained,
            causes=list(found.causes),
        )


class LookOut(BaseModel):
    """What was found at that time (epoch milliseconds): ``drift_nano_usd`` by level, without a cause; or why nothing
    could be (``failed``)."""

    at_ms: int
    ok: bool
    drift_nano_usd: dict[str, int]
    budgets: int
    settled: bool
    from_rows: bool
    failed: str

    @classmethod
    def of(cls, found: Look) -> "LookOut":
        return cls(
            at_ms=found.at_ms,
            ok=found.ok,
            drift_nano_usd=found.drift,
            budgets=found.budgets,
            settled=found.settled,
            from_rows=found.from_rows,
            failed=found.failed,
        )


class ProofOut(BaseModel):
    """``ok`` where no difference is left without a cause. ``rollup_difference_nano_usd`` is what the rollups have
    more than the rows, or (below zero) less; ``looks`` are the latest that were made by themselves, the newest
    first. ``settled`` says that nothing was under way when it was looked; else ask again. ``from_rows`` is false
    where there were too many rows to add up, and the rollups were taken."""

    ok: bool
    settled: bool
    waiting_events: int
    pending_messages: int
    from_rows: bool
    rollup_difference_nano_usd: int
    budgets: list[BudgetProofOut]
    looks: list[LookOut]

    @classmethod
    def of(cls, found: Proof, looks: Sequence[Look] = ()) -> "ProofOut":
        return cls(
            ok=found.holds,
            settled=found.settled,
            waiting_events=found.waiting_events,
            pending_messages=found.pending_messages,
            from_rows=found.from_rows,
            rollup_difference_nano_usd=found.rollup_difference,
            budgets=list(map(BudgetProofOut.of, found.verdicts)),
            looks=list(map(LookOut.of, looks)),
        )
