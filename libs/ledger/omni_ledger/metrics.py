"""What the ledger's client counts; what is on the request path, in dictionaries (``omni_core.meters``)."""

from omni_core.meters import Meter, Spread
from prometheus_client import CollectorRegistry, Counter, Gauge

_STEP_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.0)
ADMISSIONS = (
    "granted", "rate_limited", "budget_exhausted", "budget_held", "tokens_exhausted", "tokens_held", "breaker_open",
    "paced", "retry_budget", "unavailable", "failed",
)  # fmt: skip
SETTLEMENTS = ("settled", "late", "unknown", "again", "events", "failed")


class LedgerMetrics:
    """``admissions`` by result: "granted", a refusal's reason, "unavailable", "failed".

    ``settlements`` by result: "settled"; "late" (the reaper came first, its charge was corrected); "unknown" (no such
    reservation: given back before it arrived, or Redis lost it); "again" (a repetition, without effect); "events"
    (nothing was reserved); "failed" (Redis refused this one for good).
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.admissions = Meter(
            "omniroute_ledger_admissions", "Reservations asked for, by result", ["result"], registry
        )
        self.settlements = Meter("omniroute_ledger_settlements", "Settlements, by result", ["result"], registry)
        for meter, results in ((self.admissions, ADMISSIONS), (self.settlements, SETTLEMENTS)):
            for result in results:
                meter.add((result,), 0)  # else a rate would miss the first of each
        self.overruns = Counter(
            "omniroute_ledger_overruns", "Settlements above what was reserved, charged in full", registry=registry
        )
        self.dropped = Counter(
            "omniroute_ledger_dropped_settlements",
            "Settlements given up because too many waited for Redis; the reaper charges their reservations",
            registry=registry,
        )
        self.kept = Gauge("omniroute_ledger_kept_operations", "Settlements waiting for Redis", registry=registry)
        self.up = Gauge("omniroute_ledger_up", "1 while Redis answers", registry=registry)
        self.step_operations = Meter("omniroute_ledger_step_operations", "Operations carried by steps", [], registry)
        self.step_seconds = Spread(
            "omniroute_ledger_step_seconds",
            "Round trip of one step (a batch of operations)",
            [],
            _STEP_SECONDS,
            registry,
        )


class LeaseMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.admissions = Meter(
            "omniroute_ledger_leased_admissions",
            "Reservations granted from a slice, without asking Redis",
            [],
            registry,
        )
        self.settlements = Counter(
            "omniroute_ledger_leased_settlements", "Settlements of such that Redis has been told", registry=registry
        )
        self.slices = Gauge("omniroute_ledger_slices", "Slices of limits that this router holds", registry=registry)
        self.broken = Counter(
            "omniroute_ledger_journal_failures",
            "Attempts that could not be noted; from then on nothing is admitted from slices",
            registry=registry,
        )
        self.recovered = Counter(
            "omniroute_ledger_recovered_attempts",
            "Attempts read out of what killed processes left, by what they came to",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("settled", "aborted"):
            self.recovered.labels(outcome)
        self.bad_records = Counter(
            "omniroute_ledger_journal_bad_records",
            "Records of such journals that are damaged, and were moved aside",
            registry=registry,
        )


class RelayMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.waiting = Gauge(
            "omniroute_ledger_outbox_events", "Events waiting in this router's outbox", registry=registry
        )
        self.events = Counter("omniroute_ledger_relayed_events", "Events acknowledged by JetStream", registry=registry)
        self.batches = Counter(
            "omniroute_ledger_relayed_batches", "Messages acknowledged by JetStream", registry=registry
        )
        self.failures = Counter(
            "omniroute_ledger_relay_failures", "Turns that failed because Redis or NATS was away", registry=registry
        )
