"""TranslatorPort, implemented: the story of one request out and one answer back."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from typing import Final

import msgspec
from omni_core.ports.translator import EncodeCall, EncodedRequest, Loss, RenamedTool, StreamCall, Translated
from omni_core.telemetry import about
from omni_wire.errors import InvalidRequest, LossRefused, NotBuilt, UpstreamFailed, WireError
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_translator.domain import vault
from omni_translator.domain.codec import ClientTool, Codec, Encoded, Reply, StreamDecoder, StreamEncoder
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import Event
from omni_translator.domain.keeper import Keeper
from omni_translator.domain.losses import Loss as DomainLoss
from omni_translator.domain.model import Conversation, Part
from omni_translator.domain.plain import client_tools
from omni_translator.domain.streams import Tally
from omni_translator.ports import Metrics, Vault
from omni_translator.settings import TranslatorSettings

_log: Final = logging.getLogger("omniroute.translator")
_NAMED_IN_MESSAGE: Final = 8


def _decode(call: EncodeCall, client: Codec) -> Conversation:
    conversation = client.decode_request(call.body)
    limit = call.max_output if call.max_output > 0 else conversation.max_output
    stream = call.stream or conversation.stream
    return msgspec.structs.replace(conversation, model=call.model, max_output=limit, stream=stream)


def _encode(conversation: Conversation, provider: Codec) -> tuple[Encoded, tuple[RenamedTool, ...]]:
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
        """Raises ``InvalidRequest``, ``LossRefused`` (strict) or ``NotBuilt``."""
        client, provider = self._pair(call.client_format, call.provider_format)
        self._metrics.bytes(call, "request_in", len(call.body))
        try:
            if len(call.body) > self._settings.inline_bytes:
                conversation = await asyncio.to_thread(_decode, call, client)
                conversation = await self._restored(call, conversation)
                encoded, tools = await asyncio.to_thread(_encode, conversation, provider)
            else:
                conversation = await self._restored(call, _decode(call, client))
                encoded, tools = _encode(conversation, provider)
        except WireError as error:
            self._metrics.request(call, "invalid")
            raise InvalidRequest(str(error), param=error.field) from error
        self._metrics.losses(call, encoded.losses)
        if call.strict and encoded.losses:
            self._metrics.request(call, "refused")
            raise LossRefused(_refusal(encoded.losses, call.provider_format), param=encoded.losses[0].field)
        self._metrics.request(call, "lossy" if encoded.losses else "lossless")
        self._metrics.bytes(call, "request_out", len(encoded.body))
        return EncodedRequest(body=encoded.body, losses=_to_port(encoded.losses), tools=tools)

    async def translate_stream(
        self, call: StreamCall, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        """Convert an answer as it arrives.

        Raises ``UpstreamFailed`` where the provider's bytes are not its format or carry its error event (data
        converted before it has been yielded already). What ``source`` raises passes through.
        """
        client, provider = self._pair(call.client_format, call.provider_format)
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
            converting = (
                self._stream(call, provider.stream_decoder(), client.stream_encoder(reply), source)
                if call.stream
                else self._whole(call, provider, client, reply, source)
            )
            async with aclosing(converting):
                async for item in converting:
                    finished = finished or item.finished
                    yield item
            outcome = "interrupted"
        except UpstreamFailed:
            outcome = "failed"
            raise
        finally:
            self._metrics.answer(call, "finished" if finished else outcome)

    async def _whole(
        self, call: StreamCall, provider: Codec, client: Codec, reply: Reply, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        chunks: list[bytes] = []
        size = 0
        async for chunk in source:
            size += len(chunk)
            if size > self._settings.max_answer_bytes:
                raise UpstreamFailed(f"the provider's answer is longer than {self._settings.max_answer_bytes} bytes")
            chunks.append(chunk)
        self._metrics.bytes(call, "answer_in", size)
        try:
            response = provider.decode_response(b"".join(chunks))
            encoded = client.encode_response(response, reply)
        except WireError as error:
            raise _not_its_format(call, error) from error
        if response.finish is not None:
            await self._keep(call, response.id, response.parts)
        self._metrics.losses(call, encoded.losses)
        self._metrics.bytes(call, "answer_out", len(encoded.body))
        yield Translated(
            data=encoded.body,
            usage=response.usage,
            finished=response.finish is not None,
            finish_reason=response.finish.value if response.finish is not None else "",
            losses=_to_port(encoded.losses),
        )

    async def _stream(
        self, call: StreamCall, decoder: StreamDecoder, encoder: StreamEncoder, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        tally = Tally()
        keeper = Keeper() if self._keeps(call) else None
        received = sent = 0
        try:
            async for chunk in source:
                received += len(chunk)
                data = _convert(decoder.feed(chunk), encoder, tally, keeper)
                if tally.finished is not None:
                    break
                sent += len(data)
                if data:
                    yield Translated(data=data, usage=_usage(tally))
                if tally.failed is not None:
                    raise UpstreamFailed(tally.failed.message)
                if decoder.error is not None:
                    raise decoder.error
            else:
                data = _convert(decoder.end(), encoder, tally, keeper)
                if tally.failed is not None:
                    raise UpstreamFailed(tally.failed.message)
            sent += len(data)
            if keeper is not None and keeper.parts and tally.finished is not None:
                # Before the client has its last bytes, and could come back.
                await self._keep(call, keeper.answer_id, keeper.parts)
            yield _last(data, tally, encoder.losses)
        except WireError as error:
            raise _not_its_format(call, error) from error
        finally:
            self._metrics.losses(call, encoder.losses)
            self._metrics.bytes(call, "answer_in", received)
            self._metrics.bytes(call, "answer_out", sent)

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


def _answerer(call: EncodeCall | StreamCall) -> str:
    """Whose proofs these are; empty where the client speaks the provider's own format and has them itself."""
    if call.client_format is call.provider_format:
        return ""
    parties = call.parties
    return vault.origin(call.provider_format, parties.provider, parties.account, parties.model)


