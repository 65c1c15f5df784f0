"""Watching an answer go by unconverted, one module a wire format: usage, its end, and whether it tells the truth."""

from collections.abc import Callable

from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_router.domain.taps import chat, gemini, messages, ollama, responses
from omni_router.domain.taps.base import StreamTap

_READERS: dict[WireFormat, Callable[[bytes], tuple[Usage | None, int]]] = {
    WireFormat.OPENAI_CHAT: chat.read_answer,
    WireFormat.OPENAI_RESPONSES: responses.read_answer,
    WireFormat.ANTHROPIC_MESSAGES: messages.read_answer,
    WireFormat.GEMINI_GENERATE: gemini.read_answer,
    WireFormat.OLLAMA_CHAT: ollama.read_answer,
}


def stream_tap(wire_format: WireFormat, *, relay_usage: bool = True, framing: str = "sse") -> StreamTap:
    """For one stream. ``relay_usage`` is false for a Chat client that did not ask for the usage chunk."""
    if wire_format is WireFormat.OPENAI_CHAT:
        return chat.ChatStreamTap(relay_usage=relay_usage)
    if wire_format is WireFormat.ANTHROPIC_MESSAGES:
        return messages.MessagesStreamTap()
    if wire_format is WireFormat.OPENAI_RESPONSES:
        return responses.ResponsesStreamTap()
    if wire_format is WireFormat.OLLAMA_CHAT:
        return ollama.OllamaStreamTap()
    return gemini.GeminiArrayTap() if framing == "array" else gemini.GeminiStreamTap()


def read_answer(wire_format: WireFormat, body: bytes) -> tuple[Usage | None, int]:
    """Usage of a whole answer, and output tokens estimated from its size.

    Raises ``UpstreamFailed`` for what is no answer of its format: not JSON, an error under status 200, nothing in it.
    """
    return _READERS[wire_format](body)
