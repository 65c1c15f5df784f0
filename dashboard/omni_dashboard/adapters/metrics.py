"""Whether the books agree, in numbers."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from omni_dashboard.reconciler import Look

LEVELS = ("key", "limit", "rollup")


class ReconciliationMeter:
    """Satisfies ``reconciler.Meter``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        drift = Gauge(
            "omniroute_reconciliation_drift_nano_usd",
            "What ledger and events, or events and rollups, differ by without a cause, by level.",
            ["level"],
            registry=registry,
        )
        self._drift = {level: drift.labels(level) for level in LEVELS}
        runs = Counter(
            "omniroute_reconciliation_runs", "Looks at the books, by what they found.", ["result"], registry=registry
        )
        self._runs = {result: runs.labels(result) for result in ("ok", "drift", "failed")}
        self._budgets = Gauge(
            "omniroute_reconciliation_budgets", "Budgets that the last look compared.", registry=registry
        )
        self._last = Gauge(
            "omniroute_reconciliation_last_run_timestamp_seconds",
            "When the books were last looked at and could be read.",
            registry=registry,
        )

    def looked(self, look: Look) -> None:
        self._runs["failed" if look.failed else "ok" if look.ok else "drift"].inc()
        if look.failed:
            return
        for level, gauge in self._drift.items():
            gauge.set(look.drift.get(level, 0))
        self._budgets.set(look.budgets)
        self._last.set(look.at_ms / 1000)
