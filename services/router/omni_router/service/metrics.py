"""What the router counts. Labels are configured names and fixed words only, so their number is bounded."""

from collections.abc import Callable, Sequence

from omni_core.meters import Meter, Spread
from omni_wire.usage import Usage
from prometheus_client import CollectorRegistry, Gauge

from omni_router.domain.records import RequestRecord, Source
from omni_router.service.held import Held

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
# Of what a router does itself: tenths of a millisecond, when all is well.
_STAGE_SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    5.0,
    30.0,
    120.0,
)


class RouterMetrics:
    """``observe`` once a request."""

    def __init__(self, registry: CollectorRegistry, waiting: Callable[[], int] = lambda: 0) -> None:
        def meter(name: str, text: str, *labels: str) -> Meter:
            return Meter(f"omniroute_router_{name}", text, labels, registry)

        def spread(name: str, text: str, *labels: str, bounds: tuple[float, ...] = _SECONDS) -> Spread:
            return Spread(f"omniroute_router_{name}", text, labels, bounds, registry)

        self._requests = meter("requests", "Requests taken.", "outcome", "error")
        self._attempts = meter("attempts", "Calls to providers.", "provider", "format")
        self._tokens = meter("tokens", "Tokens used.", "provider", "direction")
        self._cost = meter("cost_usd", "What was spent.", "provider")
        self._doubtful = meter(
            "doubtful_usage", "Attempts whose cost is not sure, by what it is for.", "provider", "reason"
        )
        self._seconds = spread("request_seconds", "From request to last byte.", "stream")
        self._first_byte = spread("first_byte_seconds", "From request to first byte.", "provider", "stream")
        self.recordings = meter("recordings", "Answers recorded and told again.", "outcome")
        self.cache = meter("cache", "Answers from the cache, and for it.", "outcome")
        self.semantic = meter("semantic_cache", "Looks for an answer to other words, and what became.", "outcome")
        self.saved_tokens = meter("cache_saved_tokens", "Tokens of answers from the cache.").series()
        self.saved_cost = meter("cache_saved_usd", "What answers from the cache had cost.").series()
        self.hedges = meter("hedges", "Second attempts besides one that was slow to begin.", "outcome")
        self.stages = spread(
            "stage_seconds",
            "Time to the first byte by stage of one request in 16: plan, queue, admit, encode, provider.",
            "stage",
            bounds=_STAGE_SECONDS,
        )
        self.own = spread(
            "own_seconds",
            "From request to the head of its answer less the waiting for providers and turns, of one request in 16.",
            bounds=_STAGE_SECONDS,
        )
        self.active = 0
        under_way = Gauge("omniroute_router_active_requests", "Requests under way.", registry=registry)
        under_way.set_function(lambda: self.active)

        self.queued = spread("queue_seconds", "Waiting for a rate limit, of the requests that did.", "outcome")
        in_queue = Gauge("omniroute_router_queue_requests", "Waiting for a rate limit.", registry=registry)
        in_queue.set_function(waiting)
        self._whole, self._streamed = self._seconds.series(("false",)), self._seconds.series(("true",))
        self._providers: dict[tuple[str, str], _ProviderSeries] = {}

    def observe(self, record: RequestRecord, attempts: Sequence[Held]) -> None:
        self._requests.add((record.outcome, record.error_kind))
        (self._streamed if record.stream else self._whole).observe(record.duration_ms / 1000)
        if not attempts:
            return
        for attempt in attempts:
            source = attempt.offer.source
            last = self._of(source.provider, source.provider_format)
            last.attempts.value += 1
            usage = attempt.usage
            if usage.estimated or usage.suspect or attempt.offer.price is None:
                self._doubt(source.provider, usage, priced=attempt.offer.price is not None)
        if record.first_byte_ms >= 0:
            (last.first_streamed if record.stream else last.first_whole).observe(record.first_byte_ms / 1000)
        last.input.value += record.usage.input_tokens
        last.output.value += record.usage.output_tokens
        last.cost.value += record.cost_nano_usd / 1e9

    def embedded(self, source: Source, usage: Usage, cost_nano_usd: int) -> None:
        """A call for a vector."""
        found = self._of(source.provider, source.provider_format)
        found.attempts.value += 1
        found.input.value += usage.input_tokens
        found.cost.value += cost_nano_usd / 1e9

    def _doubt(self, provider: str, usage: Usage, *, priced: bool) -> None:
        reason = usage.suspect or ("estimated" if usage.estimated else "")
        if reason:
            self._doubtful.add((provider, reason))
        if not priced and (usage.input_tokens or usage.output_tokens):
            self._doubtful.add((provider, "unpriced"))

    def _of(self, provider: str, provider_format: str) -> "_ProviderSeries":
        found = self._providers.get((provider, provider_format))
        if found is None:
            found = self._providers[provider, provider_format] = _ProviderSeries(self, provider, provider_format)
        return found


class _ProviderSeries:
    """What is counted of one provider, looked up once."""

    __slots__ = ("attempts", "cost", "first_streamed", "first_whole", "input", "output")

    def __init__(self, of: RouterMetrics, provider: str, provider_format: str) -> None:
        self.attempts = of._attempts.series((provider, provider_format))
        self.input = of._tokens.series((provider, "input"))
        self.output = of._tokens.series((provider, "output"))
        self.cost = of._cost.series((provider,))
        self.first_whole = of._first_byte.series((provider, "false"))
        self.first_streamed = of._first_byte.series((provider, "true"))
