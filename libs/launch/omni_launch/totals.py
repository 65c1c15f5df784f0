"""The numbers of several processes as those of one: what Prometheus would see had one process done all the work.

Counters, histograms and summaries are added up, also those of processes that have ended: a sum that fell would look
like a restart, and a rate would count everything twice. Gauges are said of each process, with its number as label
``worker``: the sum of two revisions is none.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_ADDED_UP = ("counter", "histogram", "summary")

Labels = tuple[tuple[str, str], ...]


class Totals(Collector):
    """Pages of /metrics, one after the other."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str]] = {}  # name: (type, help)
        self._values: dict[str, dict[tuple[str, Labels], float]] = {}

    def copy(self) -> "Totals":
        other = Totals()
        other._families = dict(self._families)
        other._values = {name: dict(values) for name, values in self._values.items()}
        return other

    def add(self, page: str, *, worker: str = "", gauges: bool = True) -> None:
        """Take a page in. ``gauges`` false leaves out what only a living process can say.

        Raises ``ValueError`` for what is no such page; then nothing of it was taken."""
        families = list(text_string_to_metric_families(page))
        label: Labels = (("worker", worker),) if worker else ()
        for family in families:
            added_up = family.type in _ADDED_UP
            if (not added_up and not gauges) or family.name.endswith("_created"):
                continue
            self._families.setdefault(family.name, (family.type, family.documentation))
            values = self._values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()) + (() if added_up else label))
                values[key] = values.get(key, 0.0) + sample.value if added_up else sample.value

    def page(self) -> bytes:
        """All of it in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterator[Metric]:
        for name, (kind, documentation) in self._families.items():
            family = Metric(name, documentation, kind)
            for (sample, labels), value in self._values[name].items():
                family.add_sample(sample, dict(labels), value)
            yield family
