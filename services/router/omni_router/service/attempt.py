"""One call to one account: reserve, convert, send, wait for the first byte, relay, settle.

An attempt's life is ``admit`` → ``open`` (raises while nothing has been sent to the client, so another candidate can
follow) → ``frames`` → ``settle``, which happens exactly once, whatever went before.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from omni_catalogue.rules import AnswerRules, RequestRules
from omni_core import clock
from omni_core.ports.router import Head
from omni_core.ports.translator import (
    EncodeCall,
    Finding,
    Loss,
    Mark,
    Parties,
    RenamedTool,
    StreamCall,
    Translated,
)
from omni_wire import loops
from omni_wire.body import Body
from omni_wire.errors import (
    CredentialUnavailable,
    DependencyUnavailable,
    LossRefused,
    ProxyFailed,
    StreamInterrupted,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from omni_wire.formats import WireFormat
from omni_wire.told_error import tells_error
from omni_wire.usage import Usage

from omni_router.domain import counting, edits, provider_call, thoughts, unfound, unsaid, verdict
from omni_router.domain.offer import Offer
from omni_router.domain.taps import read_answer, stream_tap
from omni_router.ports import UpstreamAnswer, UpstreamRequest
from omni_router.service import ruling
from omni_router.service.ahead import Ahead
from omni_router.service.credentials import NONE
from omni_router.service.held import Asked, Held, Tools

MAX_LOSSES, MAX_LOSS_FIELD = 50, 100
_FOR_EVER = 86_400.0

_JSON = "application/json"
_EVENTS = "text/event-stream"
# By the framing of the client's stream: its content type, and what comes once an event (in an array, commas part them).
_STREAMED = {
    "sse": "text/event-stream; charset=utf-8",
    "array": "application/json; charset=utf-8",
    "lines": "application/x-ndjson",
}
_MARKS = {"sse": b"\n\n", "array": b'"parts":', "lines": b"\n"}
# What each dialect's own ids begin with, for answers whose source has none.
_ID_PREFIX = {
    WireFormat.OPENAI_CHAT: "chatcmpl-",
    WireFormat.OPENAI_RESPONSES: "resp_",
    WireFormat.ANTHROPIC_MESSAGES: "msg_",
    WireFormat.GEMINI_GENERATE: "",
    WireFormat.OLLAMA_CHAT: "",
}


class Attempt(Held):
    """See the module's docstring. Not shared between tasks. ``sent`` is the provider's call (monotonic), or 0.

    ``unproved`` asks without the proofs of thoughts; ``doubted`` is whether that is worth another attempt, as the
    provider has just refused one of them.
    """

    unproved = doubted = False
    losses: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()  # those that changed something, or may change the answer
    _on_answer: AnswerRules | None = None
    _filter: AsyncGenerator[Translated, None] | None = None
    _source: AsyncIterator[bytes] | None = None
    _translated: AsyncGenerator[Translated, None] | None = None
    _items: AsyncIterator[Translated] | None = None
    _renamed: tuple[RenamedTool, ...] = ()
    _marks: tuple[Mark, ...] = ()
    _found: tuple[Finding, ...] = ()  # by guards of the request
    _found_said: tuple[Finding, ...] = ()  # by those of the answer, so far
    _credential = NONE

    def __init__(self, tools: Tools, asked: Asked, offer: Offer) -> None:
        super().__init__(tools, asked, offer)
        self._first: list[bytes] = []
        call, stream, rules = asked.call, asked.request.stream, offer.rules
        self._rules = rules if not rules.skippable else ruling.as_asked(rules, call.headers)
        # Whether the provider is asked for a stream; the client gets what it asked for.
        self._provider_stream = offer.if_stream if stream else offer.if_whole
        self._same_format = offer.candidate.provider.format is call.client_format
        self._relays_body = self._same_format and self._provider_stream is stream and asked.begun is None
        # To go on with an answer takes one that was written here: its ids, and no half of a call.
        self._passthrough = self._relays_body and not (asked.resumable and stream)
        if rules.answer is not None:
            self._on_answer = ruling.on_answer(rules.answer, call.client_format, asked.request.choices)
            self.rules = ruling.names(self._on_answer)
            if self._on_answer is not None and (
                call.client_format is not WireFormat.OPENAI_CHAT or self._on_answer.guards is not None
            ):
                # A thought moves the parts after it, which takes a codec, and so does what is cut across events.
                self._passthrough = self._relays_body = False
        # The provider's stream: an array only for a client that gets its own.
        self._framing = asked.request.framing if self._passthrough else "sse"

    # ---- before the first byte --------------------------------------------------------------------------------------

    async def open(self) -> Head:
        """Call the provider and wait for the first byte worth passing on. Raises a ``GatewayError``."""
        asked, candidate = self._asked, self.candidate
        context, credentials = asked.call.context, self._tools.credentials
        self._credential = await credentials.have(context, candidate.account)
        if self._relays_body:
            clamp = self._granted() if self._is_bounded else 0
            asking = asked.request
            if (rules := self._rules.relayed) is not None and self._rules.touch(asking.body.whole):
                asking = msgspec.structs.replace(asking, body=Body(await self._encode(rules, relayed=True)))
            body = edits.relayed(asking, candidate.provider, candidate.model, clamp, self._mended(asking.body))
        else:
            body = await self._encode(self._rules.relayed if self._same_format else self._rules.translated)
        if self.unproved:
            body = self._without_proofs(body)
        request = self._request(body)
        self._input_estimate = counting.rough(body)
        self._awaited = True
        self.sent = clock.monotonic()
        try:
            answer = self._answer = await self._tools.upstream.send(request)
            if answer.status in (401, 403):
                fresh = await credentials.renewed(context, candidate.account, self._credential)
                if fresh is not None:  # the same account once more
                    self._credential = fresh
                    answer.close()
                    answer = self._answer = await self._tools.upstream.send(self._request(body))
            await self._await_first_byte(answer)
        except CredentialUnavailable:  # the proxy's, so nothing went out
            self._awaited = False
            raise
        except UpstreamError as error:
            self._awaited = False
            if isinstance(error, ProxyFailed):
                self._failed_proxy = error
            wire_format = candidate.provider.format
            if thoughts.doubted(wire_format, error) and not self.unproved and not (self._strict and self._proves()):
                self.doubted = thoughts.without_proofs(wire_format, body) is not None
            error.message = f"[{candidate.provider.id}/{candidate.model.id}] {self.unsaid(error.message)}"
            if asked.haste is not None and isinstance(error, UpstreamTimeout):
                raise self._hurried(error) from error
            raise
        answer.begun()
        now = clock.monotonic()
        if self.first_byte_ms < 0:
            self.first_byte_ms = int((now - self.began) * 1000)
        self._works()
        client_stream = asked.request.stream
        return Head(
            200,
            client_stream,
            _STREAMED[asked.request.framing] if client_stream else _JSON,
            candidate.provider.id,
            candidate.model.id,
            self.losses,
            self._passthrough,
            (*self.rules, *ruling.found(self.findings)),
            client_stream and ruling.shows_progress(self._rules, asked.call.headers),
            self._rules.keep_alive,
            stages=(
                int((self.began - asked.began) * 1e6), 0, 0, int((self.admitted - self.began) * 1e6),
                int((self.sent - self.admitted) * 1e6), int((now - self.sent) * 1e6),
            ),
        )  # fmt: skip

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What guards found of the request, and of the answer so far."""
        return self._found + self._found_said

    @property
    def waited(self) -> float:
        """Seconds from the provider's call to its first byte."""
        return max(0.0, self.began + self.first_byte_ms / 1000 - self.sent)

    def _mended(self, body: Body) -> dict[str, Any]:
        """Edits that leave out of a relayed body what its provider would refuse. Raises ``LossRefused`` where the
        client is strict and that would be missed."""
        wire_format = self.candidate.provider.format
        lost: tuple[str, ...] = ()
        mended = thoughts.unproved(wire_format, body, self.candidate.model.id)
        if mended:
            lost = thoughts.LOST.get(wire_format, ())
        found = unfound.unfound(wire_format, body, mended)
        if found is not mended:
            lost += unfound.LOST
        if lost and self._strict:
            named = ", ".join(lost)
            raise LossRefused(f"{wire_format} does not take what another provider made: {named}", param=lost[0])
        self.losses += lost
        return found

    def _proves(self) -> bool:
        """Whether the client itself gave proofs, and not the vault."""
        call = self._asked.call
        return thoughts.without_proofs(call.client_format, call.body) is not None

    def unsaid(self, text: str) -> str:
        """What a provider said, without the credential that it was shown."""
        return unsaid.without(self._credential.secret, text)

    def _without_proofs(self, body: bytes) -> bytes:
        wire_format = self.candidate.provider.format
        lost = thoughts.LOST.get(wire_format, ("contents.parts.thoughtSignature",))
        self.losses = tuple(dict.fromkeys((*self.losses, *lost)))
        return thoughts.without_proofs(wire_format, body) or body

    def _request(self, body: bytes) -> UpstreamRequest:
        asked, offer, stream = self._asked, self.offer, self._provider_stream
        provider, context, timeouts = offer.candidate.provider, asked.call.context, self._timeouts
        url, fixed = offer.call(stream, self._framing)
        credential = self._credential
        url = provider_call.at(url, provider, credential.base_url)
        return UpstreamRequest(
            url,
            provider_call.headers(
                provider,
                credential.secret,
                fixed,
                request_id=context.request_id,
                traceparent=context.traceparent,
                client=asked.call.headers if self._same_format else {},
                loop=asked.call.headers.get(loops.HEADER, ""),
                call=provider_call.Call(url, body, clock.now_ms() // 1000, offer.candidate.account)
                if offer.signs
                else None,
                own=credential.headers,
            ),
            body,
            provider.allow_private_address,
            timeouts,
            timeouts.first_byte if stream and asked.request.stream else timeouts.total,
            asked.haste.left(clock.monotonic()) if asked.haste is not None else 0.0,
            offer.candidate.account.egress,
        )

    async def _encode(self, rules: RequestRules | None, *, relayed: bool = False) -> bytes:
        """The body by ``rules``: in the provider's format, or ``relayed`` in its own as the client wrote it."""
        asked, candidate = self._asked, self.candidate
        encoded = await self._tools.translator.encode_request(
            EncodeCall(
                context=asked.call.context,
                client_format=asked.call.client_format,
                provider_format=candidate.provider.format,
                body=asked.request.body.whole,
                model=candidate.model.id,
                max_output=self._bound(relayed),
                strict=self._strict,
                stream=self._provider_stream,
                parties=self._parties(),
                rules=rules,
                relayed=relayed,
                begun=asked.begun.sent if asked.begun is not None else b"",
                prefill=self._prefills,
            )
        )
        if rules is not None and rules.guards is not None and not encoded.guarded:
            raise DependencyUnavailable("the translator is of a version that knows no guards", retry_after=1.0)
        self.losses = _named(encoded.losses)
        self.rules = (*encoded.rules, *self.rules)
        self._renamed, self._marks, self._found = encoded.tools, encoded.marks, encoded.findings
        return encoded.body

    async def _await_first_byte(self, answer: UpstreamAnswer) -> None:
        self._status = answer.status
        settings = self._tools.settings
        if answer.status != 200:
            self._awaited = False  # whatever becomes of its words: a refusal is not billed
            if answer.status in (401, 403):
                self._tools.credentials.forget(self.candidate.account.id)
            raise verdict.from_status(
                answer.status, answer.headers, await answer.read(settings.max_error_bytes), clock.now_ms() / 1000
            )
        content_type, streamed = answer.headers.get("content-type", ""), self._provider_stream
        if streamed and not content_type.startswith(provider_call.stream_type(self.candidate.provider, self._framing)):
            body = b"" if content_type.startswith(_EVENTS) else await answer.read(settings.max_error_bytes)
            if tells_error(body):
                raise verdict.from_told(body, "the provider answered an error under status 200")
            wanted = "one JSON array" if self._framing == "array" else "a stream"
            said = self.unsaid(body.decode("utf-8", "replace"))[:100]
            raise UpstreamFailed(f"the provider answered otherwise where {wanted} was asked for: {said}")
        if not streamed and content_type.startswith(_EVENTS):
            raise UpstreamFailed("the provider answered a stream where one body was asked for")
        if not (streamed and self._asked.request.stream):
            await self._read_whole(answer)
            return
        if self._passthrough:
            tap = self._tap = stream_tap(
                self.candidate.provider.format,
                relay_usage=self._asked.request.include_usage,
                framing=self._framing,
            )
            source = self._source = Ahead(answer.chunks()) if self._asked.mid_stream.holds else answer.chunks()
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
            if isinstance(source, Ahead) and not self.finished:
                await self._hold_back(source, self._take_chunk)
            return
        translated = self._translated = self._translate(answer.chunks())
        items = self._items = Ahead(translated) if self._asked.mid_stream.holds else translated
        async for item in items:
            self._note(item)
            self._first.append(item.data)
            if item.begun:  # what it says again is nothing to pass on, and still no silence
                answer.begun()
            if item.finished or not (item.data.isspace() or not item.data):  # blanks only keep a connection alive
                if isinstance(items, Ahead):
                    await self._hold_back(items, self._take_item)
                return
        raise StreamInterrupted("the provider ended the stream before it began")

    async def _hold_back(self, source: Ahead[Any], take: Callable[[Any], None]) -> None:
        """Keep the start of a stream for as long as the configuration says, so that if it breaks off there another
        candidate can begin anew. Raises what breaks it."""
        wanted = self._asked.mid_stream
        if self._asked.begun is not None:
            return
        self.first_byte_ms = self.elapsed_ms()  # what came is the provider's to bill, whoever gets to see it
        if self._answer is not None:
            self._answer.begun()
        if self._tap is not None and self._tap.failure is not None:  # it came with the start
            raise self._tap.failure
        until = clock.monotonic() + (wanted.hold_seconds or _FOR_EVER)
        while not self._is_whole and not (wanted.hold_tokens and self._came() >= wanted.hold_tokens):
            left = until - clock.monotonic()
            if left <= 0 or not await source.within(left):
                return
            item = await anext(source, None)
            if item is None:
                self._end_held()
                return
            take(item)

    @property
    def _is_whole(self) -> bool:
        """Whether the answer's end has been seen; how its stream ends takes nothing from it."""
        return self.finished or (self._tap is not None and self._tap.complete)

    def _end_held(self) -> None:
        """The provider's stream is over while it is held back. Raises ``UpstreamError`` where the answer is not."""
        if self._tap is None:
            raise StreamInterrupted("the provider ended the stream before the answer was complete")
        self._first.append(self._tap.end())
        self._source, self.finished = None, True

    def _came(self) -> int:
        """Tokens of the answer so far, about."""
        return max(self._estimate, self._tap.estimate() if self._tap is not None else 0)

    def _take_item(self, item: Translated) -> None:
        self._note(item)
        self._first.append(item.data)

    def _take_chunk(self, chunk: bytes) -> None:
        tap = self._tap
        if tap is not None:
            self._first.append(tap.feed(chunk))
            if tap.failure is not None:
                raise tap.failure

    async def _read_whole(self, answer: UpstreamAnswer) -> None:
        limit = self._tools.settings.max_answer_bytes
        body = await answer.read(limit)
        if len(body) >= limit:
            raise UpstreamFailed(f"the provider answered more than {limit} bytes")
        if self._passthrough:
            self._reported, self._estimate = read_answer(self.candidate.provider.format, body)
            if self._on_answer is not None:
                body = b"".join([item.data async for item in self._translate(_once(body))])
            self._first.append(body)
            self.finished = True
            return
        async for item in self._translate(_once(body)):
            self._note(item)
            self._first.append(item.data)
        if not self.finished:
            raise UpstreamFailed("the provider gave an incomplete answer")

    def _hurried(self, error: UpstreamTimeout) -> UpstreamTimeout:
        """The same, said to be the request's own doing where it gave less time than there would have been."""
        haste, now = self._asked.haste, clock.monotonic()
        if haste is None or not haste.ended(self._timeouts, self.offer.timeouts, now - (self.sent or now), now):
            return error
        return haste.told(error, now)

    # ---- relaying ---------------------------------------------------------------------------------------------------

    def frames(self) -> AsyncGenerator[bytes, None]:
        """A stream's bytes. Raises ``UpstreamError`` where the provider broke off."""
        frames = self._frames() if self._asked.haste is None else self._in_haste(self._frames())
        return frames if self._on_answer is None or not self._passthrough else self._filtered(frames)

    async def _filtered(self, frames: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """What the rules make of a relayed stream, behind the tap, which must see what the provider sent."""
        self._filter = self._translate(frames)
        async for item in self._filter:
            if item.data:
                yield item.data

    async def _in_haste(self, frames: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(frames):
            try:
                async for data in frames:
                    yield data
            except UpstreamTimeout as error:
                raise self._hurried(error) from error

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        first = b"".join(self._first)
        self._first.clear()
        if first:
            yield first
        if self._items is not None:
            async for item in self._items:
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
        return self._translated is not None or self._filter is not None or isinstance(self._source, Ahead)

    async def close(self) -> None:
        """End a translation that was left early; the provider's connection went with ``settle``."""
        for ahead in (self._items, self._source):
            if isinstance(ahead, Ahead):
                await ahead.leave()
        for translated in (self._translated, self._filter):
            if translated is not None:
                await translated.aclose()

    def _translate(self, source: AsyncIterator[bytes]) -> AsyncGenerator[Translated, None]:
        asked, begun = self._asked, self._asked.begun
        return self._tools.translator.translate_stream(
            StreamCall(
                context=asked.call.context,
                client_format=asked.call.client_format,
                provider_format=self.candidate.provider.format,
                stream=asked.request.stream,
                provider_stream=self._provider_stream,
                model=asked.request.model,
                include_usage=asked.request.include_usage,
                created=begun.created if begun is not None else self.created,
                response_id=_ID_PREFIX[asked.call.client_format] + asked.call.context.request_id,
                framing=asked.request.framing,
                tools=self._renamed,
                parties=self._parties(),
                rules=self._on_answer,
                whole_calls=asked.resumable,
                begun=begun.sent if begun is not None else b"",
                prefill=self._prefills,
                used=begun.used if begun is not None else Usage(),
                marks=self._marks if self._on_answer is not None and self._on_answer.guards is not None else (),
            ),
            source,
        )

    def _bound(self, relayed: bool) -> int:
        """The output limit to write, 0 for none: what was granted, but where the client's own bytes stand without a
        budget, and where a limit that nobody set could not be said."""
        if relayed:
            return self._granted() if self._is_bounded else 0
        said = self._asked.request.limit or provider_call.takes_limit(self.candidate.provider)
        return self._granted() if said else 0

    @property
    def _prefills(self) -> bool:
        return self.candidate.provider.resumes == "prefill"

    @property
    def _strict(self) -> bool:
        return ruling.is_strict(self._asked.call.headers)

    def _parties(self) -> Parties:
        provider, account, model = self.candidate.provider, self.candidate.account, self.candidate.model
        project = account.project or self._credential.project
        return Parties(self._asked.policy.id, provider.id, account.id, model.id, project, account.identity)

    def _note(self, item: Translated) -> None:
        if item.usage is not None:
            self._reported = item.usage
        if item.finished:
            self.finished = True
        if item.findings:
            self._found_said = item.findings
        if item.losses:
            self.losses = (self.losses + _named(item.losses))[:MAX_LOSSES]
        request = self._asked.request
        if not request.stream:
            self._estimate += -(-len(item.data) // 4)
        else:  # one event a token
            self._estimate += item.data.count(_MARKS[request.framing])


def _named(losses: tuple[Loss, ...]) -> tuple[str, ...]:
    """Their fields. Unknown ones are the client's to invent, so neither their number nor their length may be any."""
    return tuple(loss.field[:MAX_LOSS_FIELD] for loss in losses[:MAX_LOSSES])


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
