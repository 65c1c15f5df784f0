"""TranslatorPort on a gRPC listener."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing

from omni_catalogue.guards import AnswerGuards, RequestGuards
from omni_catalogue.rules import AnswerRules, RequestRules, ThinkingRule
from omni_core import usage_message
from omni_core.coalesce import coalesce
from omni_core.ports.context import CallContext
from omni_core.ports.translator import (
    EncodeCall,
    Finding,
    Loss,
    Mark,
    Parties,
    RenamedTool,
    StreamCall,
    Translated,
    TranslatorPort,
)
from omni_core.rpc import RpcServer, bidi, unary
from omni_wire.errors import InvalidRequest, StreamInterrupted
from omni_wire.formats import WireFormat
from omniroute_proto.translator.v1 import translator_pb2 as pb


def register(server: RpcServer, port: TranslatorPort) -> None:
    async def encode(request: pb.EncodeRequestRequest) -> pb.EncodeRequestResponse:
        encoded = await port.encode_request(
            EncodeCall(
                context=CallContext(request.context.request_id, request.context.traceparent),
                client_format=WireFormat(request.client_format),
                provider_format=WireFormat(request.provider_format),
                body=request.body,
                model=request.model,
                max_output=request.max_output,
                strict=request.strict,
                stream=request.stream,
                parties=_parties(request.parties),
                rules=_request_rules(request.rules) if request.HasField("rules") else None,
                relayed=request.relayed,
                begun=request.begun,
                prefill=request.prefill,
            )
        )
        tools = [
            pb.RenamedTool(sent=tool.sent, name=tool.name, namespace=tool.namespace, freeform=tool.freeform)
            for tool in encoded.tools
        ]
        return pb.EncodeRequestResponse(
            body=encoded.body,
            losses=_losses(encoded.losses),
            tools=tools,
            rules=encoded.rules,
            findings=_findings(encoded.findings),
            marks=[pb.Mark(token=mark.token, original=mark.original) for mark in encoded.marks],
            guarded=encoded.guarded,
        )

    async def translate(
        requests: AsyncIterator[pb.TranslateStreamRequest],
    ) -> AsyncGenerator[pb.TranslateStreamResponse, None]:
        call = await _head(requests)
        async with aclosing(coalesce(port.translate_stream(call, _data(requests)), _weight)) as batches:
            async for batch in batches:
                yield _pack(batch)

    server.add(
        "omniroute.translator.v1.TranslatorPort",
        {
            "EncodeRequest": unary(pb.EncodeRequestRequest, encode),
            "TranslateStream": bidi(pb.TranslateStreamRequest, translate),
        },
    )


async def _head(requests: AsyncIterator[pb.TranslateStreamRequest]) -> StreamCall:
    first = await anext(requests, None)
    if first is None or first.WhichOneof("message") != "head":
        raise InvalidRequest("the first message of a translation must be its head")
    head = first.head
    return StreamCall(
        context=CallContext(head.context.request_id, head.context.traceparent),
        client_format=WireFormat(head.client_format),
        provider_format=WireFormat(head.provider_format),
        stream=head.stream,
        provider_stream=head.provider_stream,
        model=head.model,
        include_usage=head.include_usage,
        created=head.created,
        response_id=head.response_id,
        framing=head.framing or "sse",
        tools=tuple(RenamedTool(tool.sent, tool.name, tool.namespace, tool.freeform) for tool in head.tools),
        parties=_parties(head.parties),
        rules=_answer_rules(head.rules) if head.HasField("rules") else None,
        whole_calls=head.whole_calls,
        begun=head.begun,
        prefill=head.prefill,
        used=usage_message.read(head.used),
        marks=tuple(Mark(mark.token, mark.original) for mark in head.marks),
    )


def _request_rules(rules: pb.RequestRules) -> RequestRules:
    return RequestRules(
        developer_to_system=rules.developer_to_system,
        system_to_user=rules.system_to_user,
        thinking=ThinkingRule(
            mode=rules.thinking_mode or "passthrough", budget=rules.thinking_budget, effort=rules.thinking_effort
        ),
        strip_thinking=rules.strip_thinking,
        prefix=rules.prefix,
        suffix=rules.suffix,
        clamp=rules.clamp,
        max_output=rules.max_output,
        context=rules.context,
        guards=RequestGuards(
            pii=rules.guards.pii,
            kinds=tuple(rules.guards.kinds),
            patterns=_named(rules.guards.patterns),
            restore=rules.guards.restore,
            injection=rules.guards.injection,
            rules=_named(rules.guards.rules),
        )
        if rules.HasField("guards")
        else None,
    )


def _answer_rules(rules: pb.AnswerRules) -> AnswerRules:
    return AnswerRules(
        sanitize=rules.sanitize,
        think_tags=rules.think_tags,
        guards=AnswerGuards(
            pii=rules.guards.pii,
            kinds=tuple(rules.guards.kinds),
            patterns=_named(rules.guards.patterns),
            restore=rules.guards.restore,
        )
        if rules.HasField("guards")
        else None,
    )


def _named(values: Iterable[pb.Named]) -> tuple[tuple[str, str], ...]:
    return tuple((each.name, each.value) for each in values)


def _parties(parties: pb.Parties) -> Parties:
    return Parties(
        parties.principal, parties.provider, parties.account, parties.model, parties.project, parties.identity
    )


async def _data(requests: AsyncIterator[pb.TranslateStreamRequest]) -> AsyncGenerator[bytes, None]:
    async for message in requests:
        if message.WhichOneof("message") != "data":  # empty: the caller's source broke, and it did not end
            raise StreamInterrupted("the source of the translation broke")
        yield message.data


def _weight(item: Translated) -> int:
    return len(item.data)


def _pack(batch: list[Translated]) -> pb.TranslateStreamResponse:
    """One message for all: bytes joined, and the newest of what is cumulative."""
    first = batch[0]
    if len(batch) == 1:
        data, usage, reason, losses = first.data, first.usage, first.finish_reason, first.losses
        findings = first.findings
    else:
        data = b"".join([item.data for item in batch])
        usage = next((item.usage for item in reversed(batch) if item.usage is not None), None)
        reason = next((item.finish_reason for item in reversed(batch) if item.finish_reason), "")
        losses = tuple(dict.fromkeys(loss for item in batch for loss in item.losses))
        findings = next((item.findings for item in reversed(batch) if item.findings), ())
    begun = first.begun or (len(batch) > 1 and any(item.begun for item in batch))
    response = pb.TranslateStreamResponse(data=data, finished=batch[-1].finished, finish_reason=reason, begun=begun)
    if usage is not None:
        response.usage.CopyFrom(usage_message.written(usage))
    if losses:
        response.losses.extend(_losses(losses))
    if findings:
        response.findings.extend(_findings(findings))
    return response


def _losses(losses: Iterable[Loss]) -> list[pb.Loss]:
    return [pb.Loss(field=loss.field, kind=loss.kind, reason=loss.reason) for loss in losses]


def _findings(findings: Iterable[Finding]) -> list[pb.Finding]:
    return [pb.Finding(guard=each.guard, rule=each.rule, action=each.action, count=each.count) for each in findings]
