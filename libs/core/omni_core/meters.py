"""Counters and histograms for the hot path: plain dictionaries that Prometheus reads when it scrapes.

prometheus-client takes a lock and walks objects at every count (0.9 to 1.6 µs measured); most of what is counted here
is counted on one event loop, where a dictionary will do (0.1 µs). Not for counting from several threads.

However many providers a configuration names, a family has so many label sets and no more: what comes after them is
counted under "other", so that no configuration and no client can make a Prometheus fall over.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]

MOST_COUNTED = 500
MOST_SPREAD = 100  # each is as many series as it has bounds


class Meter(Collector):
    """A counter. ``name`` without "_total"; ``labels`` are names here and values, in the same order, in ``add``."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._values: dict[Labels, float] = {} if labels else {(): 0}
        registry.register(self)

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        values = self._values
        try:
            values[labels] += amount
        except KeyError:
            if len(values) >= MOST_COUNTED:
                labels = _other(labels)
            values[labels] = values.get(labels, 0) + amount

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in list(self._values.items()):
            family.add_metric(labels, value)
        return [family]


class Spread(Collector):
    """A histogram. ``bounds`` are upper limits in ascending order; what is beyond them counts as infinite."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, tuple(labels), tuple(bounds)
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}
        if not labels:
            self._counts[()], self._sums[()] = [0] * (len(self._bounds) + 1), 0.0
        registry.register(self)

    def observe(self, value: float, labels: Labels = ()) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            if len(self._counts) >= MOST_SPREAD:
                labels = _other(labels)
            counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
            self._sums.setdefault(labels, 0.0)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] += value

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, counts in list(self._counts.items()):
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip([*map(str, self._bounds), "+Inf"], list(counts), strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric(labels, buckets, self._sums[labels])
        return [family]


def _other(labels: Labels) -> Labels:
    return ("other",) * len(labels)
