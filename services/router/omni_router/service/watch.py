"""A request that is looked at closely: one in sixteen for its stages, and each that is traced for its spans.

All others pay a comparison. Their classes know nothing of this: ``WatchedAttempt`` is an ``Attempt`` that keeps time.
"""

import re
from urllib.parse import urlsplit

import msgspec
from omni_core import clock, genai
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Head
from omni_core.ports.translator import Translated
from omni_core.tracing import Kind, Span, Tracer, sampled
from omni_ledger import Refusal
from omni_wire.errors import GatewayError

from omni_router.domain.offer import Offer
from omni_router.domain.records import RequestRecord
from omni_router.service.attempt import Attempt
from omni_router.service.held import Asked, Tools
from omni_router.service.metrics import RouterMetrics

# One request in this many, a power of two.
EVERY = 16

# In an answer that is passed through; a quoted one inside a text has a backslash before its quotes.
_MODEL = re.compile(rb'(?<!\\)"model(?:Version)?"\s*:\s*"([^"\\]{1,200})"')
_FINISH = re.compile(rb'(?<!\\)"(?:finish_reason|stop_reason|finishReason|done_reason)"\s*:\s*"([A-Za-z_]{1,40})"')
_LOOK_AT = 64 * 1024


class Watch:
    """``call`` is the request to go on with: its trace context names this router's span, where there is one.

    With ``metrics``, the stages are measured: ``plan`` (from the request to the first candidate), ``queue`` (waiting
    for a rate limit to let it through), ``admit`` (waiting for the ledger), ``encode`` (making the provider's request,
    a translation and the account's credential with it) and ``provider`` (from sending it to the first byte worth
    passing on). ``own`` is what is left of the time to the answer's head without ``provider`` and ``queue``. All
    attempts of a request add up.
    """

    def __init__(self, call: CompleteCall, metrics: RouterMetrics | None, tracer: Tracer | None) -> None:
        self._metrics = metrics
        self._began = clock.monotonic()
        self._stages = dict.fromkeys(("plan", "queue", "admit", "encode", "provider"), 0.0)
        self._headed = 0.0  # when the head was there
        self.tracer: Tracer | None = None
        self.span: Span | None = None
        self.call = call
        if tracer is not None and sampled(call.context.traceparent):
            self.tracer = tracer
            self.span = tracer.begin(
                "route",
                tracer.entry,
                call.context.traceparent,
                {genai.REQUEST_ID: call.context.request_id, genai.CLIENT_FORMAT: call.client_format.value},
            )
            self.call = within(call, self.span)

    @property
    def traceparent(self) -> str:
        return self.span.traceparent if self.span is not None else ""

    def attempt(self, tools: Tools, asked: Asked, offer: Offer) -> "WatchedAttempt":
        """Takes the place of ``Attempt``."""
        return WatchedAttempt(self, tools, asked, offer)

    def begin(self, name: str, kind: Kind = Kind.INTERNAL) -> Span | None:
        """A span inside the router's; None where the request is watched for its stages only."""
        if self.tracer is None:
            return None
        return self.tracer.begin(name, kind, self.traceparent)

    def add(self, stage: str, seconds: float) -> None:
        self._stages[stage] += seconds

    def planned(self) -> None:
        self._stages["plan"] = clock.monotonic() - self._began

    def headed(self) -> None:
        self._headed = clock.monotonic()

    def finish(self, record: RequestRecord, error: GatewayError | None) -> None:
        if self._metrics is not None:
            for stage, seconds in self._stages.items():
                if seconds:
                    self._metrics.stages.observe(seconds, (stage,))
            if self._headed:
                self._metrics.own.observe(
                    max(0.0, self._headed - self._began - self._stages["provider"] - self._stages["queue"])
                )
        if (span := self.span) is None:
            return
        source = record.source
        if source.model_requested:
            span.name(f"route {source.model_requested}")
            span.set(genai.REQUEST_MODEL, source.model_requested)
        if source.provider:
            span.set(genai.ROUTE_PROVIDER, source.provider)
            span.set(genai.ROUTE_MODEL, source.model)
        if source.combo:
            span.set(genai.ROUTE_COMBO, source.combo)
        span.set(genai.ROUTE_ATTEMPTS, record.attempts)
        span.set(genai.OUTCOME, record.outcome)
        if error is not None:
            span.fail(error.kind)
        span.end()