def _unpacked(entries: Mapping[str, bytes]) -> dict[str, vault.Entry]:
    opened = {call_id: vault.unpack(data) for call_id, data in entries.items()}
    return {call_id: entry for call_id, entry in opened.items() if entry is not None}


def _convert(events: list[Event], encoder: StreamEncoder, tally: Tally, keeper: Keeper | None) -> bytes:
    out: list[bytes] = []
    for event in events:
        tally.see(event)
        if keeper is not None:
            keeper.see(event)
        if tally.failed is None:  # an error reaches the client once, from the edge
            out.append(encoder.emit(event))
    return b"".join(out)


def _usage(tally: Tally) -> Usage | None:
    return tally.usage.usage if tally.usage is not None else None


def _last(data: bytes, tally: Tally, losses: tuple[DomainLoss, ...]) -> Translated:
    finished = tally.finished
    return Translated(
        data=data,
        usage=_usage(tally),
        finished=finished is not None,
        finish_reason=finished.reason.value if finished is not None else "",
        losses=_to_port(losses),
    )


def _to_port(losses: tuple[DomainLoss, ...]) -> tuple[Loss, ...]:
    return tuple(Loss(loss.field, loss.kind, loss.reason) for loss in losses)


def _refusal(losses: tuple[DomainLoss, ...], provider_format: WireFormat) -> str:
    named = "; ".join(f"{loss.field} {loss.kind}: {loss.reason}" for loss in losses[:_NAMED_IN_MESSAGE])
    more = f"; and {len(losses) - _NAMED_IN_MESSAGE} more" if len(losses) > _NAMED_IN_MESSAGE else ""
    return f"strict translation to {provider_format} would lose: {named}{more}"


def _not_its_format(call: StreamCall, error: WireError) -> UpstreamFailed:
    _log.warning("the provider's answer is not %s", call.provider_format, extra=about(call.context))
    return UpstreamFailed(f"the provider's answer is not {call.provider_format}: {error}")
