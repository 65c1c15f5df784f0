"""TranslatorPort, implemented: the story of one request out and one answer back."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

import msgspec
from omni_core.ports.translator import EncodeCall, EncodedRequest, Loss, StreamCall, Translated
from omni_core.telemetry import about
from omni_wire.errors import InvalidRequest, LossRefused, NotBuilt, UpstreamFailed, WireError
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_translator.domain.codec import Codec, Encoded, Reply, StreamDecoder, StreamEncoder
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import Event
from omni_translator.domain.losses import Loss as DomainLoss
from omni_translator.domain.streams import Tally
from omni_translator.ports import Metrics
from omni_translator.settings import TranslatorSettings

_log: Final = logging.getLogger("omniroute.translator")
_NAMED_IN_MESSAGE: Final = 8


def _encode(call: EncodeCall, client: Codec, provider: Codec) -> Encoded:
    conversation = client.decode_request(call.body)
    limit = call.max_output if call.max_output > 0 else conversation.max_output
    return provider.encode_request(msgspec.structs.replace(conversation, model=call.model, max_output=limit))


class TranslatorService:
    """Satisfies ``omni_core.ports.translator.TranslatorPort``. Holds nothing between calls but counters."""

    def __init__(self, metrics: Metrics, settings: TranslatorSettings) -> None:
        self._metrics = metrics
        self._settings = settings

    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        """Raises ``InvalidRequest``, ``LossRefused`` (strict) or ``NotBuilt``."""
        client, provider = self._pair(call.client_format, call.provider_format)
        self._metrics.bytes(call, "request_in", len(call.body))
        try:
            if len(call.body) > self._settings.inline_bytes:
                encoded = await asyncio.to_thread(_encode, call, client, provider)
            else:
                encoded = _encode(call, client, provider)
        except WireError as error:
            self._metrics.request(call, "invalid")
            raise InvalidRequest(str(error), param=error.field) from error
        self._metrics.losses(call, encoded.losses)
        if call.strict and encoded.losses:
            self._metrics.request(call, "refused")
            raise LossRefused(_refusal(encoded.losses, call.provider_format), param=encoded.losses[0].field)
        self._metrics.request(call, "lossy" if encoded.losses else "lossless")
        self._metrics.bytes(call, "request_out", len(encoded.body))
        return EncodedRequest(body=encoded.body, losses=_to_port(encoded.losses))

    async def translate_stream(
        self, call: StreamCall, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        """Convert an answer as it arrives.

        Raises ``UpstreamFailed`` where the provider's bytes are not its format or carry its error event (data
        converted before it has been yielded already). What ``source`` raises passes through.
        """
        client, provider = self._pair(call.client_format, call.provider_format)
        reply = Reply(call.response_id, call.model, call.created, call.include_usage)
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
        received = sent = 0
        try:
            async for chunk in source:
                received += len(chunk)
                data = _convert(decoder.feed(chunk), encoder, tally)
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
                data = _convert(decoder.end(), encoder, tally)
                if tally.failed is not None:
                    raise UpstreamFailed(tally.failed.message)
            sent += len(data)
            yield _last(data, tally, encoder.losses)
        except WireError as error:
            raise _not_its_format(call, error) from error
        finally:
            self._metrics.losses(call, encoder.losses)
            self._metrics.bytes(call, "answer_in", received)
            self._metrics.bytes(call, "answer_out", sent)

    def _pair(self, client_format: WireFormat, provider_format: WireFormat) -> tuple[Codec, Codec]:
        client, provider = CODECS.get(client_format), CODECS.get(provider_format)
        if client is None or provider is None:
            missing = client_format if client is None else provider_format
            raise NotBuilt(f"the wire format {missing} is not built yet")
        return client, provider


def _convert(events: list[Event], encoder: StreamEncoder, tally: Tally) -> bytes:
    out: list[bytes] = []
    for event in events:
        tally.see(event)
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
