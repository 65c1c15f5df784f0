"""The replicas."""

from tools.dashboards.grafana import HALF, QUARTER, Dashboard, Row, panel
from tools.dashboards.queries import OURS, rate, series

FLEET = Dashboard(
    uid="omniroute-fleet",
    title="Fleet",
    text="Replicas: who is there, at which revision, and how busy.",
    rows=(
        Row(
            "Members",
            (
                panel(
                    "Replicas that answer",
                    "By service.",
                    (f"sum by (job) ({series('up', OURS)})", "{{job}}"),
                ),
                panel(
                    "Pool members",
                    "As their callers see them; 'ejected' failed and is asked again in a moment.",
                    (f"max by (service, state) ({series('omniroute_pool_members')})", "{{service}} {{state}}"),
                ),
                panel(
                    "Open streams",
                    "By edge.",
                    (f"sum by (instance) ({series('omniroute_edge_active_streams')})", "{{instance}}"),
                ),
                panel(
                    "Versions",
                    "Processes by version and target.",
                    (f"sum by (version, target) ({series('omniroute_build_info')})", "{{target}} {{version}}"),
                    width=HALF,
                ),
                panel(
                    "Running for",
                    "Since the process started.",
                    (f"time() - {series('omniroute_process_start_time_seconds')}", "{{job}} {{instance}}"),
                    unit="s",
                    width=HALF,
                ),
            ),
        ),
        Row(
            "Configuration",
            (
                panel(
                    "Revision in force",
                    "One line when all is well.",
                    (series("omniroute:config_revision"), "{{service}} {{instance}}"),
                    width=QUARTER,
                ),
                panel(
                    "Revision refused",
                    "0 where none is.",
                    (series("omniroute:config_refused_revision"), "{{service}} {{instance}}"),
                    width=QUARTER,
                ),
                panel(
                    "File refused",
                    "1 while auth refuses the configuration file.",
                    (f"max({series('omniroute_auth_config_rejected')})", "refused"),
                    width=QUARTER,
                ),
                panel(
                    "Failed publications",
                    "Attempts that NATS did not take, in the last hour.",
                    (f"sum(increase({series('omniroute_auth_publish_failures_total')}[1h]))", "failed"),
                    width=QUARTER,
                ),
            ),
        ),
        Row(
            "Processes",
            (
                panel(
                    "CPU",
                    "Of one core.",
                    (rate("omniroute_process_cpu_seconds_total", by="job, instance"), "{{job}} {{instance}}"),
                    unit="percentunit",
                ),
                panel(
                    "Memory",
                    "Resident.",
                    (series("omniroute_process_resident_memory_bytes"), "{{job}} {{instance}}"),
                    unit="bytes",
                ),
                panel(
                    "Event loop lag",
                    "How late the loop comes to what is due; a busy core shows here first.",
                    (
                        f"max by (job, instance) ({series('omniroute_process_loop_lag_seconds')})",
                        "{{job}} {{instance}}",
                    ),
                    unit="s",
                ),
                panel(
                    "Open files",
                    "Sockets, mostly.",
                    (series("omniroute_process_open_fds"), "{{job}} {{instance}}"),
                ),
                panel(
                    "Keys presented",
                    "To auth, by result; callers remember the answer for 30 s.",
                    (rate("omniroute_auth_authentications_total", by="result"), "{{result}}"),
                    unit="reqps",
                ),
                panel(
                    "Series shown",
                    "A service should stay below 5,000.",
                    (
                        f"max by (job) ({series('scrape_samples_post_metric_relabeling', OURS)})",
                        "{{job}}",
                    ),
                ),
            ),
        ),
    ),
)
