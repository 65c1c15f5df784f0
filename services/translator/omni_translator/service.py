"""TranslatorPort, implemented: the story of one request out and one answer back."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import msgspec
from omni_catalogue.rules import AnswerRules
from omni_core.ports.translator import (
    EncodeCall,
    EncodedRequest,
    Finding,
    Loss,
    Mark,
    RenamedTool,
    StreamCall,
    Translated,
)
from omni_core.telemetry import about
from omni_wire.errors import (
    InvalidRequest,
    LossRefused,
    NotBuilt,
    StreamInterrupted,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
    WireError,
)
from omni_wire.formats import WireFormat
from omni_wire.told_error import error_of, told_error, told_status
from omni_wire.usage import Usage

from omni_translator.domain import continuation, rules, vault
from omni_translator.domain.codec import ClientTool, Codec, Encoded, Reply, StreamDecoder, StreamEncoder
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.contradictions import refuse_contradictions
from omni_translator.domain.events import Event, Failed, KeepAlive, UsageReported, fold, unfold
from omni_translator.domain.guards.answer import AnswerGuard
from omni_translator.domain.guards.doubles import refuse_doubles
from omni_translator.domain.guards.request import Finding as DomainFinding
from omni_translator.domain.guards.request import Refused
from omni_translator.domain.guards.scanner import Mark as DomainMark
from omni_translator.domain.keeper import Keeper
from omni_translator.domain.losses import Loss as DomainLoss
from omni_translator.domain.model import Conversation, Part, Response
from omni_translator.domain.plain import client_tools
from omni_translator.domain.rules.chat_filter import ChatFilter
from omni_translator.domain.rules.splice import splice
from omni_translator.domain.rules.think_tags import ThinkingApart, split_response
from omni_translator.domain.streams import Tally
from omni_translator.ports import Metrics, Vault
from omni_translator.settings import TranslatorSettings

_log: Final = logging.getLogger("omniroute.translator")
_NAMED_IN_MESSAGE: Final = 8
# Anthropic's limit of 0 fills the prompt cache and has no answer.
_LATE_THOUGHTS: Final = DomainLoss("reasoning", "dropped", "it came after the text that it belongs before")
_ONE_TOKEN: Final = DomainLoss("max_tokens", "approximated", "the provider cannot be asked for less than one token")


def _decode(call: EncodeCall, client: Codec) -> rules.Ruled:
    ruled = _ruled(call, client.decode_request(call.body))
    if call.begun:
        begun = continuation.read(client, call.begun)
        ruled = msgspec.structs.replace(
            ruled, conversation=continuation.asked(ruled.conversation, begun, call.prefill)
        )  # fmt: skip
    ruled = rules.guarded(ruled, call.rules)
    conversation, losses = ruled.conversation, ruled.losses
    limit = call.max_output if call.max_output > 0 else conversation.max_output
    if conversation.max_output == 0 and call.provider_format is not WireFormat.ANTHROPIC_MESSAGES:
        limit, losses = 1, (*losses, _ONE_TOKEN)
    addressed = msgspec.structs.replace(
        conversation,
        model=call.model,
        max_output=limit,
        stream=call.stream,
        project=call.parties.project,
        identity=call.parties.identity,
    )
    return msgspec.structs.replace(ruled, conversation=addressed, losses=losses)


def _ruled(call: EncodeCall, conversation: Conversation) -> rules.Ruled:
    if call.rules is None:
        return rules.Ruled(conversation)
    limit = call.max_output if call.max_output > 0 else conversation.max_output or 0
    return rules.apply(conversation, call.rules, call.provider_format, call.model, limit)


def _relayed(call: EncodeCall, codec: Codec) -> tuple[bytes, rules.Ruled]:
    """The client's body with what the rules change. One that the codec cannot read stays as it is, unless the operator
    wants his words in it, or it guarded."""
    try:
        conversation = msgspec.structs.replace(codec.decode_request(call.body), model=call.model)
    except WireError:
        if call.rules is not None and (call.rules.prefix or call.rules.suffix or call.rules.guards is not None):
            raise
        return call.body, rules.Ruled(Conversation(origin=codec.format, model=call.model, messages=()))
    if call.rules is not None and call.rules.guards is not None:
        refuse_doubles(call.body)
    ruled = rules.guarded(_ruled(call, conversation), call.rules)
    if ruled.conversation is conversation:
        return call.body, ruled
    return splice(call.body, conversation, ruled.conversation, codec), ruled


def _encode(conversation: Conversation, provider: Codec) -> tuple[Encoded, tuple[RenamedTool, ...]]:
    if conversation.origin is not provider.format:
        refuse_contradictions(conversation)
    encoded = provider.encode_request(conversation)
    if conversation.origin is provider.format:  # at home every tool keeps its name
        return encoded, ()
    renamed = client_tools(conversation)
    return encoded, tuple(RenamedTool(sent, tool.name, tool.namespace, tool.freeform) for sent, tool in renamed.items())


class TranslatorService:
    """Satisfies ``omni_core.ports.translator.TranslatorPort``. Holds nothing between calls but counters.

    Without a ``store`` no reasoning is kept for a client that does not give it back.
    """

    def __init__(self, metrics: Metrics, settings: TranslatorSettings, store: Vault | None = None) -> None:
        self._metrics = metrics
        self._settings = settings
        self._store = store

    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        """Raises ``InvalidRequest``, ``LossRefused`` (strict), ``GuardRefused`` or ``NotBuilt``."""
        client, provider = self._pair(call.client_format, call.provider_format)
        self._metrics.bytes(call, "request_in", len(call.body))
        try:
            encoded, ruled, tools = await self._encoded(call, client, provider)
        except WireError as error:
            self._metrics.request(call, "invalid")
            raise InvalidRequest(str(error), param=error.field) from error
        except Refused as refused:
            self._metrics.request(call, "refused")
            self._metrics.guards(refused.findings)
            raise refused.told() from None
        losses = (*ruled.losses, *encoded.losses)
        self._metrics.losses(call, losses)
        if call.strict and losses:
            self._metrics.request(call, "refused")
            raise LossRefused(_refusal(losses, call.provider_format), param=losses[0].field)
        self._metrics.request(call, "lossy" if losses else "lossless")
        self._metrics.rules(ruled.names)
        self._metrics.guards(ruled.findings)
        self._metrics.bytes(call, "request_out", len(encoded.body))
        return EncodedRequest(
            body=encoded.body,
            losses=_to_port(losses),
            tools=tools,
            rules=ruled.names,
            findings=_findings(ruled.findings),
            marks=tuple(Mark(mark.token, mark.original) for mark in ruled.marks),
            guarded=call.rules is not None and call.rules.guards is not None,
        )

    async def _encoded(
        self, call: EncodeCall, client: Codec, provider: Codec
    ) -> tuple[Encoded, rules.Ruled, tuple[RenamedTool, ...]]:
        large = len(call.body) > self._settings.inline_bytes
        if call.relayed:
            body, ruled = await asyncio.to_thread(_relayed, call, client) if large else _relayed(call, client)
            return Encoded(body), ruled, ()
        ruled = await asyncio.to_thread(_decode, call, client) if large else _decode(call, client)
        conversation = await self._restored(call, ruled.conversation)
        encoded, tools = (
            await asyncio.to_thread(_encode, conversation, provider) if large else _encode(conversation, provider)
        )
        return encoded, ruled, tools

    async def translate_stream(
        self, call: StreamCall, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        """Convert an answer as it arrives.

        Raises ``UpstreamFailed`` where the provider's bytes are not its format, or the error they tell (data converted
        before it has been yielded already, but for what only announces an answer: that waits until the answer has
        begun). What ``source`` raises passes through, unless it breaks off after the answer's end has come.
        """
        client, provider = self._pair(call.client_format, call.provider_format)
        guard = _guard(call)
        if guard is None and _only_filters(call):
            async for item in self._filtered(call, ChatFilter(call.rules or AnswerRules()), source):
                yield item
            return
        reply = Reply(
            call.response_id,
            call.model,
            call.created,
            call.include_usage,
            array=call.framing == "array",
            tools={tool.sent: ClientTool(tool.name, tool.namespace, tool.freeform) for tool in call.tools},
        )
        outcome, finished = "abandoned", False
        try:
            if call.provider_stream and call.stream:
                splicing = Splicing(call, client, client.stream_encoder(reply), guard)
                converting = self._stream(call, provider.stream_decoder(), splicing, source)
            else:
                converting = self._whole(call, provider, client, reply, source, guard)
            async with aclosing(converting):
                async for item in converting:
                    finished = finished or item.finished
                    yield item
            outcome = "interrupted"
        except UpstreamError:
            outcome = "failed"
            raise
        except Refused as refused:
            outcome = "refused"
            raise refused.told() from None
        finally:
            if guard is not None:
                self._metrics.guards(guard.findings)
            self._metrics.answer(call, "finished" if finished else outcome)

    async def _whole(
        self,
        call: StreamCall,
        provider: Codec,
        client: Codec,
        reply: Reply,
        source: AsyncIterator[bytes],
        guard: AnswerGuard | None,
    ) -> AsyncGenerator[Translated, None]:
        """An answer that is whole on one side, or on both."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in source:
            size += len(chunk)
            if size > self._settings.max_answer_bytes:
                raise UpstreamFailed(f"the provider's answer is longer than {self._settings.max_answer_bytes} bytes")
            chunks.append(chunk)
        self._metrics.bytes(call, "answer_in", size)
        body = b"".join(chunks)
        try:
            response = _folded(body, provider) if call.provider_stream else provider.decode_response(body)
            if call.rules is not None and call.rules.think_tags:
                response = self._apart(response)
            said = guard.whole(response) if guard is not None else response
            encoded = (
                _streamed(said, client.stream_encoder(reply)) if call.stream else client.encode_response(said, reply)
            )
        except WireError as error:
            if told_status(body):
                raise told_error(body, "the provider answered an error under status 200") from error
            raise _not_its_format(call, error) from error
        if response.finish is not None:
            await self._keep(call, response.id, response.parts)
        self._metrics.losses(call, encoded.losses)
        data = encoded.body
        if (clean := _sanitizer(call)) is not None:
            data = clean.feed(data) + clean.end() if call.stream else clean.whole(data)
            self._metrics.rules(clean.changed)
        self._metrics.bytes(call, "answer_out", len(data))
        yield Translated(
            data=data,
            usage=response.usage,
            finished=response.finish is not None,
            finish_reason=response.finish.value if response.finish is not None else "",
            losses=_to_port(encoded.losses),
            findings=_findings(guard.findings) if guard is not None else (),
        )

    async def _stream(
        self, call: StreamCall, decoder: StreamDecoder, encoder: "Splicing", source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        tally = Tally()
        keeper = Keeper() if self._keeps(call) else None
        apart = ThinkingApart() if call.rules is not None and call.rules.think_tags else None
        clean = _sanitizer(call)
        received = sent = 0
        held = b""  # what announces an answer, until it has begun: while nothing has gone out another can be had
        told: UsageReported | None = None
        broken: UpstreamError | None = None
        resumes = bool(call.begun)  # and it is still to be told when that begins
        try:
            try:
                async for chunk in source:
                    received += len(chunk)
                    events = decoder.feed(chunk)
                    if not tally.begun:
                        events = [event for event in events if type(event) is not KeepAlive]
                    data = _convert(events, encoder, tally, keeper, apart)
                    data = held + (data if clean is None else clean.feed(data))
                    if tally.finished is not None:
                        break
                    if tally.begun:
                        held = b""
                        sent += len(data)
                        if data or resumes:
                            yield Translated(data=data, usage=_usage(tally), begun=resumes, findings=encoder.news())
                            resumes = False
                    else:
                        held = data
                        if tally.usage is not told:
                            told = tally.usage
                            yield Translated(data=b"", usage=_usage(tally))
                    if tally.failed is not None:
                        raise error_of(tally.failed.message, tally.failed.status)
                    if decoder.error is not None:
                        raise decoder.error
            except (StreamInterrupted, UpstreamTimeout) as error:
                broken = error
            if tally.finished is None:
                data = _convert(decoder.end(), encoder, tally, keeper, apart)
                data = held + (data if clean is None else clean.feed(data))
                if tally.failed is not None:
                    raise error_of(tally.failed.message, tally.failed.status)
                if broken is not None and tally.finished is None:
                    raise broken
                if not tally.begun:
                    data = b""
            sent += len(data)
            if keeper is not None and keeper.parts and tally.finished is not None:
                # Before the client has its last bytes, and could come back.
                await self._keep(call, keeper.answer_id, keeper.parts)
            yield _last(data, tally, encoder)
        except WireError as error:
            raise _not_its_format(call, error) from error
        finally:
            if apart is not None and apart.changed:
                self._metrics.rules(("think_tags",))
            if clean is not None:
                self._metrics.rules(clean.changed)
            self._metrics.losses(call, encoder.losses)
            self._metrics.bytes(call, "answer_in", received)
            self._metrics.bytes(call, "answer_out", sent)

    # ---- the product's own rules ------------------------------------------------------------------------------------

    async def _filtered(
        self, call: StreamCall, chat: ChatFilter, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        """A relayed Chat answer. What became of it its source knows: the taps have seen the provider's own bytes."""
        try:
            if not call.stream:
                yield Translated(data=chat.whole(b"".join([chunk async for chunk in source])), finished=True)
                return
            async for chunk in source:
                if data := chat.feed(chunk):
                    yield Translated(data=data)
            yield Translated(data=chat.end(), finished=True)
        except WireError as error:
            raise _not_its_format(call, error) from error
        finally:
            self._metrics.rules(chat.changed)

    def _apart(self, response: Response) -> Response:
        split = split_response(response)
        if split is not response:
            self._metrics.rules(("think_tags",))
        return split

    # ---- the reasoning vault ----------------------------------------------------------------------------------------

    def _keeps(self, call: EncodeCall | StreamCall) -> bool:
        return self._store is not None and bool(call.parties.principal and _answerer(call))

    async def _keep(self, call: StreamCall, answer_id: str, parts: Iterable[Part]) -> None:
        """Keep what a finished answer's provider will want back, for a client that has no place for it."""
        if self._store is None or not self._keeps(call):
            return
        entry = vault.keep(_answerer(call), call.provider_format, answer_id, parts)
        packed = vault.pack(entry) if entry is not None else None
        if entry is not None and packed is not None:
            await self._store.put(call.parties.principal, entry.calls[0].id, packed)

    async def _restored(self, call: EncodeCall, conversation: Conversation) -> Conversation:
        """``conversation`` with what its provider signed earlier, as far as that is there and fits."""
        if self._store is None or not self._keeps(call) or not (ids := vault.wanted(conversation)):
            return conversation
        entries = _unpacked(await self._store.get(call.parties.principal, ids))
        conversation, count = vault.restore(conversation, _answerer(call), call.provider_format, entries)
        self._metrics.vault("restored", count)
        self._metrics.vault("unfit", len(entries) - count)
        return conversation

    def _pair(self, client_format: WireFormat, provider_format: WireFormat) -> tuple[Codec, Codec]:
        client, provider = CODECS.get(client_format), CODECS.get(provider_format)
        if client is None or provider is None:
            missing = client_format if client is None else provider_format
            raise NotBuilt(f"the wire format {missing} is not built yet")
        return client, provider


def _only_filters(call: StreamCall) -> bool:
    """Whether an answer is relayed but for its rules."""
    same = call.client_format is call.provider_format is WireFormat.OPENAI_CHAT
    return same and call.rules is not None and call.stream is call.provider_stream


def _sanitizer(call: StreamCall) -> ChatFilter | None:
    """For what is written to a Chat client from another format, or from another way to answer."""
    wanted = call.rules is not None and call.rules.sanitize and call.client_format is WireFormat.OPENAI_CHAT
    return ChatFilter(AnswerRules(sanitize=True)) if wanted else None


def _answerer(call: EncodeCall | StreamCall) -> str:
    """Whose proofs these are; empty where the client speaks the provider's own format and has them itself."""
    if call.client_format is call.provider_format:
        return ""
    parties = call.parties
    return vault.origin(call.provider_format, parties.provider, parties.account, parties.model)


def _unpacked(entries: Mapping[str, bytes]) -> dict[str, vault.Entry]:
    opened = {call_id: vault.unpack(data) for call_id, data in entries.items()}
    return {call_id: entry for call_id, entry in opened.items() if entry is not None}


def _folded(body: bytes, provider: Codec) -> Response:
    """The whole answer that a provider's stream was. Raises ``WireError``, and the error that it tells itself."""
    decoder = provider.stream_decoder()
    events = decoder.feed(body)
    if decoder.error is None:
        events += decoder.end()
    for event in events:
        if isinstance(event, Failed):
            raise error_of(event.message, event.status)
    if decoder.error is not None:
        raise decoder.error
    return fold(events)


def _streamed(response: Response, encoder: StreamEncoder) -> Encoded:
    return Encoded(b"".join([encoder.emit(event) for event in unfold(response)]), encoder.losses)


class Splicing:
    """An encoder that writes what a guard lets pass, calls of tools when they are whole, where that is wanted, and the
    rest of an answer behind its beginning. Raises ``WireError`` where there is none to go on with."""

    def __init__(self, call: StreamCall, client: Codec, encoder: StreamEncoder, guard: AnswerGuard | None) -> None:
        self._encoder = encoder
        self._guard = guard
        self._found: tuple[DomainFinding, ...] = ()
        self.calls = continuation.WholeCalls() if call.whole_calls else None
        self._seam: continuation.Seam | None = None
        if call.begun:
            begun = continuation.read(client, call.begun)
            for event in begun.events:
                encoder.emit(event)
            self._seam = continuation.Seam(begun, call.used, call.prefill)

    def emit(self, event: Event) -> bytes:
        """Raises ``Refused``."""
        if self._guard is None:
            return self._emit(event)
        return b"".join([self._emit(passed) for passed in self._guard.see(event)])

    def _emit(self, event: Event) -> bytes:
        if self._seam is None:
            return self._encoder.emit(event)
        return b"".join([self._encoder.emit(told) for told in self._seam.see(event)])

    def news(self) -> tuple[Finding, ...]:
        """What the guard has found, where there is more of it than was told."""
        if self._guard is None or (found := self._guard.findings) == self._found:
            return ()
        self._found = found
        return _findings(found)

    @property
    def losses(self) -> tuple[DomainLoss, ...]:
        if self._seam is not None and self._seam.lost_thoughts:
            return (*self._encoder.losses, _LATE_THOUGHTS)
        return self._encoder.losses


def _convert(
    events: Sequence[Event], encoder: Splicing, tally: Tally, keeper: Keeper | None, apart: ThinkingApart | None
) -> bytes:
    out: list[bytes] = []
    if apart is not None:
        events = [told for event in events for told in apart.see(event)]
    if encoder.calls is not None:
        events = [told for event in events for told in encoder.calls.see(event)]
    for event in events:
        tally.see(event)
        if keeper is not None:
            keeper.see(event)
        if tally.failed is None:  # an error reaches the client once, from the edge
            out.append(encoder.emit(event))
    return b"".join(out)


def _usage(tally: Tally) -> Usage | None:
    return tally.usage.usage if tally.usage is not None else None


def _last(data: bytes, tally: Tally, encoder: Splicing) -> Translated:
    finished = tally.finished
    return Translated(
        data=data,
        usage=_usage(tally),
        finished=finished is not None,
        finish_reason=finished.reason.value if finished is not None else "",
        losses=_to_port(encoder.losses),
        findings=encoder.news(),
    )


def _guard(call: StreamCall) -> AnswerGuard | None:
    if call.rules is None or call.rules.guards is None:
        return None
    return AnswerGuard(call.rules.guards, [DomainMark(mark.token, mark.original) for mark in call.marks])


def _findings(findings: tuple[DomainFinding, ...]) -> tuple[Finding, ...]:
    return tuple(Finding(each.guard, each.rule, each.action, each.count) for each in findings)


def _to_port(losses: tuple[DomainLoss, ...]) -> tuple[Loss, ...]:
    return tuple(Loss(loss.field, loss.kind, loss.reason) for loss in losses)


def _refusal(losses: tuple[DomainLoss, ...], provider_format: WireFormat) -> str:
    named = "; ".join(f"{loss.field} {loss.kind}: {loss.reason}" for loss in losses[:_NAMED_IN_MESSAGE])
    more = f"; and {len(losses) - _NAMED_IN_MESSAGE} more" if len(losses) > _NAMED_IN_MESSAGE else ""
    return f"strict translation to {provider_format} would lose: {named}{more}"


def _not_its_format(call: StreamCall, error: WireError) -> UpstreamFailed:
    _log.warning("the provider's answer is not %s", call.provider_format, extra=about(call.context))
    return UpstreamFailed(f"the provider's answer is not {call.provider_format}: {error}")
