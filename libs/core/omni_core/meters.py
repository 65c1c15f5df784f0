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


class Count:
    """One series of a ``Meter``; whoever counts it often adds to ``value`` itself."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Meter(Collector):
    """A counter. ``name`` without "_total"; ``labels`` are names here and values, in the same order, in ``add``."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._series: dict[Labels, Count] = {} if labels else {(): Count()}
        registry.register(self)

    def series(self, labels: Labels = ()) -> Count:
        """To be kept by whoever counts one often. It shows from now on, with 0 at first."""
        found = self._series.get(labels)
        if found is None:
            if len(self._series) >= MOST_COUNTED:
                labels = _other(labels)
            found = self._series.setdefault(labels, Count())
        return found

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        try:
            self._series[labels].value += amount
        except KeyError:
            self.series(labels).value += amount

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, count in list(self._series.items()):
            family.add_metric(labels, count.value)
        return [family]


class Distribution:
    """One series of a ``Spread``."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class Spread(Collector):
    """A histogram. ``bounds`` are upper limits in ascending order; what is beyond them counts as infinite."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float], registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, tuple(labels), tuple(bounds)
        self._series: dict[Labels, Distribution] = {} if labels else {(): Distribution(self._bounds)}
        registry.register(self)

    def series(self, labels: Labels = ()) -> Distribution:
        """To be kept by whoever observes one often. It shows from now on."""
        found = self._series.get(labels)
        if found is None:
            if len(self._series) >= MOST_SPREAD:
                labels = _other(labels)
            found = self._series.setdefault(labels, Distribution(self._bounds))
        return found

    def observe(self, value: float, labels: Labels = ()) -> None:
        self.series(labels).observe(value)

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, series in list(self._series.items()):
            total = 0
            buckets: list[tuple[str, float]] = []
            for bound, count in zip([*map(str, self._bounds), "+Inf"], list(series.counts), strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric(labels, buckets, series.total)
        return [family]


def _other(labels: Labels) -> Labels:
    return ("other",) * len(labels)
