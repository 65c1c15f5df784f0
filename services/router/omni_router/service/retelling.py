"""A request that is answered with what was recorded: no provider is asked and nothing is spent, but it is a request.

It counts towards its key's requests per minute, needs the right to ask for its model, and is written down once.
"""

from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.router import CompleteCall, Head
from omni_ledger import Hold, Refusal, Settlement
from omni_wire.errors import ClientGone, GatewayError
from omni_wire.usage import Usage

from omni_router.domain import allowances, decision
from omni_router.domain.decision import Decision
from omni_router.domain.records import AbortFacts, RequestRecord, Source
from omni_router.service.held import Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.refusing import as_error
from omni_router.service.router import RouterService

# How long its count may wait to be settled; nothing is held, so this is for the event of a router that died.
_TTL_MS = 600_000
_NOTHING = Usage()


class Retelling:
    """``begin`` when there is an answer, ``end`` however it ends; ``outcome`` is what a good one is called, and
    ``similarity`` how near its words are, where they are other words than the request's."""

    def __init__(
        self,
        call: CompleteCall,
        service: RouterService,
        tools: Tools,
        metrics: RouterMetrics,
        outcome: str = "replayed",
    ) -> None:
        self._call = call
        self._service = service
        self._tools = tools
        self._metrics = metrics
        self._outcome = outcome
        self.similarity: float | None = None
        self._source = Source(
            key_id=call.key_id,
            model_requested="",
            combo="",
            config_revision=service.revision,
            router_id=tools.router_id,
        )
        self._started_ms, self._began = clock.now_ms(), clock.monotonic()
        self._first_ms = -1
        self._stream = False
        self._held = ""
        self._tags: tuple[str, ...] = ()
        self.begun = False

    async def begin(self, head: Head) -> None:
        """Raises what a key that may not, or may no more, ask for this is told: ``PermissionDenied``, ``RateLimited``,
        ``Unauthenticated``; ``DependencyUnavailable``."""
        call, tools = self._call, self._tools
        policy, limits, model = await self._service.entitled(call)
        self._tags = policy.tags
        self._source = Source(
            key_id=call.key_id, model_requested=model, combo="", config_revision=self._service.revision,
            router_id=tools.router_id, provider=head.provider, model=head.model,
        )  # fmt: skip
        self._stream = head.stream
        paced = tuple(
            level
            for limit in limits
            if (level := allowances.of_a_request(limit, self._started_ms / 1000)).requests_per_minute
            or level.allowances
        )
        if (policy.requests_per_minute or paced) and not call.attempt:
            held = new_id()
            facts = AbortFacts(
                held, call.event_id, call.context.request_id, self._started_ms, self._started_ms, self._source,
                call.client_format.value, head.stream, 0, self._tags,
            )  # fmt: skip
            outcome = await tools.ledger.admit(
                Hold(
                    attempt_id=held,
                    request_id=call.event_id,
                    key_id=policy.id,
                    account_id="",
                    count_request=True,
                    requests_per_minute=policy.requests_per_minute,
                    budget=None,
                    wanted_output=0,
                    breaker=None,
                    ttl_ms=_TTL_MS,
                    router_id=tools.router_id,
                    abort_events=tools.events.aborted(facts)[1:],
                    levels=paced,
                )
            )
            if isinstance(outcome, Refusal):
                raise as_error(outcome, limits)
            self._held = held
        self.begun = True
        self._metrics.active += 1
        self._first_ms = self._elapsed_ms()

    def end(self, error: GatewayError | None) -> None:
        """Write it down."""
        self._metrics.active -= self.begun
        call, tools = self._call, self._tools
        gone = isinstance(error, ClientGone)
        status = 200 if error is None or (self.begun and self._stream and not gone) else error.status
        outcome = self._outcome
        if error is not None:
            outcome = "cancelled" if gone else "partial" if self.begun else "failed"
        record = RequestRecord(
            call.event_id, call.context.request_id, 1 + call.attempt, self._started_ms, self._elapsed_ms(),
            self._first_ms, self._source, call.client_format.value, self._stream, status,
            error.kind if error is not None else "", 0, _NOTHING, 0, outcome, (),
            decision=decision.encode(self.decide()) if self.similarity is not None else b"", tags=self._tags,
        )  # fmt: skip
        tools.ledger.settle_soon(
            Settlement(
                attempt_id=self._held,
                cost_nano_usd=0,
                breaker=None,
                events=(tools.events.request(record),),
                router_id=tools.router_id,
            )
        )
        self._metrics.observe(record, ())

    def decide(self) -> Decision:
        source = self._source
        return decision.retold(source.model_requested, source.config_revision, source.router_id, self.similarity or 0.0)

    def _elapsed_ms(self) -> int:
        return int((clock.monotonic() - self._began) * 1000)
