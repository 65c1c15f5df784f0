"""The translator as seen in a trace: one span a request converted, one an answer. Made only where tracing is on."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from omni_core import genai
from omni_core.ports.translator import EncodeCall, EncodedRequest, StreamCall, Translated, TranslatorPort
from omni_core.tracing import Span, Tracer, sampled


class TracedTranslator:
    """Satisfies ``TranslatorPort`` around another; a call that is not traced goes straight through."""

    def __init__(self, inner: TranslatorPort, tracer: Tracer) -> None:
        self._inner = inner
        self._tracer = tracer

    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        """As ``TranslatorPort``."""
        if not sampled(call.context.traceparent):
            return await self._inner.encode_request(call)
        with self._begin("translate request", call) as span:
            encoded = await self._inner.encode_request(call)
            span.set(genai.LOSSES, len(encoded.losses))
            return encoded

    def translate_stream(self, call: StreamCall, source: AsyncIterator[bytes]) -> AsyncGenerator[Translated, None]:
        """As ``TranslatorPort``."""
        if not sampled(call.context.traceparent):
            return self._inner.translate_stream(call, source)
        return self._traced(call, source)

    async def _traced(self, call: StreamCall, source: AsyncIterator[bytes]) -> AsyncGenerator[Translated, None]:
        finished = False
        span = self._begin("translate answer", call)
        try:
            async with aclosing(self._inner.translate_stream(call, source)) as items:
                async for item in items:
                    finished = finished or item.finished
                    yield item
        except GeneratorExit:
            if not finished:
                span.set(genai.OUTCOME, "abandoned")
            span.end()
            raise
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        span.set(genai.OUTCOME, "finished" if finished else "interrupted")
        span.end()

    def _begin(self, name: str, call: EncodeCall | StreamCall) -> Span:
        return self._tracer.begin(
            name,
            self._tracer.entry,
            call.context.traceparent,
            {
                genai.REQUEST_ID: call.context.request_id,
                genai.CLIENT_FORMAT: call.client_format.value,
                genai.PROVIDER_FORMAT: call.provider_format.value,
            },
        )