class WatchedAttempt(Attempt):
    """An attempt whose stages are timed and which, in a traced request, is a span with its admission and settlement
    beside it."""

    def __init__(self, watch: Watch, tools: Tools, asked: Asked, offer: Offer) -> None:
        super().__init__(tools, asked, offer)
        self._watch = watch
        self._span: Span | None = None
        self._finish_reason = ""

    async def admit(self, count_request: bool, number: int, began_ms: int) -> Refusal | None:
        span = self._watch.begin("ledger admit")
        began = clock.monotonic()
        admission = "granted"
        try:
            refusal = await super().admit(count_request, number, began_ms)
            if refusal is not None:
                admission = refusal.reason
        except BaseException as error:
            admission = error.kind if isinstance(error, GatewayError) else "cancelled"
            if span is not None:
                span.fail(admission)
            raise
        finally:
            self._watch.add("admit", clock.monotonic() - began)
            if span is not None:
                span.set(genai.ADMISSION, admission)
                span.end()
        return refusal

    async def open(self) -> Head:
        if (span := self._watch.begin(f"{genai.CHAT} {self.candidate.model.id}", Kind.CLIENT)) is not None:
            self._span = span
            asked = self._asked
            self._asked = msgspec.structs.replace(asked, call=within(asked.call, span))
        began = clock.monotonic()
        try:
            head = await super().open()
        except GatewayError as error:
            self._end_span("failed", error)  # now: what follows, a pause perhaps, is no part of it
            raise
        finally:
            now = clock.monotonic()
            sent = self.sent or now
            self._watch.add("encode", sent - began)
            self._watch.add("provider", now - sent)
        self._watch.headed()
        if span is not None:
            self._read_names(span)
        return head

    def settle(self, outcome: str, error: GatewayError | None, request: RequestRecord | None = None) -> bool:
        settling = self._watch.begin("ledger settle") if not self._settled else None
        if settling is not None:
            self._on_settled = settling.end
        settled = super().settle(outcome, error, request)
        self._end_span(outcome, error)
        return settled

    def _note(self, item: Translated) -> None:
        self._finish_reason = item.finish_reason or self._finish_reason
        super()._note(item)

    def _read_names(self, span: Span) -> None:
        """What a provider said of itself, while its first bytes are here. A translated answer names our model."""
        if self._passthrough:
            first = b"".join(self._first)[:_LOOK_AT]
            if found := _MODEL.search(first):
                span.set(genai.RESPONSE_MODEL, found[1].decode("utf-8", "replace"))
            if found := _FINISH.search(first):
                self._finish_reason = found[1].decode("ascii")

    def _end_span(self, outcome: str, error: GatewayError | None) -> None:
        span, self._span = self._span, None
        if span is not None:
            self._describe(span, outcome, error)
            span.end()

    def _describe(self, span: Span, outcome: str, error: GatewayError | None) -> None:
        candidate, request, usage = self.candidate, self._asked.request, self.usage
        address = urlsplit(candidate.provider.base_url)
        span.set(genai.OPERATION, genai.CHAT)
        span.set(genai.PROVIDER, genai.provider_name(candidate.provider.id))
        span.set(genai.REQUEST_MODEL, candidate.model.id)
        span.set(genai.REQUEST_STREAM, request.stream)
        if limit := request.limit or (self._granted() if self._is_bounded or not self._passthrough else 0):
            span.set(genai.REQUEST_MAX_TOKENS, limit)
        if request.choices != 1:
            span.set(genai.REQUEST_CHOICES, request.choices)
        if address.hostname:
            span.set(genai.SERVER_ADDRESS, address.hostname)
            span.set(genai.SERVER_PORT, address.port or (443 if address.scheme == "https" else 80))
        if self._status:
            span.set(genai.HTTP_STATUS, self._status)
        if self.first_byte_ms >= 0:
            if request.stream:
                span.set(genai.RESPONSE_FIRST_CHUNK, self.first_byte_ms / 1000)
            span.set(genai.INPUT_TOKENS, usage.input_tokens)
            span.set(genai.OUTPUT_TOKENS, usage.output_tokens)
            for name, count in (
                (genai.CACHED_INPUT_TOKENS, usage.cached_input_tokens),
                (genai.CACHE_WRITE_TOKENS, usage.cache_write_tokens),
                (genai.REASONING_TOKENS, usage.reasoning_tokens),
            ):
                if count:
                    span.set(name, count)
        reason = (self._tap.finish_reason if self._tap is not None else "") or self._finish_reason
        if reason:
            span.set(genai.RESPONSE_FINISH_REASONS, [reason])
        span.set(genai.ATTEMPT_ID, self.id)
        span.set(genai.ACCOUNT_ID, candidate.account.id)
        span.set(genai.COST, self.cost)
        span.set(genai.PASSTHROUGH, self._passthrough)
        span.set(genai.OUTCOME, outcome)
        if error is not None:
            span.fail(error.kind)


def within(call: CompleteCall, span: Span) -> CompleteCall:
    """The same call, for what happens inside ``span``."""
    return msgspec.structs.replace(call, context=CallContext(call.context.request_id, span.traceparent))
