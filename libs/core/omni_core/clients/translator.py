"""TranslatorPort over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from grpc import aio
from omni_catalogue.guards import AnswerGuards, RequestGuards
from omni_catalogue.rules import AnswerRules, RequestRules
from omni_wire.errors import StreamInterrupted, UpstreamTimeout
from omniroute_proto.common.v1 import common_pb2
from omniroute_proto.translator.v1 import translator_pb2 as pb

from omni_core import usage_message
from omni_core.coalesce import Gathered
from omni_core.ports.translator import (
    EncodeCall,
    EncodedRequest,
    Finding,
    Loss,
    Mark,
    Parties,
    RenamedTool,
    StreamCall,
    Translated,
)
from omni_core.rpc import Peer, ServiceChannel

# Seconds: a large body with media takes a while to convert.
ENCODE_TIMEOUT = 30.0


class Feed:
    """A source on its way to a translator. While it is kept it can be played to another one from its beginning."""

    def __init__(self, source: AsyncIterator[bytes], *, keep: bool) -> None:
        self._source = source
        self._gathered: Gathered[bytes] | None = None
        self._kept: list[bytes] | None = [] if keep else None

    async def play(self) -> AsyncGenerator[bytes, None]:
        """All of it. Raises what the source raised. One player at a time, and leaving it does not end the source."""
        if self._gathered is None:
            self._gathered = Gathered(self._source, len)
        for data in tuple(self._kept or ()):
            yield data
        while batch := await self._gathered.batch():
            data = batch[0] if len(batch) == 1 else b"".join(batch)
            if self._kept is not None:
                self._kept.append(data)
            yield data

    def forget(self) -> None:
        self._kept = None

    async def close(self) -> None:
        """End the source where it stands, and wait for its ``finally`` blocks."""
        if self._gathered is not None:
            await self._gathered.close()


class TranslatorClient:
    """Satisfies ``TranslatorPort``. Closing ``translate_stream``'s generator cancels the call at the translator."""

    def __init__(self, channel: ServiceChannel) -> None:
        peer = Peer(channel, "omniroute.translator.v1.TranslatorPort", "translator")
        self._errors = peer.errors
        self._encode = peer.unary("EncodeRequest", pb.EncodeRequestResponse, ENCODE_TIMEOUT)
        self._translate = peer.bidi("TranslateStream", pb.TranslateStreamResponse)

    async def encode_request(self, call: EncodeCall, timeout: float = ENCODE_TIMEOUT) -> EncodedRequest:
        response = await self._encode(
            pb.EncodeRequestRequest(
                context=common_pb2.CallContext(
                    request_id=call.context.request_id, traceparent=call.context.traceparent
                ),
                client_format=call.client_format.value,
                provider_format=call.provider_format.value,
                body=call.body,
                model=call.model,
                max_output=call.max_output,
                strict=call.strict,
                stream=call.stream,
                parties=_parties(call.parties),
                rules=_request_rules(call.rules),
                relayed=call.relayed,
                begun=call.begun,
                prefill=call.prefill,
            ),
            timeout,
        )
        tools = tuple(RenamedTool(tool.sent, tool.name, tool.namespace, tool.freeform) for tool in response.tools)
        return EncodedRequest(
            body=response.body,
            losses=tuple(map(_loss, response.losses)),
            tools=tools,
            rules=tuple(response.rules),
            findings=tuple(map(_finding, response.findings)),
            marks=tuple(Mark(mark.token, mark.original) for mark in response.marks),
            guarded=response.guarded,
        )

    async def translate_stream(
        self, call: StreamCall, source: AsyncIterator[bytes]
    ) -> AsyncGenerator[Translated, None]:
        feed = Feed(source, keep=False)
        try:
            async with aclosing(self.translate(call, feed)) as items:
                async for item in items:
                    yield item
        finally:
            await feed.close()

    async def translate(self, call: StreamCall, feed: Feed) -> AsyncGenerator[Translated, None]:
        """``translate_stream`` of a source that the caller closes."""
        rpc = self._translate()
        broken: list[Exception] = []
        sender = asyncio.get_running_loop().create_task(_send(rpc, call, feed, broken))
        finished = False
        try:
            try:
                with self._errors():
                    async for message in rpc:
                        finished = finished or message.finished
                        yield _translated(message)
            finally:
                # Where the source broke, that is the error, whatever the translator made of a stream cut short; unless
                # the answer's end had come before.
                if broken and not (finished and isinstance(broken[0], StreamInterrupted | UpstreamTimeout)):
                    raise broken[0]
        finally:
            rpc.cancel()
            sender.cancel()
            await asyncio.wait([sender])


