"""``EmbeddingPort`` of one account of a provider with OpenAI's ``/embeddings``
(platform.openai.com/docs/api-reference/embeddings): by the router's own connections, and under the same checks."""

from typing import Any

import msgspec
from omni_catalogue.catalogue import Candidate
from omni_catalogue.snapshot import Timeouts
from omni_core import clock
from omni_core.ports.context import CallContext
from omni_wire.errors import UpstreamError, UpstreamFailed
from omni_wire.usage import count_of

from omni_router.domain import provider_call, unsaid, verdict
from omni_router.ports import Embedding, Upstream, UpstreamRequest
from omni_router.service.credentials import Credentials

# Bytes: 8,192 dimensions of 25 characters each, and what stands around them.
_MAX_ANSWER = 256 * 1024


class _Vector(msgspec.Struct):
    embedding: tuple[float, ...]


class _Told(msgspec.Struct):
    data: list[_Vector]
    usage: Any = None


_decode = msgspec.json.Decoder(_Told).decode


class ProviderEmbeddings:
    def __init__(self, upstream: Upstream, credentials: Credentials, place: Candidate) -> None:
        self._upstream = upstream
        self._credentials = credentials
        self._place = place
        self.sent = False

    async def embed(self, context: CallContext, text: str, within: float) -> Embedding:
        provider, account = self._place.provider, self._place.account
        credential = await self._credentials.have(context, account)
        body = msgspec.json.encode({"model": self._place.model.id, "input": text, "encoding_format": "float"})
        url = provider.base_url.rstrip("/") + "/embeddings"
        self.sent = True
        try:
            answer = await self._upstream.send(
                UpstreamRequest(
                    url=provider_call.at(url, provider, credential.base_url),
                    headers=provider_call.headers(
                        provider,
                        credential.secret,
                        provider_call.fixed_headers(provider, stream=False),
                        request_id=context.request_id,
                        traceparent=context.traceparent,
                        call=provider_call.Call(url, body, clock.now_ms() // 1000, account),
                        own=credential.headers,
                    ),
                    body=body,
                    allow_private=provider.allow_private_address,
                    timeouts=Timeouts(connect=within, first_byte=within, idle=within, total=within),
                    begin_within=within,
                    end_within=within,
                    egress=account.egress,
                )
            )
            try:
                told = await answer.read(_MAX_ANSWER)
                if answer.status != 200:
                    if answer.status in (401, 403):
                        self._credentials.forget(account.id)
                    raise verdict.from_status(answer.status, answer.headers, told, clock.now_ms() / 1000)
            finally:
                answer.close()
        except UpstreamError as error:
            error.message = unsaid.without(credential.secret, error.message)
            raise
        return _read(told)


def _read(told: bytes) -> Embedding:
    try:
        found = _decode(told)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamFailed("the provider's answer holds no vector") from error
    if len(found.data) != 1 or not found.data[0].embedding:
        raise UpstreamFailed("the provider's answer holds no vector")
    usage = found.usage if isinstance(found.usage, dict) else {}
    return Embedding(found.data[0].embedding, count_of(usage.get("prompt_tokens")))
