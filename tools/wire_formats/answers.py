"""What an answer can say, in the words of the provider that gives it."""

from typing import Any, Final

from tools.wire_formats.probe import (
    BEDROCK,
    BYTES,
    CHAT,
    COHERE,
    GEMINI,
    KIRO,
    MESSAGES,
    OLLAMA,
    PLAIN,
    RESPONSES,
    Json,
    Row,
)

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


def _ollama(**message: Any) -> Json:
    return {"message": message}


def _ollama_call(**more: Any) -> Json:
    return more | {"function": {"name": "look", "arguments": {"city": "Bern"}}}


def _cohere(*blocks: Json) -> Json:
    return {"message": {"content": list(blocks)}}


def _cohere_calls(*calls: Json, **message: Any) -> Json:
    return {"message": {"content": [], "tool_calls": list(calls)} | message, "finish_reason": "TOOL_CALL"}


def _counts(given: int, said: int) -> Json:
    return {"input_tokens": given, "output_tokens": said}


def _units(given: int, said: int) -> Json:
    return {"billed_units": _counts(given, said), "tokens": _counts(given, said)}


def _thought(**more: Any) -> Json:
    return {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Well."}]} | more


def _bedrock(*blocks: Json, **top: Any) -> Json:
    return {"output": {"message": {"role": "assistant", "content": list(blocks)}}} | top


def _bedrock_call(name: str) -> Json:
    return {"toolUse": {"toolUseId": name, "name": "look", "input": {"city": "Bern"}}}


def _bedrock_thought(**more: Any) -> Json:
    return {"reasoningContent": {"reasoningText": {"text": "Well."} | more}}


def _bedrock_usage(**counts: int) -> Json:
    return {"usage": {"inputTokens": 5, "outputTokens": 5, "totalTokens": 14} | counts}


def _kiro(*events: Json, stop: str = "END_TURN", **metadata: Any) -> Json:
    usage = {"uncachedInputTokens": 1, "outputTokens": 1, "totalTokens": 2}
    last: Json = {"metadataEvent": {"stopReason": stop, "tokenUsage": usage} | metadata}
    return {"generateAssistantResponseResponse": [*events, last]}


_KIRO_TEXT: Final[Json] = {"assistantResponseEvent": {"content": PLAIN}}


def _kiro_call(name: str) -> list[Json]:
    head = {"toolUseId": name, "name": "look"}
    return [{"toolUseEvent": head | {"input": '{"city":"Bern"}'}}, {"toolUseEvent": head | {"stop": True}}]


def _kiro_usage(**counts: int) -> Json:
    return _kiro(_KIRO_TEXT, tokenUsage={"uncachedInputTokens": 5, "outputTokens": 5, "totalTokens": 14} | counts)


_PAGE: Final[Json] = {"url": "https://example.com/", "title": "E"}
_PLACE: Final[Json] = _PAGE | {"start_index": 0, "end_index": len(PLAIN)}
_FIRST: Final[Json] = {"end_index": 1}
_FOUND: Final[Json] = _PAGE | {"type": "web_search_result_location", "cited_text": "", "encrypted_index": ""}


def _supported(end: int) -> Json:
    return {"segment": {"endIndex": end, "text": PLAIN[:end]}, "groundingChunkIndices": [0]}


_GROUNDING: Final[Json] = {
    "groundingChunks": [{"web": {"uri": "https://example.com/", "title": "E"}}],
    "groundingSupports": [_supported(len(PLAIN))],
}

ROWS: Final = (
    Row(
        "Content",
        "text",
        {
            CHAT: _chat(message={"content": "Good day"}),
            OLLAMA: _ollama(content="Good day"),
            COHERE: _cohere({"type": "text", "text": "Good day"}),
            RESPONSES: _output(_said("Good day")),
            MESSAGES: _content({"type": "text", "text": "Good day"}),
            GEMINI: _gemini({"text": "Good day"}),
            BEDROCK: _bedrock({"text": "Good day"}),
            KIRO: _kiro({"assistantResponseEvent": {"content": "Good day"}}),
        },
    ),
    Row(
        "Content",
        "several texts",
        {
            COHERE: _cohere({"type": "text", "text": "a"}, {"type": "text", "text": "b"}),
            RESPONSES: _output(_said("a"), _said("b")),
            MESSAGES: _content({"type": "text", "text": "a"}, {"type": "text", "text": "b"}),
            BEDROCK: _bedrock({"text": "a"}, {"text": "b"}),
        },
    ),
    Row(
        "Content",
        "thought",
        {
            OLLAMA: _ollama(thinking="Well."),
            COHERE: _cohere({"type": "thinking", "thinking": "Well."}, _TEXT),
            CHAT: _chat(message={"reasoning_content": "Well."}),
            RESPONSES: _output(_thought(), _said()),
            MESSAGES: _content({"type": "thinking", "thinking": "Well.", "signature": ""}, _TEXT),
            GEMINI: _gemini({"text": "Well.", "thought": True}, _PART),
            BEDROCK: _bedrock(_bedrock_thought(), _PART),
            KIRO: _kiro({"reasoningContentEvent": {"text": "Well."}}, _KIRO_TEXT),
        },
    ),
    Row(
        "Content",
        "a thought's signature",
        {
            RESPONSES: _output(_thought(encrypted_content="gAAA"), _said()),
            MESSAGES: _content({"type": "thinking", "thinking": "Well.", "signature": "c2ln"}, _TEXT),
            GEMINI: _gemini({"text": "Well.", "thought": True, "thoughtSignature": "c2ln"}, _PART),
            BEDROCK: _bedrock(_bedrock_thought(signature="c2ln"), _PART),
            KIRO: _kiro({"reasoningContentEvent": {"text": "Well.", "signature": "c2ln"}}, _KIRO_TEXT),
        },
    ),
    Row(
        "Content",
        "encrypted thought",
        {
            RESPONSES: _output(_thought(summary=[], encrypted_content="gAAA"), _said()),
            MESSAGES: _content({"type": "redacted_thinking", "data": "RW13"}, _TEXT),
            BEDROCK: _bedrock({"reasoningContent": {"redactedContent": "RW13"}}, _PART),
            KIRO: _kiro({"reasoningContentEvent": {"redactedContent": "RW13"}}, _KIRO_TEXT),
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
            OLLAMA: _ollama(content="", tool_calls=[_ollama_call(id="call_1")]),
            COHERE: _cohere_calls(_chat_call("call_1")),
            CHAT: _chat("tool_calls", {"content": None, "tool_calls": [_chat_call("call_1")]}),
            RESPONSES: _output(_responses_call("call_1")),
            MESSAGES: _content(_messages_call("call_1"), stop_reason="tool_use"),
            GEMINI: _gemini(_gemini_call(id="call_1")),
            BEDROCK: _bedrock(_bedrock_call("call_1"), stopReason="tool_use"),
            KIRO: _kiro(*_kiro_call("call_1"), stop="TOOL_USE"),
        },
    ),
    Row(
        "Content",
        "call without an id",
        {OLLAMA: _ollama(content="", tool_calls=[_ollama_call()]), GEMINI: _gemini(_gemini_call())},
    ),
    Row(
        "Content",
        "text and parallel calls",
        {
            OLLAMA: _ollama(tool_calls=[_ollama_call(id="call_1"), _ollama_call(id="call_2")]),
            COHERE: _cohere_calls(_chat_call("call_1"), _chat_call("call_2"), content=[_TEXT]),
            CHAT: _chat("tool_calls", {"tool_calls": [_chat_call("call_1"), _chat_call("call_2")]}),
            RESPONSES: _output(_said(), _responses_call("call_1"), _responses_call("call_2")),
            MESSAGES: _content(_TEXT, _messages_call("call_1"), _messages_call("call_2"), stop_reason="tool_use"),
            GEMINI: _gemini(_PART, _gemini_call(id="call_1"), _gemini_call(id="call_2")),
            BEDROCK: _bedrock(_PART, _bedrock_call("call_1"), _bedrock_call("call_2"), stopReason="tool_use"),
            KIRO: _kiro(_KIRO_TEXT, *_kiro_call("call_1"), *_kiro_call("call_2"), stop="TOOL_USE"),
        },
    ),
    Row(
        "Content",
        "text after a call",
        {
            RESPONSES: _output(_responses_call("call_1"), _said()),
            MESSAGES: _content(_messages_call("call_1"), _TEXT, stop_reason="tool_use"),
            GEMINI: _gemini(_gemini_call(id="call_1"), _PART),
            BEDROCK: _bedrock(_bedrock_call("call_1"), _PART, stopReason="tool_use"),
            KIRO: _kiro(*_kiro_call("call_1"), _KIRO_TEXT, stop="TOOL_USE"),
        },
    ),
    Row(
        "Content",
        "arguments that are no JSON",
        {
            COHERE: _cohere_calls(
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city'}}
            ),
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
    Row("Content", "a plan before calls", {COHERE: _cohere_calls(_chat_call("call_1"), tool_plan="I look.")}),
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
        "addresses that a text cites",
        {
            CHAT: _chat(message={"annotations": [{"type": "url_citation", "url_citation": _PLACE}]}),
            RESPONSES: _output(_said(annotations=[{"type": "url_citation"} | _PLACE])),
            MESSAGES: _content(_TEXT | {"citations": [_FOUND]}),
            GEMINI: _gemini(_PART, groundingMetadata=_GROUNDING),
        },
    ),
    Row(
        "Content",
        "addresses that a part of a text cites",
        {
            CHAT: _chat(message={"annotations": [{"type": "url_citation", "url_citation": _PLACE | _FIRST}]}),
            RESPONSES: _output(_said(annotations=[{"type": "url_citation"} | _PLACE | _FIRST])),
            GEMINI: _gemini(_PART, groundingMetadata=_GROUNDING | {"groundingSupports": [_supported(1)]}),
        },
    ),
    Row(
        "Content",
        "what is quoted of a page",
        {
            CHAT: _chat(message={"annotations": [{"type": "url_citation", "url_citation": _PLACE | {"content": "q"}}]}),
            MESSAGES: _content(_TEXT | {"citations": [_FOUND | {"cited_text": "q"}]}),
        },
    ),
    Row(
        "Content",
        "the proof that a page was found",
        {MESSAGES: _content(_TEXT | {"citations": [_FOUND | {"encrypted_index": "E1"}]})},
    ),
    Row("Content", "what was searched for", {GEMINI: _gemini(_PART, groundingMetadata={"webSearchQueries": ["hi"]})}),
    Row(
        "Content",
        "citations of files and documents",
        {
            COHERE: {"message": {"content": [_TEXT], "citations": [{"start": 0, "end": 2, "text": "Hi"}]}},
            CHAT: _chat(message={"annotations": [{"type": "file_citation", "file_id": "f"}]}),
            RESPONSES: _output(_said(annotations=[{"type": "file_citation", "file_id": "f", "index": 0}])),
            MESSAGES: _content(_TEXT | {"citations": [{"type": "char_location", "cited_text": "Hi"}]}),
            BEDROCK: _bedrock({"citationsContent": {"content": [_PART], "citations": [{"title": "E"}]}}),
            KIRO: _kiro(_KIRO_TEXT, {"codeReferenceEvent": {"references": [{"url": "https://e.com/"}]}}),
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
            OLLAMA: {"done_reason": "length"},
            COHERE: {"finish_reason": "MAX_TOKENS"},
            CHAT: _chat("length"),
            RESPONSES: {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            MESSAGES: {"stop_reason": "max_tokens"},
            GEMINI: _gemini(_PART, finish="MAX_TOKENS"),
            BEDROCK: {"stopReason": "max_tokens"},
            KIRO: _kiro(_KIRO_TEXT, stop="MAX_TOKENS"),
        },
    ),
    Row(
        "End",
        "the content filter",
        {
            COHERE: {"finish_reason": "ERROR_TOXIC"},
            CHAT: _chat("content_filter"),
            RESPONSES: {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            MESSAGES: {"stop_reason": "refusal"},
            GEMINI: _gemini(_PART, finish="SAFETY"),
            BEDROCK: {"stopReason": "content_filtered"},
            KIRO: _kiro(_KIRO_TEXT, stop="CONTENT_FILTERED"),
        },
    ),
    Row("End", "a stop sequence", {COHERE: {"finish_reason": "STOP_SEQUENCE"}}),
    Row("End", "a stop sequence, and which", {MESSAGES: {"stop_reason": "stop_sequence", "stop_sequence": "END"}}),
    Row("End", "a stop sequence", {BEDROCK: {"stopReason": "stop_sequence"}}),
    Row("End", "a pause", {MESSAGES: {"stop_reason": "pause_turn"}, KIRO: _kiro(_KIRO_TEXT, stop="PAUSE_TURN")}),
    Row(
        "End",
        "a reason only its vendor knows",
        {
            OLLAMA: {"done_reason": "load"},
            COHERE: {"finish_reason": "USER_CANCEL"},
            CHAT: _chat("eos"),
            RESPONSES: {"status": "incomplete", "incomplete_details": {"reason": "tired"}},
            MESSAGES: {"stop_reason": "model_context_window_exceeded"},
            GEMINI: _gemini(_PART, finish="RECITATION"),
            BEDROCK: {"stopReason": "guardrail_intervened"},
            KIRO: _kiro(_KIRO_TEXT, stop="MODEL_CONTEXT_WINDOW_EXCEEDED"),
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
            OLLAMA: {"prompt_eval_count": 9, "eval_count": 5},
            COHERE: {"usage": _units(9, 5)},
            CHAT: {"usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}},
            RESPONSES: {"usage": {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}},
            MESSAGES: {"usage": {"input_tokens": 9, "output_tokens": 5}},
            GEMINI: {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}},
            BEDROCK: _bedrock_usage(inputTokens=9),
            KIRO: _kiro_usage(uncachedInputTokens=9),
        },
    ),
    Row(
        "Usage",
        "cached input tokens",
        {
            COHERE: {"usage": _units(9, 5) | {"cached_tokens": 4}},
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
            BEDROCK: _bedrock_usage(cacheReadInputTokens=4),
            KIRO: _kiro_usage(cacheReadInputTokens=4),
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
            BEDROCK: _bedrock_usage(cacheWriteInputTokens=4),
            KIRO: _kiro_usage(cacheWriteInputTokens=4),
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
            OLLAMA: {"logprobs": [{"token": "Hi", "logprob": -0.1}]},
            COHERE: {"logprobs": [{"text": "Hi", "token_ids": [1], "logprobs": [-0.1]}]},
            CHAT: _chat(logprobs={"content": [{"token": "Hi", "logprob": -0.1}]}),
            RESPONSES: _output(_said(logprobs=[{"token": "Hi", "logprob": -0.1}])),
            GEMINI: _gemini(
                _PART,
                logprobsResult={"chosenCandidates": [{"token": "Hi", "logProbability": -0.1}], "topCandidates": []},
            ),
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
    Row("Usage", "what is billed, where that differs", {COHERE: {"usage": _units(1, 1) | {"tokens": _counts(9, 5)}}}),
    Row(
        "Other",
        "service tier",
        {
            CHAT: {"service_tier": "flex"},
            RESPONSES: {"service_tier": "flex"},
            BEDROCK: {"serviceTier": {"type": "flex"}},
        },
    ),
    Row("Other", "what a guardrail found", {BEDROCK: {"trace": {"guardrail": {"actionReason": "Masked."}}}}),
    Row("Other", "fingerprint", {CHAT: {"system_fingerprint": "fp_1"}}),
    Row("Other", "safety ratings", {GEMINI: _gemini(_PART, safetyRatings=[{"category": "A", "probability": "LOW"}])}),
    Row(
        "Other",
        "a key no codec knows",
        {
            CHAT: {"x_new": 1},
            RESPONSES: {"x_new": 1},
            MESSAGES: {"x_new": 1},
            GEMINI: {"xNew": 1},
            OLLAMA: {"x_new": 1},
            COHERE: {"x_new": 1},
            BEDROCK: {"xNew": 1},
        },
    ),
)
