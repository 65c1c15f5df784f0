"""A row of the matrix: one thing that formats can say, and how each of them says it."""

from typing import Any, Final

import msgspec
from omni_wire.formats import WireFormat

Json = dict[str, Any]

CHAT: Final = WireFormat.OPENAI_CHAT
RESPONSES: Final = WireFormat.OPENAI_RESPONSES
MESSAGES: Final = WireFormat.ANTHROPIC_MESSAGES
GEMINI: Final = WireFormat.GEMINI_GENERATE
CLOUDCODE: Final = WireFormat.CLOUDCODE_GENERATE
CURSOR: Final = WireFormat.CURSOR_CHAT
OLLAMA: Final = WireFormat.OLLAMA_CHAT
COHERE: Final = WireFormat.COHERE_CHAT
BEDROCK: Final = WireFormat.BEDROCK_CONVERSE
KIRO: Final = WireFormat.KIRO_CONVERSATION
FORMATS: Final = (CHAT, RESPONSES, MESSAGES, GEMINI, OLLAMA, COHERE)  # that requests are read in here
PROVIDERS: Final = (CLOUDCODE, CURSOR, BEDROCK, KIRO)  # that providers speak only: no row of a request is said in them

PLAIN: Final = "Hi"
BYTES: Final = "aGk="  # base64 of two letters
PICTURE: Final = "iVBORw0KGgo="  # base64 of what a PNG begins with
# A request that says next to nothing, and nothing that is lost anywhere.
REQUEST: Final[dict[WireFormat, Json]] = {
    CHAT: {"model": "m", "max_completion_tokens": 5000, "messages": [{"role": "user", "content": PLAIN}]},
    RESPONSES: {"model": "m", "max_output_tokens": 5000, "input": PLAIN},
    MESSAGES: {"model": "m", "max_tokens": 5000, "messages": [{"role": "user", "content": PLAIN}]},
    GEMINI: {
        "contents": [{"role": "user", "parts": [{"text": PLAIN}]}],
        "generationConfig": {"maxOutputTokens": 5000},
    },
    OLLAMA: {
        "model": "m",
        "stream": False,
        "options": {"num_predict": 5000},
        "messages": [{"role": "user", "content": PLAIN}],
    },
    COHERE: {"model": "m", "max_tokens": 5000, "messages": [{"role": "user", "content": PLAIN}]},
}
# An answer that says next to nothing.
ANSWER: Final[dict[WireFormat, Json]] = {
    CHAT: {
        "id": "a",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": PLAIN}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    },
    RESPONSES: {
        "id": "a",
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": PLAIN, "annotations": []}],
            }
        ],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
    },
    MESSAGES: {
        "id": "a",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": PLAIN}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    GEMINI: {
        "responseId": "a",
        "modelVersion": "m",
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": PLAIN}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
    },
    BEDROCK: {
        "output": {"message": {"role": "assistant", "content": [{"text": PLAIN}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        "metrics": {"latencyMs": 1},
    },
    KIRO: {
        "generateAssistantResponseResponse": [
            {"assistantResponseEvent": {"content": PLAIN}},
            {
                "metadataEvent": {
                    "stopReason": "END_TURN",
                    "tokenUsage": {"uncachedInputTokens": 1, "outputTokens": 1, "totalTokens": 2},
                }
            },
        ]
    },
    OLLAMA: {
        "model": "m",
        "created_at": "2026-11-28T00:00:00Z",
        "message": {"role": "assistant", "content": PLAIN},
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 1,
        "eval_count": 1,
    },
    COHERE: {
        "id": "a",
        "message": {"role": "assistant", "content": [{"type": "text", "text": PLAIN}]},
        "finish_reason": "COMPLETE",
        "usage": {"billed_units": {"input_tokens": 1, "output_tokens": 1}},
    },
}


class Row(msgspec.Struct, frozen=True):
    """``says`` maps a format to what is laid over its plainest request or answer; a format that cannot say it has no
    entry."""

    group: str
    name: str
    says: dict[WireFormat, Json]


def example(base: Json, patch: Json) -> Json:
    """``base`` with ``patch`` laid over it: objects merge, anything else is replaced."""
    out = dict(base)
    for key, value in patch.items():
        held = out.get(key)
        out[key] = example(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return out
