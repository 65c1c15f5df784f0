"""The quota and circuit protocol over Redis: what may be spent, what was, and what is out of order.

Owns the Redis keys ``quota:*``, ``circuit:*``, ``choice:*`` (whose turn it is, who was used how often, where a
conversation's prompt cache is warm) and ``pace:*`` (how fast providers may be asked, and who waits): nobody else writes
them. Every change is one atomic step in Redis, by
Redis' clock; money is in whole nano-USD; reservations are named by attempt, leased and settled once; events leave
through an outbox that the same step fills.

Must never know models, prices, requests or wire formats, decide by the clock of a process, or change a limit in two
steps.

    Hold ──admit──▶ Grant | Refusal          Settlement ──settle──▶ spent, breaker, outbox ──Relay──▶ JetStream
                      └── nobody settled ──▶ Janitor.reap ──────────────────────▲
"""

from omni_ledger.janitor import AllowanceStanding, BreakerStanding, Janitor, KeyStanding, Reaped, Standing
from omni_ledger.journal import Journal
from omni_ledger.leasing import Leasing
from omni_ledger.ledger import Ledger
from omni_ledger.model import (
    AllowanceHold,
    BudgetHold,
    Evidence,
    Grant,
    Hold,
    LaneNews,
    LaneStanding,
    Level,
    Passage,
    Pick,
    Picked,
    Refusal,
    Retrying,
    Settlement,
    Ticket,
    WarmPlace,
)
from omni_ledger.outbox import Outbox, drain, ensure_stream
from omni_ledger.quota_model import FETCHED, Counts, Known, QuotaStanding, Told
from omni_ledger.quota_model import Turn as QuotaTurn
from omni_ledger.quotas import Quotas
from omni_ledger.relay import Relay

__all__ = [
    "FETCHED",
    "AllowanceHold",
    "AllowanceStanding",
    "BreakerStanding",
    "BudgetHold",
    "Counts",
    "Evidence",
    "Grant",
    "Hold",
    "Janitor",
    "Journal",
    "KeyStanding",
    "Known",
    "LaneNews",
    "LaneStanding",
    "Leasing",
    "Ledger",
    "Level",
    "Outbox",
    "Passage",
    "Pick",
    "Picked",
    "QuotaStanding",
    "QuotaTurn",
    "Quotas",
    "Reaped",
    "Refusal",
    "Relay",
    "Retrying",
    "Settlement",
    "Standing",
    "Ticket",
    "Told",
    "WarmPlace",
    "drain",
    "ensure_stream",
]