async def _send(
    rpc: aio.StreamStreamCall[Any, Any], call: StreamCall, feed: Feed, broken: list[Exception]
) -> None:  # fmt: skip
    """Write the head, then the source's bytes, and half-close.

    A source that breaks is told by a message without content, since its end would look like the answer's; what it
    raised is in ``broken`` before the translator can know.
    """
    head = pb.StreamHead(
        context=common_pb2.CallContext(request_id=call.context.request_id, traceparent=call.context.traceparent),
        client_format=call.client_format.value,
        provider_format=call.provider_format.value,
        stream=call.stream,
        provider_stream=call.provider_stream,
        model=call.model,
        include_usage=call.include_usage,
        created=call.created,
        response_id=call.response_id,
        framing=call.framing,
        tools=[
            pb.RenamedTool(sent=tool.sent, name=tool.name, namespace=tool.namespace, freeform=tool.freeform)
            for tool in call.tools
        ],
        parties=_parties(call.parties),
        rules=_answer_rules(call.rules),
        whole_calls=call.whole_calls,
        begun=call.begun,
        prefill=call.prefill,
        used=usage_message.written(call.used) if call.begun else None,
        marks=[pb.Mark(token=mark.token, original=mark.original) for mark in call.marks],
    )
    if not await _write(rpc, pb.TranslateStreamRequest(head=head)):
        return
    try:
        async with aclosing(feed.play()) as played:
            async for data in played:
                if not await _write(rpc, pb.TranslateStreamRequest(data=data)):
                    return
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever reads the translation raises it
        broken.append(error)
        await _write(rpc, pb.TranslateStreamRequest())
    finally:
        if not rpc.done():
            await rpc.done_writing()


async def _write(rpc: aio.StreamStreamCall[Any, Any], message: pb.TranslateStreamRequest) -> bool:
    """False when the call is over; whoever reads it learns why."""
    try:
        await rpc.write(message)
    except (aio.AioRpcError, asyncio.InvalidStateError):
        return False
    return True


def _translated(message: pb.TranslateStreamResponse) -> Translated:
    return Translated(
        data=message.data,
        usage=usage_message.read(message.usage) if message.HasField("usage") else None,
        finished=message.finished,
        finish_reason=message.finish_reason,
        losses=tuple(map(_loss, message.losses)),
        begun=message.begun,
        findings=tuple(map(_finding, message.findings)) if message.findings else (),
    )


def _loss(loss: pb.Loss) -> Loss:
    return Loss(field=loss.field, kind=loss.kind, reason=loss.reason)


def _finding(finding: pb.Finding) -> Finding:
    return Finding(finding.guard, finding.rule, finding.action, finding.count)


def _parties(parties: Parties) -> pb.Parties:
    return pb.Parties(
        principal=parties.principal,
        provider=parties.provider,
        account=parties.account,
        model=parties.model,
        project=parties.project,
        identity=parties.identity,
    )


def _request_rules(rules: RequestRules | None) -> pb.RequestRules | None:
    if rules is None:
        return None
    return pb.RequestRules(
        developer_to_system=rules.developer_to_system,
        system_to_user=rules.system_to_user,
        thinking_mode=rules.thinking.mode,
        thinking_budget=rules.thinking.budget,
        thinking_effort=rules.thinking.effort,
        strip_thinking=rules.strip_thinking,
        prefix=rules.prefix,
        suffix=rules.suffix,
        clamp=rules.clamp,
        max_output=rules.max_output,
        context=rules.context,
        guards=_request_guards(rules.guards),
    )


def _answer_rules(rules: AnswerRules | None) -> pb.AnswerRules | None:
    if rules is None:
        return None
    return pb.AnswerRules(
        sanitize=rules.sanitize, think_tags=rules.think_tags, guards=_answer_guards(rules.guards)
    )  # fmt: skip


def _request_guards(guards: RequestGuards | None) -> pb.RequestGuards | None:
    if guards is None:
        return None
    return pb.RequestGuards(
        pii=guards.pii,
        kinds=guards.kinds,
        patterns=_named(guards.patterns),
        restore=guards.restore,
        injection=guards.injection,
        rules=_named(guards.rules),
    )


def _answer_guards(guards: AnswerGuards | None) -> pb.AnswerGuards | None:
    if guards is None:
        return None
    return pb.AnswerGuards(
        pii=guards.pii, kinds=guards.kinds, patterns=_named(guards.patterns), restore=guards.restore
    )  # fmt: skip


def _named(values: tuple[tuple[str, str], ...]) -> list[pb.Named]:
    return [pb.Named(name=name, value=value) for name, value in values]
