"""RouterPort over gRPC."""

from collections.abc import AsyncGenerator

import msgspec
from omni_wire.formats import WireFormat
from omniroute_proto.common.v1 import common_pb2
from omniroute_proto.router.v1 import router_pb2 as pb

from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, ConnectionTest, Frame, Head, ModelEntry
from omni_core.rpc import CALL_TIMEOUT, Peer, ServiceChannel, from_failure

# Seconds: a provider may be asked, and its own bound on an answer is longer than anybody waits for a count.
COUNT_TIMEOUT = 30.0
# A test has a deadline of its own, which comes before.
TEST_TIMEOUT = 30.0


class RouterClient:
    """Satisfies ``RouterPort``. Closing ``complete``'s generator cancels the call at the router."""

    def __init__(self, channel: ServiceChannel) -> None:
        peer = Peer(channel, "omniroute.router.v1.RouterPort", "router")
        self._errors = peer.errors
        self._complete = peer.server_stream("Complete", pb.CompleteResponse)
        self._models = peer.unary("Models", pb.ModelsResponse)
        self._explain = peer.unary("Explain", pb.ExplainResponse)
        self._count = peer.unary("CountTokens", pb.CountTokensResponse, COUNT_TIMEOUT)
        self._test_account = peer.unary("TestAccount", pb.TestAccountResponse, TEST_TIMEOUT)
        self._test_proxy = peer.unary("TestProxy", pb.TestProxyResponse, TEST_TIMEOUT)

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        request = pb.CompleteRequest(
            context=common_pb2.CallContext(request_id=call.context.request_id, traceparent=call.context.traceparent),
            key_id=call.key_id,
            client_format=call.client_format.value,
            body=call.body,
            headers=call.headers,
            attempt=call.attempt,
            event_id=call.event_id,
            model=call.model,
            stream=call.stream,
            framing=call.framing,
        )
        rpc = self._complete(request)
        try:
            with self._errors():
                async for message in rpc:
                    if message.HasField("head"):
                        yield _head(message.head)
                    if message.data:
                        yield message.data
                    if message.HasField("failure"):
                        error = from_failure(message.failure)
                        error.reported = True  # by the router
                        raise error
        finally:
            rpc.cancel()

    async def models(self, context: CallContext, key_id: str, timeout: float = CALL_TIMEOUT) -> list[ModelEntry]:
        request = pb.ModelsRequest(
            context=common_pb2.CallContext(request_id=context.request_id, traceparent=context.traceparent),
            key_id=key_id,
        )
        response = await self._models(request, timeout)
        return [
            ModelEntry(
                id=model.id,
                owned_by=model.owned_by,
                created=model.created,
                context_length=model.context_length,
                max_output=model.max_output,
            )
            for model in response.models
        ]

    async def explain(self, call: CompleteCall, timeout: float = CALL_TIMEOUT) -> bytes:
        request = pb.ExplainRequest(
            context=common_pb2.CallContext(request_id=call.context.request_id, traceparent=call.context.traceparent),
            key_id=call.key_id,
            client_format=call.client_format.value,
            body=call.body,
            headers=call.headers,
            model=call.model,
            stream=call.stream,
        )
        document: bytes = (await self._explain(request, timeout)).document
        return document

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        request = pb.TestAccountRequest(
            context=common_pb2.CallContext(request_id=context.request_id, traceparent=context.traceparent),
            account_id=account_id,
            model=model,
        )
        return _tested((await self._test_account(request)).document)

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        request = pb.TestProxyRequest(
            context=common_pb2.CallContext(request_id=context.request_id, traceparent=context.traceparent),
            name=name,
        )
        return _tested((await self._test_proxy(request)).document)

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        request = pb.CountTokensRequest(
            context=common_pb2.CallContext(request_id=context.request_id, traceparent=context.traceparent),
            key_id=key_id,
            client_format=client_format.value,
            model=model,
            body=body,
            headers=headers,
        )
        return (await self._count(request)).tokens


def _tested(document: bytes) -> ConnectionTest:
    return msgspec.json.decode(document, type=ConnectionTest)


def _head(head: pb.Head) -> Head:
    return Head(
        status=head.status,
        stream=head.stream,
        content_type=head.content_type,
        provider=head.provider,
        model=head.model,
        losses=tuple(head.losses),
        passthrough=head.passthrough,
        rules=tuple(head.rules),
        progress=head.progress,
        keep_alive=head.keep_alive,
        idempotent=head.idempotent,
        cache=head.cache,
        trace=head.trace,
        similarity=head.similarity,
        stages=tuple(head.stages),
    )
