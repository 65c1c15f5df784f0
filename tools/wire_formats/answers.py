"""What an answer can say, in the words of the provider that gives it."""

from typing import Any, Final

from tools.wire_formats.probe import BYTES, CHAT, GEMINI, MESSAGES, PLAIN, RESPONSES, Json, Row

_TEXT: Final[Json] = {"type": "text", "text": PLAIN}
_PART: Final[Json] = {"text": PLAIN}


def _chat(finish: str = "stop", message: Json | None = None, **choice: Any) -> Json:
    said = {"role": "assistant", "content": PLAIN} | (message or {})
    return {"choices": [{"index": 0, "message": said, "finish_reason": finish} | choice]}


def _message(content: list[Json]) -> Json:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


def _output(*items: Json, **top: Any) -> Json:
    return {"output": list(items)} | top


def _said(text: str = PLAIN, **more: Any) -> Json:
    return _message([{"type": "output_text", "text": text, "annotations": []} | more])


def _content(*blocks: Json, **top: Any) -> Json:
    return {"content": list(blocks)} | top


def _gemini(*parts: Json, finish: str = "STOP", **candidate: Any) -> Json:
    said = {"index": 0, "content": {"role": "model", "parts": list(parts)}, "finishReason": finish}
    return {"candidates": [said | candidate]}


def _chat_call(name: str) -> Json:
    return {"id": name, "type": "function", "function": {"name": "look", "arguments": '{"city":"Bern"}'}}


def _responses_call(name: str, **more: Any) -> Json:
    call = {"type": "function_call", "id": f"fc_{name}", "status": "completed", "call_id": name, "name": "look"}
    return call | {"arguments": '{"city":"Bern"}'} | more


def _messages_call(name: str) -> Json:
    return {"type": "tool_use", "id": name, "name": "look", "input": {"city": "Bern"}}


def _gemini_call(**more: Any) -> Json:
    return {"functionCall": {"name": "look", "args": {"city": "Bern"}} | more}


def _thought(**more: Any) -> Json:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Well."}]} | more


_CITED: Final[Json] = {
    "type": "url_citation",
    "url": "https://example.com/",
    "title": "E",
    "start_index": 0,
    "end_index": 2,
}

