"""One call to one account: reserve, convert, send, wait for the first byte, relay, settle.

An attempt's life is ``open`` (raises while nothing has been sent to the client, so another candidate can follow) →
``frames`` → ``settle``, which happens exactly once, whatever went before.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec
from omni_catalogue.catalogue import Candidate
from omni_catalogue.snapshot import KeyPolicy, Routing
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.router import CompleteCall, Head
from omni_core.ports.translator import EncodeCall, Loss, Parties, RenamedTool, StreamCall, Translated, TranslatorPort
from omni_core.tracing import Tracer
from omni_ledger import BudgetHold, Grant, Hold, Ledger, Refusal, Settlement
from omni_wire.errors import GatewayError, StreamInterrupted, UpstreamError, UpstreamFailed, UpstreamTimeout
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_router.domain import bounds, edits, pricing, provider_call, verdict
from omni_router.domain.pricing import Pricing
from omni_router.domain.records import AbortFacts, AttemptRecord, RequestRecord
from omni_router.domain.request import Request
from omni_router.domain.taps import read_answer, stream_tap
from omni_router.domain.taps.base import StreamTap
from omni_router.ports import EventCodec, Upstream, UpstreamAnswer, UpstreamRequest
from omni_router.service.credentials import Credentials
from omni_router.settings import RouterSettings

MAX_LOSSES, MAX_LOSS_FIELD = 50, 100

_JSON = "application/json"
_SSE = "text/event-stream; charset=utf-8"
_ARRAY = "application/json; charset=utf-8"
# What each dialect's own ids begin with, for answers whose source has none.
_ID_PREFIX = {
    WireFormat.OPENAI_CHAT: "chatcmpl-",
    WireFormat.OPENAI_RESPONSES: "resp_",
    WireFormat.ANTHROPIC_MESSAGES: "msg_",
    WireFormat.GEMINI_GENERATE: "",
}


class Tools(msgspec.Struct, frozen=True):
    """What attempts work with; one for the router's whole life."""

    ledger: Ledger
    translator: TranslatorPort
    upstream: Upstream
    credentials: Credentials
    events: EventCodec
    settings: RouterSettings
    router_id: str
    tracer: Tracer | None = None


class Asked(msgspec.Struct, frozen=True):
    """A request as admitted: what it asks, who asks, and under which configuration."""

    call: CompleteCall
    request: Request
    policy: KeyPolicy
    routing: Routing
    revision: int


