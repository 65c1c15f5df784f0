"""What quota counts, for Prometheus."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

_NANO = 1_000_000_000


class PrometheusMeter:
    """Satisfies ``omni_quota.ports.Meter``."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._reservations = Counter(
            "omniroute_quota_reaped_reservations", "Reservations charged because nobody settled them", registry=registry
        )
        self._charged = Counter(
            "omniroute_quota_reaped_usd", "USD charged for reservations nobody settled", registry=registry
        )
        self._open = Gauge("omniroute_quota_open_reservations", "Reservations not settled yet", registry=registry)
        self._adopted = Counter(
            "omniroute_quota_adopted_events", "Events delivered for routers that are gone", registry=registry
        )
        self._failures = Counter(
            "omniroute_quota_failures", "Rounds that failed because Redis or NATS was away", ["task"], registry=registry
        )
        for task in ("reap", "adopt", "watch"):
            self._failures.labels(task)
        self._breakers = Gauge(
            "omniroute_quota_breakers",
            "Breakers of accounts, of their models and of combos' targets, by state",
            ["state"],
            registry=registry,
        )

    def reaped(self, reservations: int, charged_nano_usd: int) -> None:
        self._reservations.inc(reservations)
        self._charged.inc(charged_nano_usd / _NANO)

    def open_reservations(self, count: int) -> None:
        self._open.set(count)

    def adopted(self, events: int) -> None:
        self._adopted.inc(events)

    def breakers(self, states: Sequence[str]) -> None:
        for state in ("closed", "open", "half_open", "cooling"):
            self._breakers.labels(state).set(states.count(state))

    def failed(self, task: str) -> None:
        self._failures.labels(task).inc()
