"""Grafana dashboards as values: rows of panels, laid out in order, written as the JSON that Grafana provisions.

Ids, uids and positions follow from the order, so the same input gives the same bytes.
"""

import json
from typing import Any

import msgspec

DATASOURCE = {"type": "prometheus", "uid": "omniroute-prometheus"}
# Of the 24 columns of Grafana's grid.
THIRD, QUARTER, SIXTH, HALF = 8, 6, 4, 12
_HEIGHT = {"timeseries": 8, "stat": 4}


class Query(msgspec.Struct, frozen=True):
    """A PromQL expression, and what a series of it is called ("{{label}}")."""

    expr: str
    legend: str = ""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """``unit`` is one of Grafana's ("s", "reqps", "percentunit", "short", …); ``text`` says what to read from it."""

    title: str
    text: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = THIRD
    stacked: bool = False


class Row(msgspec.Struct, frozen=True):
    title: str
    panels: tuple[Panel, ...]


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """``uid`` is its place in URLs: never changed, unique among all."""

    uid: str
    title: str
    text: str
    rows: tuple[Row, ...]


def panel(
    title: str,
    text: str,
    *queries: tuple[str, str] | str,
    unit: str = "short",
    kind: str = "timeseries",
    width: int = THIRD,
    stacked: bool = False,
) -> Panel:
    """A panel of (expression, legend) pairs, or of bare expressions."""
    made = tuple(Query(query) if isinstance(query, str) else Query(*query) for query in queries)
    return Panel(title=title, text=text, queries=made, unit=unit, kind=kind, width=width, stacked=stacked)


def render(dashboard: Dashboard) -> str:
    """The JSON of one dashboard."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        panels.append(
            {
                "type": "row",
                "id": len(panels) + 1,
                "title": row.title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
                "panels": [],
            }
        )
        y += 1
        x = tallest = 0
        for one in row.panels:
            if x + one.width > 24:
                x, y, tallest = 0, y + tallest, 0
            panels.append(_panel(one, len(panels) + 1, x, y))
            x += one.width
            tallest = max(tallest, _HEIGHT[one.kind])
        y += tallest
    return json.dumps(_shell(dashboard, panels), indent=1, ensure_ascii=False) + "\n"


def _panel(one: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    if one.stacked:
        custom |= {"fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
    options: dict[str, Any] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if one.kind == "stat":
        custom = {}
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "area"}
    return {
        "type": one.kind,
        "id": number,
        "title": one.title,
        "description": one.text,
        "datasource": DATASOURCE,
        "gridPos": {"h": _HEIGHT[one.kind], "w": one.width, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": one.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "range": True,
            }
            for index, query in enumerate(one.queries)
        ],
    }


def _variable(name: str, label: str, query: str) -> dict[str, Any]:
    """A choice of several label values, all of them at first."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _shell(dashboard: Dashboard, panels: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["omniroute"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "dashboards", "title": "OmniRoute", "tags": ["omniroute"], "asDropdown": True, "keepTime": True}
        ],
        "templating": {
            "list": [
                _variable("service", "Service", 'label_values(up{job!="prometheus"}, job)'),
                _variable("instance", "Instance", 'label_values(up{job=~"$service"}, instance)'),
            ]
        },
        "annotations": {"list": []},
        "panels": panels,
    }
