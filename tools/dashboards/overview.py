"""What clients get."""

from tools.dashboards.grafana import HALF, Dashboard, Row, panel
from tools.dashboards.queries import quantile, rate, ratio, series, spread, stat

OVERVIEW = Dashboard(
    uid="omniroute-overview",
    title="OmniRoute overview",
    text="What clients get: traffic, errors, latency, tokens and cost.",
    rows=(
        Row(
            "Now",
            (
                stat("Requests a second", "Answered at the edge.", rate("omniroute_edge_requests_total"), "reqps"),
                stat(
                    "Errors",
                    "5xx, of all answers.",
                    ratio(
                        rate("omniroute_edge_requests_total", 'status_class="5xx"'),
                        rate("omniroute_edge_requests_total"),
                    ),
                    "percentunit",
                ),
                stat(
                    "First token, p95",
                    "Of streams, at the router.",
                    quantile("0.95", "omniroute_router_first_byte_seconds", 'stream="true"'),
                    "s",
                ),
                stat("Open streams", "Being sent now.", f"sum({series('omniroute_edge_active_streams')})", "short"),
                stat("Tokens a second", "In and out.", rate("omniroute_router_tokens_total"), "short"),
                stat(
                    "Spending, USD an hour",
                    "At this rate.",
                    f"3600 * {rate('omniroute_router_cost_usd_total')}",
                    "currencyUSD",
                ),
            ),
        ),
        Row(
            "Traffic and errors",
            (
                panel(
                    "Answers by status",
                    "At the edge; 'gone' are clients that left before there was an answer.",
                    (rate("omniroute_edge_requests_total", by="status_class"), "{{status_class}}"),
                    unit="reqps",
                    stacked=True,
                ),
                panel(
                    "Requests by outcome",
                    "At the router, with the kind of error.",
                    (rate("omniroute_router_requests_total", by="outcome, error"), "{{outcome}} {{error}}"),
                    unit="reqps",
                ),
                panel(
                    "Refused, broken, abandoned",
                    "Refused by the edge itself; broken after their head was sent; left by their client.",
                    (rate("omniroute_edge_refusals_total", by="kind"), "refused: {{kind}}"),
                    (rate("omniroute_edge_broken_answers_total"), "broken"),
                    (rate("omniroute_edge_client_gone_total"), "client left"),
                    unit="reqps",
                ),
                panel(
                    "Service levels",
                    "Failed answers and late streams of the last hour; the alerts' objectives are 0.1 % and 5 %.",
                    ("omniroute:unavailable:ratio_rate1h", "failed"),
                    ("omniroute:late:ratio_rate1h", "began after 5 s"),
                    unit="percentunit",
                ),
                panel(
                    "Attempts by provider",
                    "Calls to providers; more than requests where one fails over.",
                    (rate("omniroute_router_attempts_total", by="provider"), "{{provider}}"),
                    unit="reqps",
                ),
                panel(
                    "Management requests",
                    "At the dashboard, by status.",
                    (rate("omniroute_dashboard_requests_total", by="status"), "{{status}}"),
                    unit="reqps",
                ),
            ),
        ),
        Row(
            "Latency",
            (
                spread("Whole answers", "Edge, from head to end.", "omniroute_edge_request_seconds"),
                spread(
                    "First byte", "Edge, from head to the first byte of the body.", "omniroute_edge_first_byte_seconds"
                ),
                panel(
                    "First token by provider, p95",
                    "Streams, at the router.",
                    (
                        quantile("0.95", "omniroute_router_first_byte_seconds", 'stream="true"', "provider"),
                        "{{provider}}",
                    ),
                    unit="s",
                ),
                spread(
                    "Own overhead",
                    "Time in the router that is not waiting for the provider (one request in 16).",
                    "omniroute_router_own_seconds",
                ),
                panel(
                    "Stages, p95",
                    "Plan, admit, encode, provider (one request in 16).",
                    (quantile("0.95", "omniroute_router_stage_seconds", by="stage"), "{{stage}}"),
                    unit="s",
                    width=HALF,
                ),
            ),
        ),
        Row(
            "Tokens and cost",
            (
                panel(
                    "Tokens",
                    "By provider and direction.",
                    (rate("omniroute_router_tokens_total", by="provider, direction"), "{{provider}} {{direction}}"),
                    stacked=True,
                    width=HALF,
                ),
                panel(
                    "Cost, USD an hour",
                    "By provider, at this rate.",
                    (f"3600 * {rate('omniroute_router_cost_usd_total', by='provider')}", "{{provider}}"),
                    unit="currencyUSD",
                    stacked=True,
                    width=HALF,
                ),
            ),
        ),
    ),
)
