"""Several pages of numbers as one."""

import pytest
from omni_launch.totals import Totals
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

ODD = 'a "b" \\ \n c'


def page(requests: int, seconds: float, revision: int) -> str:
    registry = CollectorRegistry()
    Counter("omniroute_requests", 'with "odd" text', ["model"], registry=registry).labels(ODD).inc(requests)
    Histogram("omniroute_seconds", "how long", registry=registry, buckets=(1, 2)).observe(seconds)
    Gauge("omniroute_revision", "which", ["service"], registry=registry).labels("edge").set(revision)
    return generate_latest(registry).decode()


def read(totals: Totals) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(totals.page().decode())
        for sample in family.samples
    }


def test_what_is_counted_is_added_up_and_what_is_shown_is_shown_of_each() -> None:
    totals = Totals()
    totals.add(page(2, 0.5, 7), worker="1")
    totals.add(page(3, 1.5, 8), worker="2")
    found = read(totals)
    assert found["omniroute_requests_total", frozenset({("model", ODD)})] == 5
    assert found["omniroute_seconds_count", frozenset()] == 2
    assert found["omniroute_seconds_sum", frozenset()] == 2.0
    assert found["omniroute_seconds_bucket", frozenset({("le", "1.0")})] == 1
    assert found["omniroute_seconds_bucket", frozenset({("le", "+Inf")})] == 2
    assert found["omniroute_revision", frozenset({("service", "edge"), ("worker", "1")})] == 7
    assert found["omniroute_revision", frozenset({("service", "edge"), ("worker", "2")})] == 8
    assert not any(name.endswith("_created") for name, _ in found)


def test_who_is_gone_is_still_counted_and_shown_no_more() -> None:
    gone = Totals()
    gone.add(page(10, 1.5, 6), gauges=False)
    now = gone.copy()
    now.add(page(1, 1.5, 7), worker="1")
    assert read(now)["omniroute_requests_total", frozenset({("model", ODD)})] == 11
    assert [value for (name, _), value in read(now).items() if name == "omniroute_revision"] == [7]
    assert read(gone)["omniroute_requests_total", frozenset({("model", ODD)})] == 10, "a copy is one"


def test_a_page_that_was_cut_short_is_refused_whole() -> None:
    totals = Totals()
    with pytest.raises(ValueError):
        totals.add(page(1, 1, 1)[:-30] + 'x{a="', worker="1")
    assert totals.page() == b""
