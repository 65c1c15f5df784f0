"""Ingestion in numbers."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from omni_analytics.ports import Recorded


class PrometheusMeter:
    """Satisfies ``Meter``. ``lag_seconds`` is the age of the oldest event in the latest commit; 0 when caught up."""

    def __init__(self, registry: CollectorRegistry) -> None:
        events = Counter(
            "omniroute_analytics_events",
            "Usage events taken from the stream, by kind and by what became of them.",
            ["kind", "result"],
            registry=registry,
        )
        self._attempts_stored = events.labels("attempt", "stored")
        self._attempts_ignored = events.labels("attempt", "ignored")
        self._requests_stored = events.labels("request", "stored")
        self._requests_ignored = events.labels("request", "ignored")
        self._reached = Counter(
            "omniroute_analytics_limits_reached",
            "Percentages that limits have come to, by what they are of; the log has which.",
            ["of"],
            registry=registry,
        )
        for of in ("requests", "tokens", "input", "output", "usd"):
            self._reached.labels(of)  # else a rate would miss the first of each
        self._notices = Counter(
            "omniroute_analytics_webhook_calls",
            "Calls of the webhook, by what became of them; dead are those that are given up.",
            ["result"],
            registry=registry,
        )
        for result in ("delivered", "failed", "dead"):
            self._notices.labels(result)
        self._batches = Counter("omniroute_analytics_batches", "Messages counted and committed.", registry=registry)
        self._dead = Counter("omniroute_analytics_dead_letters", "Messages put aside.", registry=registry)
        self._kept = Gauge(
            "omniroute_analytics_dead_letters_kept",
            "Messages that were put aside and are still there.",
            registry=registry,
        )
        self._redriven = Counter(
            "omniroute_analytics_dead_letters_redriven",
            "Messages put aside that were tried again, or discarded, by what became of them.",
            ["result"],
            registry=registry,
        )
        for result in ("counted", "stayed", "discarded"):
            self._redriven.labels(result)
        self._lag = Gauge(
            "omniroute_analytics_ingest_lag_seconds", "Age of the oldest event last committed.", registry=registry
        )
        self._commit = Histogram(
            "omniroute_analytics_commit_seconds",
            "Time to store one fetch of messages, until it is on disk.",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self.lag_seconds = 0.0

    def committed(self, recorded: Recorded, messages: int, seconds: float) -> None:
        self._attempts_stored.inc(recorded.attempts_stored)
        self._attempts_ignored.inc(recorded.attempts_ignored)
        self._requests_stored.inc(recorded.requests_stored)
        self._requests_ignored.inc(recorded.requests_ignored)
        self._batches.inc(messages)
        self._commit.observe(seconds)

    def reached(self, of: str) -> None:
        self._reached.labels(of).inc()

    def notified(self, result: str) -> None:
        self._notices.labels(result).inc()

    def buried(self) -> None:
        self._dead.inc()

    def redriven(self, result: str, letters: int) -> None:
        self._redriven.labels(result).inc(letters)

    def dead(self, letters: int) -> None:
        self._kept.set(letters)

    def behind(self, seconds: float) -> None:
        self.lag_seconds = seconds
        self._lag.set(seconds)
