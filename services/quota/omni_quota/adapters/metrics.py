"""What quota counts, for Prometheus."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

_NANO = 1_000_000_000


class PrometheusMeter:
    """Satisfies ``omni_quota.ports.Meter`` and ``AccountMeter``."""

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
        for task in ("reap", "adopt", "watch", "quotas", "poll"):
            self._failures.labels(task)
        self._breakers = Gauge(
            "omniroute_quota_breakers",
            "Breakers of accounts, of their models and of combos' targets, by state",
            ["state"],
            registry=registry,
        )

        self._left = Gauge(
            "omniroute_provider_quota_remaining_ratio",
            "What is left of accounts' quotas at their providers, by window, from 0 to 1",
            ["account", "window"],
            registry=registry,
        )
        self._asked = Counter(
            "omniroute_quota_fetches",
            "Questions to providers about accounts' quotas, by whose shape and outcome",
            ["vendor", "outcome"],
            registry=registry,
        )
        self._shown: set[tuple[str, str]] = set()

    def remaining(self, shares: Mapping[tuple[str, str], float]) -> None:
        for gone in self._shown - set(shares):
            self._left.remove(*gone)
        self._shown = set(shares)
        for labels, share in shares.items():
            self._left.labels(*labels).set(share)

    def asked(self, vendor: str, outcome: str) -> None:
        self._asked.labels(vendor, outcome).inc()

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
