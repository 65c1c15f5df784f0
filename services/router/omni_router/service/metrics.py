"""What the router counts. Labels are configured names and fixed words only, so their number is bounded."""

from collections.abc import Callable
from typing import TypeVar

from omni_catalogue.catalogue import Candidate
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from omni_router.domain.records import RequestRecord

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_Metric = TypeVar("_Metric", Counter, Histogram)


def _children(parent: _Metric) -> Callable[..., _Metric]:
    """``parent.labels``, remembered: looking a child up costs more than counting in it."""
    bound: dict[tuple[str, ...], _Metric] = {}

    def child(*labels: str) -> _Metric:
        found = bound.get(labels)
        if found is None:
            found = bound[labels] = parent.labels(*labels)
        return found

    return child


class RouterMetrics:
    """``observe`` once a request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return _children(Counter(f"omniroute_router_{name}", text, labels, registry=registry))

        def histogram(name: str, text: str, *labels: str) -> Callable[..., Histogram]:
            return _children(Histogram(f"omniroute_router_{name}", text, labels, registry=registry, buckets=_SECONDS))

        self._requests = counter("requests_total", "Requests taken.", "outcome", "error")
        self._attempts = counter("attempts_total", "Calls to providers.", "provider", "format")
        self._seconds = histogram("request_seconds", "From request to last byte.", "stream")
        self._first_byte = histogram("first_byte_seconds", "From request to first byte.", "provider")
        self._tokens = counter("tokens_total", "Tokens used.", "provider", "direction")
        self._cost = counter("cost_usd_total", "What was spent.", "provider")
        self.revision = Gauge("omniroute_router_config_revision", "Configuration revision in force.", registry=registry)

    def observe(self, record: RequestRecord, candidates: list[Candidate]) -> None:
        self._requests(record.outcome, record.error_kind).inc()
        self._seconds("true" if record.stream else "false").observe(record.duration_ms / 1000)
        for candidate in candidates:
            self._attempts(candidate.provider.id, candidate.provider.format).inc()
        if not record.provider:
            return
        if record.first_byte_ms >= 0:
            self._first_byte(record.provider).observe(record.first_byte_ms / 1000)
        self._tokens(record.provider, "input").inc(record.usage.input_tokens)
        self._tokens(record.provider, "output").inc(record.usage.output_tokens)
        self._cost(record.provider).inc(record.cost_nano_usd / 1e9)
