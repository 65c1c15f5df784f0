"""How usage events travel."""

from tools.dashboards.grafana import Dashboard, Row, panel
from tools.dashboards.queries import rate, ratio, series, spread

PIPELINE = Dashboard(
    uid="omniroute-pipeline",
    title="Pipeline",
    text="How usage events travel: outbox in Redis, JetStream, analytics. Nothing here may be lost.",
    rows=(
        Row(
            "From the routers",
            (
                panel(
                    "Waiting in outboxes",
                    "Events settled but not yet delivered.",
                    (f"sum by (instance) ({series('omniroute_ledger_outbox_events')})", "{{instance}}"),
                ),
                panel(
                    "Delivered",
                    "Events acknowledged by JetStream, and by quota for routers that are gone.",
                    (rate("omniroute_ledger_relayed_events_total"), "by their router"),
                    (rate("omniroute_quota_adopted_events_total"), "by quota"),
                ),
                panel(
                    "Events a message",
                    "How many travel together.",
                    (
                        ratio(
                            rate("omniroute_ledger_relayed_events_total"),
                            rate("omniroute_ledger_relayed_batches_total"),
                        ),
                        "events",
                    ),
                ),
                panel(
                    "Kept in memory",
                    "Settlements that wait for Redis; at 20,000 they are dropped.",
                    (f"sum by (instance) ({series('omniroute_ledger_kept_operations')})", "{{instance}}"),
                ),
                panel(
                    "Dropped settlements",
                    "Given up in the last hour; the reaper charges their reservations.",
                    (f"sum(increase({series('omniroute_ledger_dropped_settlements_total')}[1h]))", "dropped"),
                ),
                panel(
                    "Failed turns",
                    "Turns of the relay that failed because Redis or NATS was away.",
                    (rate("omniroute_ledger_relay_failures_total", by="job, instance"), "{{job}} {{instance}}"),
                ),
            ),
        ),
        Row(
            "Into the accounts",
            (
                panel(
                    "Events",
                    "By kind; 'ignored' had been counted before.",
                    (rate("omniroute_analytics_events_total", by="kind, result"), "{{kind}} {{result}}"),
                ),
                panel(
                    "Lag",
                    "Age of the oldest event of the latest commit; 0 when caught up.",
                    (f"max({series('omniroute_analytics_ingest_lag_seconds')})", "lag"),
                    unit="s",
                ),
                spread("Commits", "Storing one fetch until it is on disk.", "omniroute_analytics_commit_seconds"),
                panel(
                    "Messages committed",
                    "Each carries many events.",
                    (rate("omniroute_analytics_batches_total"), "messages"),
                ),
                panel(
                    "Dead letters",
                    "Messages put aside for good, in the last six hours.",
                    (f"sum(increase({series('omniroute_analytics_dead_letters_total')}[6h]))", "dead letters"),
                ),
                panel(
                    "NATS",
                    "1 where a process is connected.",
                    (f"min by (job, instance) ({series('omniroute_nats_up')})", "{{job}} {{instance}}"),
                ),
            ),
        ),
    ),
)
