"""What ``GET /api/audit/usage`` answers."""

from pydantic import BaseModel

from omni_dashboard.domain.reconciliation import Proof, Verdict


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


class ProofOut(BaseModel):
    """``ok`` where no difference is left without a cause. ``settled`` says that nothing was under way when it was
    looked; else ask again. ``from_rows`` is false where there were too many rows to add up, and the rollups were
    taken."""

    ok: bool
    settled: bool
    waiting_events: int
    pending_messages: int
    from_rows: bool
    budgets: list[BudgetProofOut]

    @classmethod
    def of(cls, found: Proof) -> "ProofOut":
        return cls(
            ok=found.holds,
            settled=found.settled,
            waiting_events=found.waiting_events,
            pending_messages=found.pending_messages,
            from_rows=found.from_rows,
            budgets=list(map(BudgetProofOut.of, found.verdicts)),
        )