class Attempt:
    """See the module's docstring. Not shared between tasks. ``sent`` is the provider's call (monotonic), or 0."""

    _on_settled: Callable[[], None] | None = None  # told when the ledger has the settlement

    def __init__(self, tools: Tools, asked: Asked, candidate: Candidate, price: Pricing) -> None:
        self.id = new_id()
        self.candidate = candidate
        self.pricing = price
        self.losses: tuple[str, ...] = ()
        self.first_byte_ms = -1
        self.usage = Usage()
        self.cost = 0
        self.finished = False
        self.sent = 0.0
        self._tools = tools
        self._asked = asked
        self._started_ms = clock.now_ms()
        self._began = clock.monotonic()
        self._renew_at = 0.0
        self._ttl = 0.0
        self._grant: Grant | None = None
        self._answer: UpstreamAnswer | None = None
        self._source: AsyncIterator[bytes] | None = None
        self._translated: AsyncGenerator[Translated, None] | None = None
        self._tap: StreamTap | None = None
        self._renamed: tuple[RenamedTool, ...] = ()
        self._first: list[bytes] = []
        self._reported: Usage | None = None
        self._estimate = 0
        self._input_estimate = 0
        self._status = 0
        self._awaited = False  # the request is with the provider, and nothing says that it failed
        self._settled = False
        self._budget = self._worst_case()
        self._passthrough = candidate.provider.format is asked.call.client_format
        # The provider's stream: an array only for a client that gets its own.
        self._framing = asked.request.framing if self._passthrough else "sse"

    # ---- before the first byte --------------------------------------------------------------------------------------

    async def admit(self, count_request: bool, number: int, combo: str, began_ms: int) -> Refusal | None:
        """Reserve the worst case; a refusal leaves nothing behind. Raises ``DependencyUnavailable``.

        With it go the events that stand should this router die before it settles: ``number`` is the attempt's, from 1,
        ``began_ms`` when the request came.
        """
        asked, settings = self._asked, self._tools.settings
        timeouts = asked.routing.timeouts
        waits = timeouts.first_byte + timeouts.idle if asked.request.stream else timeouts.total
        self._ttl = timeouts.connect + waits + settings.hold_margin
        self._renew_at = self._began + self._ttl / 2
        outcome = await self._tools.ledger.admit(
            Hold(
                attempt_id=self.id,
                request_id=asked.call.event_id,
                key_id=asked.policy.id,
                account_id=self.candidate.account.id,
                count_request=count_request,
                requests_per_minute=asked.policy.requests_per_minute,
                budget=self._budget,
                wanted_output=pricing.wanted_output(
                    asked.request.limit, self.candidate.model, asked.routing.default_max_output
                ),
                breaker=asked.routing.breaker,
                ttl_ms=int(self._ttl * 1000),
                router_id=self._tools.router_id,
                abort_events=self._tools.events.aborted(self._abort_facts(number, combo, began_ms)),
            )
        )
        if isinstance(outcome, Refusal):
            return outcome
        self._grant = outcome
        return None

    async def open(self) -> Head:
        """Call the provider and wait for the first byte worth passing on. Raises a ``GatewayError``."""
        asked, candidate = self._asked, self.candidate
        context, timeouts = asked.call.context, asked.routing.timeouts
        if self._passthrough:
            clamp = self._granted() if self._budget is not None else 0
            body = edits.relayed(asked.request, candidate.provider, candidate.model, clamp)
        else:
            body = await self._translate_request()
        secret = self._tools.credentials.known(candidate.account) or await self._tools.credentials.ask(
            context, candidate.account
        )
        stream = asked.request.stream
        request = UpstreamRequest(
            url=provider_call.url(candidate.provider, candidate.model.id, stream=stream, framing=self._framing),
            headers=provider_call.headers(
                candidate.provider,
                secret,
                stream=stream,
                request_id=context.request_id,
                traceparent=context.traceparent,
                framing=self._framing,
                client=asked.call.headers if self._passthrough else {},
            ),
            body=body,
            allow_private=candidate.provider.allow_private_address,
            timeouts=timeouts,
            begin_within=timeouts.first_byte if stream else timeouts.total,
        )
        self._input_estimate = -(-len(body) // 4)
        self._awaited = True
        self.sent = clock.monotonic()
        try:
            self._answer = await self._tools.upstream.send(request)
            await self._await_first_byte(self._answer)
        except UpstreamError as error:
            self._awaited = False
            error.message = f"[{candidate.provider.id}/{candidate.model.id}] {error.message}"
            raise
        self._answer.begun()
        self.first_byte_ms = self._elapsed_ms()
        return Head(
            status=200,
            stream=stream,
            content_type=_JSON if not stream else _ARRAY if asked.request.framing == "array" else _SSE,
            provider=candidate.provider.id,
            model=candidate.model.id,
            losses=self.losses,
            passthrough=self._passthrough,
        )

    async def _translate_request(self) -> bytes:
        asked, candidate = self._asked, self.candidate
        encoded = await self._tools.translator.encode_request(
            EncodeCall(
                context=asked.call.context,
                client_format=asked.call.client_format,
                provider_format=candidate.provider.format,
                body=asked.call.body,
                model=candidate.model.id,
                max_output=self._granted(),
                strict=asked.call.headers.get("x-omniroute-translation", "") == "strict",
                stream=asked.request.stream,
                parties=self._parties(),
            )
        )
        self.losses = _named(encoded.losses)
        self._renamed = encoded.tools
        return encoded.body

    async def _await_first_byte(self, answer: UpstreamAnswer) -> None:
        self._status = answer.status
        settings, stream = self._tools.settings, self._asked.request.stream
        if answer.status != 200:
            if answer.status in (401, 403):
                self._tools.credentials.forget(self.candidate.account.id)
            raise verdict.from_status(answer.status, answer.headers, await answer.read(settings.max_error_bytes))
        is_sse = answer.headers.get("content-type", "").startswith("text/event-stream")
        if stream and is_sse is not (self._framing == "sse"):
            body = b"" if is_sse else await answer.read(settings.max_error_bytes)
            wanted = "a stream" if not is_sse else "one JSON array"
            raise UpstreamFailed(f"the provider answered otherwise where {wanted} was asked for: {body[:100]!r}")
        if not stream:
            if is_sse:
                raise UpstreamFailed("the provider answered a stream where one body was asked for")
            await self._read_whole(answer)
            return
        if self._passthrough:
            tap = self._tap = stream_tap(
                self.candidate.provider.format,
                relay_usage=self._asked.request.include_usage,
                framing=self._framing,
            )
            source = self._source = answer.chunks()
            while not tap.begun and tap.failure is None:
                chunk = await anext(source, None)
                if chunk is not None:
                    self._first.append(tap.feed(chunk))
                    continue
                self._first.append(tap.end())
                if not tap.begun:
                    raise UpstreamFailed("the provider answered an empty stream")
                self._source, self.finished = None, True  # all of it was one event, and no line end came after
            if tap.failure is not None and not tap.begun:
                raise tap.failure
            return
        self._translated = self._translate(answer.chunks())
        async for item in self._translated:
            self._note(item)
            self._first.append(item.data)
            if item.finished or not (item.data.isspace() or not item.data):  # blanks only keep a connection alive
                return
        raise StreamInterrupted("the provider ended the stream before it began")

    async def _read_whole(self, answer: UpstreamAnswer) -> None:
        limit = self._tools.settings.max_answer_bytes
        body = await answer.read(limit)
        if len(body) >= limit:
            raise UpstreamFailed(f"the provider answered more than {limit} bytes")
        if self._passthrough:
            self._reported, self._estimate = read_answer(self.candidate.provider.format, body)
            self._first.append(body)
            self.finished = True
            return
        async for item in self._translate(_once(body)):
            self._note(item)
            self._first.append(item.data)
        if not self.finished:
            raise UpstreamFailed("the provider gave an incomplete answer")

    # ---- relaying ---------------------------------------------------------------------------------------------------

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """A stream's bytes. Raises ``UpstreamError`` where the provider broke off."""
        first = b"".join(self._first)
        self._first.clear()
        if first:
            yield first
        if self._translated is not None:
            async for item in self._translated:
                self._note(item)
                self._keep_held()
                if item.data:
                    yield item.data
            if not self.finished:
                raise StreamInterrupted("the provider ended the stream before the answer was complete")
        elif self._source is not None and (tap := self._tap) is not None:
            try:
                while tap.failure is None and (chunk := await anext(self._source, None)) is not None:
                    data = tap.feed(chunk)
                    self._keep_held()
                    if data:
                        yield data
            except (StreamInterrupted, UpstreamTimeout):
                if not tap.complete:
                    raise
            if tap.failure is not None:
                raise tap.failure
            tail = tap.end()
            self.finished = True
            if tail:
                yield tail

    @property
    def whole(self) -> bytes:
        """The answer, when it is not streamed."""
        return self._first[0] if len(self._first) == 1 else b"".join(self._first)

    @property
    def translating(self) -> bool:
        return self._translated is not None

    async def close(self) -> None:
        """End a translation that was left early; the provider's connection went with ``settle``."""
        if self._translated is not None:
            await self._translated.aclose()

    def _translate(self, source: AsyncIterator[bytes]) -> AsyncGenerator[Translated, None]:
        asked = self._asked
        return self._tools.translator.translate_stream(
            StreamCall(
                context=asked.call.context,
                client_format=asked.call.client_format,
                provider_format=self.candidate.provider.format,
                stream=asked.request.stream,
                model=asked.request.model,
                include_usage=asked.request.include_usage,
                created=self._started_ms // 1000,
                response_id=_ID_PREFIX[asked.call.client_format] + asked.call.context.request_id,
                framing=asked.request.framing,
                tools=self._renamed,
                parties=self._parties(),
            ),
            source,
        )

    def _parties(self) -> Parties:
        candidate = self.candidate
        return Parties(self._asked.policy.id, candidate.provider.id, candidate.account.id, candidate.model.id)

    def _note(self, item: Translated) -> None:
        if item.usage is not None:
            self._reported = item.usage
        if item.finished:
            self.finished = True
        if item.losses:
            self.losses = (self.losses + _named(item.losses))[:MAX_LOSSES]
        request = self._asked.request
        if not request.stream:
            self._estimate += -(-len(item.data) // 4)
        else:  # one event a token; an array's are parted by commas
            self._estimate += item.data.count(b"\n\n" if request.framing == "sse" else b'"parts":')

    def _keep_held(self) -> None:
        """A stream that goes on for long keeps its reservation alive."""
        if clock.monotonic() > self._renew_at:
            self._renew_at = clock.monotonic() + self._ttl / 2
            self._tools.ledger.renew_soon(self.id, int(self._ttl * 1000))

    # ---- the end ----------------------------------------------------------------------------------------------------

    def settle(
        self, outcome: str, error: GatewayError | None, evidence: str, request: RequestRecord | None = None
    ) -> bool:
        """Release the reservation, charge what was used, write the events: one step, queued at once, done once.

        False when it had been settled before, and nothing was written now.
        """
        if self._settled:
            return False
        self._settled = True
        if self._answer is not None:
            self._answer.close()
        self._tools.ledger.settle_soon(
            Settlement(
                attempt_id=self.id,
                account_id=self.candidate.account.id,
                cost_nano_usd=self.cost,
                outcome=evidence,
                breaker=self._asked.routing.breaker,
                events=self._events(outcome, error, request),
                router_id=self._tools.router_id,
            ),
            self._on_settled,
        )
        return True

    def count_usage(self) -> None:
        """Fix what was used, before it is settled: the provider's count, else an estimate of what went by."""
        tap = self._tap
        usage = tap.usage if tap is not None and tap.usage is not None else self._reported
        if usage is None:
            read = self.first_byte_ms >= 0 or self._awaited
            usage = Usage(input_tokens=self._input_estimate, estimated=True) if read else Usage()
        if usage.estimated or not self.finished:
            seen = max(self._estimate, tap.estimate() if tap is not None else 0) if self.first_byte_ms >= 0 else 0
            if self._grant is not None:
                seen = min(seen, self._grant.granted_output * self._asked.request.choices)
            if seen > usage.output_tokens:
                usage = msgspec.structs.replace(usage, output_tokens=seen, estimated=True)
        self.usage = usage
        self.cost = pricing.cost(usage, self.pricing.price)

    def _events(self, outcome: str, error: GatewayError | None, request: RequestRecord | None) -> tuple[bytes, ...]:
        codec = self._tools.events
        attempt = codec.attempt(self._record(outcome, error.kind if error is not None else ""))
        return (attempt,) if request is None else (attempt, codec.request(request))

    def _abort_facts(self, number: int, combo: str, began_ms: int) -> AbortFacts:
        asked, candidate = self._asked, self.candidate
        call, provider = asked.call, candidate.provider
        same = (
            asked.policy.id, asked.request.model, combo, call.client_format.value, asked.request.stream, number,
            asked.revision, provider.id, candidate.account.id, candidate.model.id, provider.format.value,
            self.pricing.mode,
        )  # fmt: skip
        return AbortFacts(self.id, call.event_id, call.context.request_id, began_ms, self._started_ms, same)

    def _record(self, outcome: str, error_kind: str) -> AttemptRecord:
        asked, candidate = self._asked, self.candidate
        reserved = self._grant.reserved_nano_usd if self._grant is not None else 0
        return AttemptRecord(
            id=self.id,
            request_id=asked.call.event_id,
            seq=1,
            started_ms=self._started_ms,
            duration_ms=self._elapsed_ms(),
            first_byte_ms=self.first_byte_ms,
            key_id=asked.policy.id,
            provider=candidate.provider.id,
            account_id=candidate.account.id,
            model=candidate.model.id,
            provider_format=candidate.provider.format,
            outcome=outcome,
            error_kind=error_kind,
            provider_status=self._status,
            usage=self.usage,
            cost_nano_usd=self.cost,
            reserved_nano_usd=reserved,
            pricing=self.pricing.mode,
            overrun=reserved > 0 and self.cost > reserved,
            config_revision=asked.revision,
            router_id=self._tools.router_id,
        )

    def since_request(self, began: float) -> int:
        """Milliseconds from ``began`` to the first byte."""
        return int((self._began - began) * 1000) + self.first_byte_ms

    # ---- small things -----------------------------------------------------------------------------------------------

    def _granted(self) -> int:
        return self._grant.granted_output if self._grant is not None else 0

    def _worst_case(self) -> BudgetHold | None:
        """What has to be held against the key's budget; None when it has none, or nothing is counted."""
        budget, price = self._asked.policy.budget, self.pricing.price
        if budget is None or price is None:
            return None
        return BudgetHold(
            cap_nano_usd=budget.nano_usd,
            window=budget.window,
            fixed_nano_usd=pricing.input_ceiling(
                bounds.input_bound(
                    self._asked.call.client_format, self._asked.request.body, self.candidate.model.context
                ),
                price,
            ),
            per_output_token_nano_usd=pricing.output_token_ceiling(price) * self._asked.request.choices,
        )

    def _elapsed_ms(self) -> int:
        return int((clock.monotonic() - self._began) * 1000)


def _named(losses: tuple[Loss, ...]) -> tuple[str, ...]:
    """Their fields. Unknown ones are the client's to invent, so neither their number nor their length may be any."""
    return tuple(loss.field[:MAX_LOSS_FIELD] for loss in losses[:MAX_LOSSES])


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
