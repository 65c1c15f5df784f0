"""``omniroute_auth_…``."""

from collections.abc import Mapping

from omni_core.clock import now_ms
from prometheus_client import CollectorRegistry, Counter, Gauge


class PrometheusMetrics:
    """The ``AuthMetrics`` port."""

    def __init__(self, registry: CollectorRegistry) -> None:
        results = Counter(
            "omniroute_auth_authentications", "API keys presented, by result.", ["result"], registry=registry
        )
        self._ok, self._wrong = results.labels("ok"), results.labels("wrong")
        self._revision = Gauge(
            "omniroute_auth_config_revision", "Number of the configuration in force.", registry=registry
        )
        self._rejected = Gauge(
            "omniroute_auth_config_rejected", "1 while the configuration file is refused.", registry=registry
        )
        self._published = Gauge(
            "omniroute_auth_config_published_timestamp_seconds",
            "When the configuration in the bucket was put there.",
            registry=registry,
        )
        self._failures = Counter(
            "omniroute_auth_publish_failures", "Attempts to publish that NATS did not take.", registry=registry
        )

        self._not_signed = Counter(
            "omniroute_auth_config_not_signed",
            "Configurations found in the bucket without a signature that is believed.",
            registry=registry,
        )

    def authenticated(self, ok: bool) -> None:
        (self._ok if ok else self._wrong).inc()

    def in_force(self, revision: int) -> None:
        self._revision.set(revision)

    def rejected(self, is_rejected: bool) -> None:
        self._rejected.set(int(is_rejected))

    def publishing(self) -> None:
        self._published.set(now_ms() / 1000)

    def publish_failed(self) -> None:
        self._failures.inc()

    def not_ours(self) -> None:
        self._not_signed.inc()


class PrometheusLogins:
    """The ``LoginMetrics`` port."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._states = Gauge("omniroute_auth_logins", "Logins at providers, by state.", ["state"], registry=registry)
        self._renewals = Counter(
            "omniroute_auth_login_renewals", "Renewals of a login's tokens, by result.", ["result"], registry=registry
        )

    def states(self, counts: Mapping[str, int]) -> None:
        for state, count in counts.items():
            self._states.labels(state).set(count)

    def renewed(self, result: str) -> None:
        self._renewals.labels(result).inc()
