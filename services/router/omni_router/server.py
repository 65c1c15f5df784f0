"""RouterPort on a gRPC listener."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from omni_core.coalesce import coalesce
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Frame, Head, RouterPort
from omni_core.rpc import RpcServer, server_stream, settled, to_failure, unary
from omni_wire.formats import WireFormat
from omniroute_proto.router.v1 import router_pb2 as pb


def register(server: RpcServer, port: RouterPort) -> None:
    """Serve ``port``. Its errors are the stream's last frame, so that they arrive after the data before them."""

    async def complete(request: pb.CompleteRequest) -> AsyncGenerator[pb.CompleteResponse, None]:
        try:
            async with aclosing(coalesce(port.complete(_call(request)), _weight)) as batches:
                async for batch in batches:
                    yield _pack(batch)
        except Exception as error:  # noqa: BLE001 — the border: settled() logs what is not of the tree
            yield pb.CompleteResponse(failure=to_failure(settled(error, request)))

    async def models(request: pb.ModelsRequest) -> pb.ModelsResponse:
        context = CallContext(request.context.request_id, request.context.traceparent)
        return pb.ModelsResponse(
            models=[
                pb.ModelEntry(
                    id=model.id,
                    owned_by=model.owned_by,
                    created=model.created,
                    context_length=model.context_length,
                    max_output=model.max_output,
                )
                for model in await port.models(context, request.key_id)
            ]
        )

    async def count_tokens(request: pb.CountTokensRequest) -> pb.CountTokensResponse:
        tokens = await port.count_tokens(
            CallContext(request.context.request_id, request.context.traceparent),
            request.key_id,
            WireFormat(request.client_format),
            request.model,
            request.body,
            dict(request.headers),
        )
        return pb.CountTokensResponse(tokens=tokens)

    async def explain(request: pb.ExplainRequest) -> pb.ExplainResponse:
        call = CompleteCall(
            context=CallContext(request.context.request_id, request.context.traceparent),
            key_id=request.key_id,
            client_format=WireFormat(request.client_format),
            body=request.body,
            event_id="",
            headers=dict(request.headers),
            model=request.model,
            stream=request.stream,
        )
        return pb.ExplainResponse(document=await port.explain(call))

    async def test_account(request: pb.TestAccountRequest) -> pb.TestAccountResponse:
        context = CallContext(request.context.request_id, request.context.traceparent)
        found = await port.test_account(context, request.account_id, request.model)
        return pb.TestAccountResponse(document=msgspec.json.encode(found))

    async def test_proxy(request: pb.TestProxyRequest) -> pb.TestProxyResponse:
        context = CallContext(request.context.request_id, request.context.traceparent)
        return pb.TestProxyResponse(document=msgspec.json.encode(await port.test_proxy(context, request.name)))

    server.add(
        "omniroute.router.v1.RouterPort",
        {
            "Complete": server_stream(pb.CompleteRequest, complete),
            "Models": unary(pb.ModelsRequest, models),
            "CountTokens": unary(pb.CountTokensRequest, count_tokens),
            "Explain": unary(pb.ExplainRequest, explain),
            "TestAccount": unary(pb.TestAccountRequest, test_account),
            "TestProxy": unary(pb.TestProxyRequest, test_proxy),
        },
    )


def _call(request: pb.CompleteRequest) -> CompleteCall:
    return CompleteCall(
        context=CallContext(request.context.request_id, request.context.traceparent),
        key_id=request.key_id,
        client_format=WireFormat(request.client_format),
        body=request.body,
        event_id=request.event_id,
        headers=dict(request.headers),
        attempt=request.attempt,
        model=request.model,
        stream=request.stream,
        framing=request.framing or "sse",
    )


def _weight(frame: Frame) -> int:
    return 0 if isinstance(frame, Head) else len(frame)


def _pack(batch: list[Frame]) -> pb.CompleteResponse:
    """One message: the head, when it is among them, and all the bytes."""
    first = batch[0]
    head = _head(first) if isinstance(first, Head) else None
    data = [frame for frame in batch if not isinstance(frame, Head)]
    return pb.CompleteResponse(head=head, data=data[0] if len(data) == 1 else b"".join(data))


def _head(head: Head) -> pb.Head:
    return pb.Head(
        status=head.status,
        stream=head.stream,
        content_type=head.content_type,
        provider=head.provider,
        model=head.model,
        losses=head.losses,
        passthrough=head.passthrough,
        rules=head.rules,
        progress=head.progress,
        keep_alive=head.keep_alive,
        idempotent=head.idempotent,
        cache=head.cache,
        trace=head.trace,
        similarity=head.similarity,
        stages=head.stages,
    )
