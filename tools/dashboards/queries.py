"""PromQL as the dashboards write it: of the services and instances chosen above the panels."""

from tools.dashboards.grafana import SIXTH, Panel, panel

# Prometheus itself is scraped too.
OURS = 'job!="prometheus"'
QUANTILES = (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))


def series(name: str, labels: str = "") -> str:
    """The series of ``name`` of the services and instances chosen above the panels."""
    chosen = 'job=~"$service",instance=~"$instance"'
    return f"{name}{{{chosen},{labels}}}" if labels else f"{name}{{{chosen}}}"


def ratio(one: str, other: str) -> str:
    return f"{one} / {other}"


def rate(name: str, labels: str = "", by: str = "") -> str:
    """Summed increase a second of a counter."""
    return f"sum{f' by ({by})' if by else ''} (rate({series(name, labels)}[$__rate_interval]))"


def quantile(at: str, name: str, labels: str = "", by: str = "") -> str:
    """A quantile of a histogram, over all the instances chosen."""
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({at}, {rate(f'{name}_bucket', labels, groups)})"


def spread(title: str, text: str, name: str, labels: str = "", unit: str = "s") -> Panel:
    """The usual three quantiles of one histogram."""
    return panel(title, text, *((quantile(at, name, labels), legend) for at, legend in QUANTILES), unit=unit)


def stat(title: str, text: str, query: str, unit: str) -> Panel:
    return panel(title, text, query, unit=unit, kind="stat", width=SIXTH)
