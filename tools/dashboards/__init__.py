"""The Grafana dashboards of OmniRoute, as code: ``make dashboards`` writes them into deploy/grafana/dashboards."""

from tools.dashboards.fleet import FLEET
from tools.dashboards.overview import OVERVIEW
from tools.dashboards.pipeline import PIPELINE
from tools.dashboards.routing import ROUTING

DASHBOARDS = (OVERVIEW, ROUTING, PIPELINE, FLEET)
