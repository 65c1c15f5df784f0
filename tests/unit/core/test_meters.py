"""What the hot path counts is what Prometheus reads."""

from omni_core.meters import MOST_COUNTED, MOST_SPREAD, Meter, Spread
from omni_core.telemetry import new_registry
from prometheus_client import generate_latest


def test_a_meter_counts_by_label() -> None:
    registry = new_registry()
    meter = Meter("omniroute_test_things", "Things.", ["kind"], registry)
    meter.add(("a",))
    meter.add(("a",), 2)
    assert registry.get_sample_value("omniroute_test_things_total", {"kind": "a"}) == 3


def test_a_meter_without_labels_begins_at_zero() -> None:
    registry = new_registry()
    Meter("omniroute_test_none", "Nothing yet.", [], registry)
    assert registry.get_sample_value("omniroute_test_none_total") == 0


def test_a_spread_counts_up_to_each_bound() -> None:
    registry = new_registry()
    spread = Spread("omniroute_test_seconds", "Spans.", ["stream"], (0.1, 1.0), registry)
    for value in (0.05, 0.1, 0.5, 7.0):
        spread.observe(value, ("true",))
    text = generate_latest(registry).decode()
    assert 'omniroute_test_seconds_bucket{le="0.1",stream="true"} 2.0' in text
    assert 'omniroute_test_seconds_bucket{le="1.0",stream="true"} 3.0' in text
    assert 'omniroute_test_seconds_bucket{le="+Inf",stream="true"} 4.0' in text
    assert 'omniroute_test_seconds_sum{stream="true"} 7.65' in text
    assert 'omniroute_test_seconds_count{stream="true"} 4.0' in text


def test_label_sets_without_end_are_counted_as_other() -> None:
    registry = new_registry()
    meter = Meter("omniroute_test_wild", "Wild.", ["provider", "kind"], registry)
    spread = Spread("omniroute_test_wild_seconds", "Wild.", ["provider"], (1.0,), registry)
    for number in range(2 * MOST_COUNTED):
        meter.add((str(number), "a"))
        spread.observe(0.5, (str(number),))
    meter.add(("1", "a"), 10)
    assert registry.get_sample_value("omniroute_test_wild_total", {"provider": "1", "kind": "a"}) == 11
    rest = registry.get_sample_value("omniroute_test_wild_total", {"provider": "other", "kind": "other"})
    assert rest == MOST_COUNTED
    assert generate_latest(registry).count(b"omniroute_test_wild_total{") == MOST_COUNTED + 1
    count = registry.get_sample_value("omniroute_test_wild_seconds_count", {"provider": "other"})
    assert count == 2 * MOST_COUNTED - MOST_SPREAD
    assert generate_latest(registry).count(b"omniroute_test_wild_seconds_count{") == MOST_SPREAD + 1


def test_a_series_that_is_kept_counts_in_its_meter() -> None:
    registry = new_registry()
    meter = Meter("omniroute_test_kept", "Kept.", ["kind"], registry)
    spread = Spread("omniroute_test_kept_seconds", "Kept.", ["kind"], (1.0,), registry)
    kept = meter.series(("a",))
    assert registry.get_sample_value("omniroute_test_kept_total", {"kind": "a"}) == 0
    kept.value += 2
    meter.add(("a",))
    assert registry.get_sample_value("omniroute_test_kept_total", {"kind": "a"}) == 3
    spread.series(("a",)).observe(0.5)
    spread.observe(2.0, ("a",))
    assert registry.get_sample_value("omniroute_test_kept_seconds_count", {"kind": "a"}) == 2
    assert registry.get_sample_value("omniroute_test_kept_seconds_sum", {"kind": "a"}) == 2.5
