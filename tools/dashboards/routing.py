"""Who is admitted, and what deciding costs."""

from tools.dashboards.grafana import Dashboard, Row, panel
from tools.dashboards.queries import rate, ratio, series, spread

ROUTING = Dashboard(
    uid="omniroute-routing",
    title="Routing and quota",
    text="Who is admitted, what is held, which accounts are given up, and what deciding costs.",
    rows=(
        Row(
            "Admission",
            (
                panel(
                    "Admissions",
                    "Reservations asked for, by result.",
                    (rate("omniroute_ledger_admissions_total", by="result"), "{{result}}"),
                    unit="reqps",
                ),
                panel(
                    "Settlements",
                    "'late' came after the reaper, 'unknown' belongs to no reservation, 'failed' was refused for good.",
                    (rate("omniroute_ledger_settlements_total", by="result"), "{{result}}"),
                    unit="reqps",
                ),
                panel(
                    "Open reservations",
                    "Held for attempts under way.",
                    (f"max({series('omniroute_quota_open_reservations')})", "open"),
                ),
                panel(
                    "Breakers",
                    "Accounts by the state of their breaker.",
                    (f"max by (state) ({series('omniroute_quota_breakers')})", "{{state}}"),
                ),
                panel(
                    "Tries at other members",
                    "Calls between services: at once, at another member, or at none.",
                    (rate("omniroute_pool_tries_total", by="service, outcome"), "{{service}} {{outcome}}"),
                    unit="reqps",
                ),
                panel(
                    "What conversions lost",
                    "Requests and answers that were converted, and fields that the other format has no place for.",
                    (rate("omniroute_translator_requests_total", by="outcome"), "requests {{outcome}}"),
                    (rate("omniroute_translator_answers_total", by="outcome"), "answers {{outcome}}"),
                    (rate("omniroute_translator_losses_total"), "fields lost"),
                    unit="reqps",
                ),
            ),
        ),
        Row(
            "Ledger",
            (
                spread("Steps", "Round trip of a batch of operations in Redis.", "omniroute_ledger_step_seconds"),
                panel(
                    "Operations a step",
                    "How much one round trip carries.",
                    (
                        ratio(
                            rate("omniroute_ledger_step_operations_total"), rate("omniroute_ledger_step_seconds_count")
                        ),
                        "operations",
                    ),
                ),
                panel(
                    "Redis answers",
                    "1 where it does.",
                    (f"min by (job, instance) ({series('omniroute_ledger_up')})", "{{job}} {{instance}}"),
                ),
                panel(
                    "Charged in full",
                    "Reservations that nobody settled, and settlements above their reservation, in the last hour.",
                    (f"sum(increase({series('omniroute_quota_reaped_reservations_total')}[1h]))", "reaped"),
                    (f"sum(increase({series('omniroute_ledger_overruns_total')}[1h]))", "overruns"),
                ),
                panel(
                    "Reaped, USD",
                    "Charged in the last hour because a router died with it.",
                    (f"sum(increase({series('omniroute_quota_reaped_usd_total')}[1h]))", "USD"),
                    unit="currencyUSD",
                ),
                panel(
                    "Quota's own failures",
                    "Rounds that failed, by task.",
                    (rate("omniroute_quota_failures_total", by="task"), "{{task}}"),
                ),
            ),
        ),
    ),
)