ROWS: Final = (
    Row(
        "Content",
        "text",
        {
            CHAT: _chat(message={"content": "Good day"}),
            RESPONSES: _output(_said("Good day")),
            MESSAGES: _content({"type": "text", "text": "Good day"}),
            GEMINI: _gemini({"text": "Good day"}),
        },
    ),
    Row(
        "Content",
        "several texts",
        {
            RESPONSES: _output(_said("a"), _said("b")),
            MESSAGES: _content({"type": "text", "text": "a"}, {"type": "text", "text": "b"}),
        },
    ),
    Row(
        "Content",
        "thought",
        {
            CHAT: _chat(message={"reasoning_content": "Well."}),
            RESPONSES: _output(_thought(), _said()),
            MESSAGES: _content({"type": "thinking", "thinking": "Well.", "signature": ""}, _TEXT),
            GEMINI: _gemini({"text": "Well.", "thought": True}, _PART),
        },
    ),
    Row(
        "Content",
        "a thought's signature",
        {
            RESPONSES: _output(_thought(encrypted_content="gAAA"), _said()),
            MESSAGES: _content({"type": "thinking", "thinking": "Well.", "signature": "c2ln"}, _TEXT),
            GEMINI: _gemini({"text": "Well.", "thought": True, "thoughtSignature": "c2ln"}, _PART),
        },
    ),
    Row(
        "Content",
        "encrypted thought",
        {
            RESPONSES: _output(_thought(summary=[], encrypted_content="gAAA"), _said()),
            MESSAGES: _content({"type": "redacted_thinking", "data": "RW13"}, _TEXT),
        },
    ),
    Row(
        "Content",
        "the thoughts themselves, not a summary",
        {RESPONSES: _output(_thought(summary=[], content=[{"type": "reasoning_text", "text": "Well."}]), _said())},
    ),
    Row(
        "Content",
        "call",
        {
            CHAT: _chat("tool_calls", {"content": None, "tool_calls": [_chat_call("call_1")]}),
            RESPONSES: _output(_responses_call("call_1")),
            MESSAGES: _content(_messages_call("call_1"), stop_reason="tool_use"),
            GEMINI: _gemini(_gemini_call(id="call_1")),
        },
    ),
    Row("Content", "call without an id", {GEMINI: _gemini(_gemini_call())}),
    Row(
        "Content",
        "text and parallel calls",
        {
            CHAT: _chat("tool_calls", {"tool_calls": [_chat_call("call_1"), _chat_call("call_2")]}),
            RESPONSES: _output(_said(), _responses_call("call_1"), _responses_call("call_2")),
            MESSAGES: _content(_TEXT, _messages_call("call_1"), _messages_call("call_2"), stop_reason="tool_use"),
            GEMINI: _gemini(_PART, _gemini_call(id="call_1"), _gemini_call(id="call_2")),
        },
    ),
    Row(
        "Content",
        "text after a call",
        {
            RESPONSES: _output(_responses_call("call_1"), _said()),
            MESSAGES: _content(_messages_call("call_1"), _TEXT, stop_reason="tool_use"),
            GEMINI: _gemini(_gemini_call(id="call_1"), _PART),
        },
    ),
    Row(
        "Content",
        "arguments that are no JSON",
        {
            CHAT: _chat(
                "tool_calls",
                {
                    "content": None,
                    "tool_calls": [
                        {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city'}}
                    ],
                },
            ),
            RESPONSES: _output(_responses_call("call_1", arguments='{"city')),
        },
    ),
    Row(
        "Content",
        "freeform call",
        {
            CHAT: _chat(
                "tool_calls",
                {
                    "content": None,
                    "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "run", "input": "1"}}],
                },
            ),
            RESPONSES: _output({"type": "custom_tool_call", "call_id": "call_1", "name": "run", "input": "print(1)"}),
        },
    ),
    Row("Content", "call in a namespace", {RESPONSES: _output(_responses_call("call_1", namespace="git"))}),
    Row("Content", "signature of a call", {GEMINI: _gemini(_gemini_call(id="call_1") | {"thoughtSignature": "c2ln"})}),
    Row("Content", "signature of a text", {GEMINI: _gemini(_PART | {"thoughtSignature": "c2ln"})}),
    Row(
        "Content",
        "refusal",
        {
            CHAT: _chat(message={"content": None, "refusal": "No."}),
            RESPONSES: _output(_message([{"type": "refusal", "refusal": "No."}])),
        },
    ),
    Row(
        "Content",
        "citations",
        {
            CHAT: _chat(message={"annotations": [{"type": "url_citation", "url_citation": {"url": "https://e.com/"}}]}),
            RESPONSES: _output(_said(annotations=[_CITED])),
            MESSAGES: _content(_TEXT | {"citations": [{"type": "char_location", "cited_text": "Hi"}]}),
            GEMINI: _gemini(_PART, groundingMetadata={"webSearchQueries": ["hi"]}),
        },
    ),
    Row(
        "Content",
        "the provider's own tool at work",
        {
            RESPONSES: _output({"type": "web_search_call", "id": "ws_1", "status": "completed"}, _said()),
            MESSAGES: _content(
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}, _TEXT
            ),
            GEMINI: _gemini({"executableCode": {"language": "PYTHON", "code": "1"}}, _PART),
        },
    ),
    Row("Content", "image", {GEMINI: _gemini(_PART, {"inlineData": {"mimeType": "image/png", "data": BYTES}})}),
    Row("Content", "audio", {CHAT: _chat(message={"audio": {"id": "audio_1", "data": BYTES, "transcript": "hi"}})}),
    Row(
        "End",
        "the output limit",
        {
            CHAT: _chat("length"),
            RESPONSES: {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            MESSAGES: {"stop_reason": "max_tokens"},
            GEMINI: _gemini(_PART, finish="MAX_TOKENS"),
        },
    ),
    Row(
        "End",
        "the content filter",
        {
            CHAT: _chat("content_filter"),
            RESPONSES: {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            MESSAGES: {"stop_reason": "refusal"},
            GEMINI: _gemini(_PART, finish="SAFETY"),
        },
    ),
    Row("End", "a stop sequence, and which", {MESSAGES: {"stop_reason": "stop_sequence", "stop_sequence": "END"}}),
    Row("End", "a pause", {MESSAGES: {"stop_reason": "pause_turn"}}),
    Row(
        "End",
        "a reason only its vendor knows",
        {
            CHAT: _chat("eos"),
            RESPONSES: {"status": "incomplete", "incomplete_details": {"reason": "tired"}},
            MESSAGES: {"stop_reason": "model_context_window_exceeded"},
            GEMINI: _gemini(_PART, finish="RECITATION"),
        },
    ),
    Row(
        "End",
        "a prompt that is refused",
        {GEMINI: {"candidates": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}},
    ),
    Row(
        "Usage",
        "input and output tokens",
        {
            CHAT: {"usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}},
            RESPONSES: {"usage": {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}},
            MESSAGES: {"usage": {"input_tokens": 9, "output_tokens": 5}},
            GEMINI: {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}},
        },
    ),
    Row(
        "Usage",
        "cached input tokens",
        {
            CHAT: {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 5,
                    "total_tokens": 14,
                    "prompt_tokens_details": {"cached_tokens": 4},
                }
            },
            RESPONSES: {
                "usage": {
                    "input_tokens": 9,
                    "output_tokens": 5,
                    "total_tokens": 14,
                    "input_tokens_details": {"cached_tokens": 4},
                }
            },
            MESSAGES: {"usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 5}},
            GEMINI: {
                "usageMetadata": {
                    "promptTokenCount": 9,
                    "cachedContentTokenCount": 4,
                    "candidatesTokenCount": 5,
                    "totalTokenCount": 14,
                }
            },
        },
    ),
    Row(
        "Usage",
        "tokens written to the cache",
        {
            CHAT: {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 5,
                    "total_tokens": 14,
                    "prompt_tokens_details": {"cache_write_tokens": 4},
                }
            },
            RESPONSES: {
                "usage": {
                    "input_tokens": 9,
                    "output_tokens": 5,
                    "total_tokens": 14,
                    "input_tokens_details": {"cache_write_tokens": 4},
                }
            },
            MESSAGES: {"usage": {"input_tokens": 5, "cache_creation_input_tokens": 4, "output_tokens": 5}},
        },
    ),
    Row(
        "Usage",
        "thinking tokens",
        {
            CHAT: {
                "usage": {
                    "prompt_tokens": 9,
                    "completion_tokens": 5,
                    "total_tokens": 14,
                    "completion_tokens_details": {"reasoning_tokens": 3},
                }
            },
            RESPONSES: {
                "usage": {
                    "input_tokens": 9,
                    "output_tokens": 5,
                    "total_tokens": 14,
                    "output_tokens_details": {"reasoning_tokens": 3},
                }
            },
            GEMINI: {
                "usageMetadata": {
                    "promptTokenCount": 9,
                    "candidatesTokenCount": 2,
                    "thoughtsTokenCount": 3,
                    "totalTokenCount": 14,
                }
            },
        },
    ),
    Row(
        "Usage",
        "tokens of the provider's own tools",
        {
            MESSAGES: {"usage": {"input_tokens": 9, "output_tokens": 5, "server_tool_use": {"web_search_requests": 1}}},
            GEMINI: {
                "usageMetadata": {
                    "promptTokenCount": 9,
                    "toolUsePromptTokenCount": 4,
                    "candidatesTokenCount": 5,
                    "totalTokenCount": 18,
                }
            },
        },
    ),
    Row(
        "Other",
        "log probabilities",
        {
            CHAT: _chat(logprobs={"content": [{"token": "Hi", "logprob": -0.1}]}),
            RESPONSES: _output(_said(logprobs=[{"token": "Hi", "logprob": -0.1}])),
            GEMINI: _gemini(_PART, avgLogprobs=-0.1),
        },
    ),
    Row(
        "Other",
        "several answers",
        {
            CHAT: {
                "choices": [
                    {"index": at, "message": {"role": "assistant", "content": PLAIN}, "finish_reason": "stop"}
                    for at in (0, 1)
                ]
            },
            GEMINI: {
                "candidates": [
                    {"index": at, "content": {"role": "model", "parts": [_PART]}, "finishReason": "STOP"}
                    for at in (0, 1)
                ]
            },
        },
    ),
    Row("Other", "service tier", {CHAT: {"service_tier": "flex"}, RESPONSES: {"service_tier": "flex"}}),
    Row("Other", "fingerprint", {CHAT: {"system_fingerprint": "fp_1"}}),
    Row("Other", "safety ratings", {GEMINI: _gemini(_PART, safetyRatings=[{"category": "A", "probability": "LOW"}])}),
    Row(
        "Other",
        "a key no codec knows",
        {CHAT: {"x_new": 1}, RESPONSES: {"x_new": 1}, MESSAGES: {"x_new": 1}, GEMINI: {"xNew": 1}},
    ),
)
