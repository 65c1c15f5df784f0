"""Output, sampling, thinking, caching and the rest."""

from typing import Any, Final

from tools.wire_formats.probe import CHAT, COHERE, GEMINI, MESSAGES, OLLAMA, PLAIN, RESPONSES, Json, Row
from tools.wire_formats.requests.wraps import (
    CACHE,
    SCHEMA,
    TURN,
    USER,
    chat_tools,
    configured,
    contents,
    gemini_call,
    gemini_result,
    gemini_round,
    item_of,
    items,
    message_of,
    messages_round,
    messages_tools,
    talk,
)

_OUTPUT: Final = (
    Row(
        "Output",
        "answer by a schema",
        {
            OLLAMA: {"format": SCHEMA},
            COHERE: {"response_format": {"type": "json_object", "json_schema": SCHEMA}},
            CHAT: {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "response", "strict": True, "schema": SCHEMA},
                }
            },
            RESPONSES: {
                "text": {"format": {"type": "json_schema", "name": "response", "strict": True, "schema": SCHEMA}}
            },
            MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            GEMINI: configured(responseMimeType="application/json", responseJsonSchema=SCHEMA),
        },
    ),
    Row(
        "Output",
        "the schema's name",
        {
            CHAT: {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "city", "strict": True, "schema": SCHEMA},
                }
            },
            RESPONSES: {"text": {"format": {"type": "json_schema", "name": "city", "strict": True, "schema": SCHEMA}}},
        },
    ),
    Row(
        "Output",
        "schema that need not hold",
        {
            CHAT: {"response_format": {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}},
            RESPONSES: {"text": {"format": {"type": "json_schema", "name": "response", "schema": SCHEMA}}},
        },
    ),
    Row(
        "Output",
        "any JSON",
        {
            OLLAMA: {"format": "json"},
            COHERE: {"response_format": {"type": "json_object"}},
            CHAT: {"response_format": {"type": "json_object"}},
            RESPONSES: {"text": {"format": {"type": "json_object"}}},
            GEMINI: configured(responseMimeType="application/json"),
        },
    ),
    Row(
        "Output",
        "most tokens",
        {
            OLLAMA: {"options": {"num_predict": 6000}},
            COHERE: {"max_tokens": 6000},
            CHAT: {"max_completion_tokens": 6000},
            RESPONSES: {"max_output_tokens": 6000},
            MESSAGES: {"max_tokens": 6000},
            GEMINI: configured(maxOutputTokens=6000),
        },
    ),
    Row(
        "Output",
        "stop sequences",
        {
            OLLAMA: {"options": {"stop": ["END"]}},
            COHERE: {"stop_sequences": ["END"]},
            CHAT: {"stop": ["END"]},
            MESSAGES: {"stop_sequences": ["END"]},
            GEMINI: configured(stopSequences=["END"]),
        },
    ),
    Row("Output", "a search before the answer", {CHAT: {"web_search_options": {"search_context_size": "low"}}}),
    Row("Output", "several answers", {CHAT: {"n": 2}, GEMINI: configured(candidateCount=2)}),
    Row(
        "Output",
        "log probabilities",
        {
            OLLAMA: {"logprobs": True, "top_logprobs": 2},
            COHERE: {"logprobs": True},
            CHAT: {"logprobs": True, "top_logprobs": 2},
            RESPONSES: {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
            GEMINI: configured(responseLogprobs=True, logprobs=2),
        },
    ),
    Row("Output", "verbosity", {CHAT: {"verbosity": "low"}, RESPONSES: {"text": {"verbosity": "low"}}}),
    Row(
        "Output",
        "kinds of output",
        {CHAT: {"modalities": ["text", "audio"]}, GEMINI: configured(responseModalities=["TEXT", "IMAGE"])},
    ),
    Row(
        "Output",
        "stream",
        {
            OLLAMA: {"stream": True},
            COHERE: {"stream": True},
            CHAT: {"stream": True},
            RESPONSES: {"stream": True},
            MESSAGES: {"stream": True},
        },
    ),
)

_SAMPLING: Final = (
    Row(
        "Sampling",
        "temperature",
        {
            OLLAMA: {"options": {"temperature": 0.5}},
            COHERE: {"temperature": 0.5},
            CHAT: {"temperature": 0.5},
            RESPONSES: {"temperature": 0.5},
            MESSAGES: {"temperature": 0.5},
            GEMINI: configured(temperature=0.5),
        },
    ),
    Row(
        "Sampling",
        "temperature above 1",
        {
            OLLAMA: {"options": {"temperature": 1.5}},
            COHERE: {"temperature": 1.5},
            CHAT: {"temperature": 1.5},
            RESPONSES: {"temperature": 1.5},
            GEMINI: configured(temperature=1.5),
        },
    ),
    Row(
        "Sampling",
        "top_p",
        {
            OLLAMA: {"options": {"top_p": 0.5}},
            COHERE: {"p": 0.5},
            CHAT: {"top_p": 0.5},
            RESPONSES: {"top_p": 0.5},
            MESSAGES: {"top_p": 0.5},
            GEMINI: configured(topP=0.5),
        },
    ),
    Row(
        "Sampling",
        "temperature and top_p",
        {
            OLLAMA: {"options": {"temperature": 0.5, "top_p": 0.5}},
            COHERE: {"temperature": 0.5, "p": 0.5},
            CHAT: {"temperature": 0.5, "top_p": 0.5},
            RESPONSES: {"temperature": 0.5, "top_p": 0.5},
            GEMINI: configured(temperature=0.5, topP=0.5),
        },
    ),
    Row(
        "Sampling",
        "top_k",
        {
            OLLAMA: {"options": {"top_k": 5}},
            COHERE: {"k": 5},
            CHAT: {"top_k": 5},
            MESSAGES: {"top_k": 5},
            GEMINI: configured(topK=5),
        },
    ),
    Row(
        "Sampling",
        "seed",
        {OLLAMA: {"options": {"seed": 5}}, COHERE: {"seed": 5}, CHAT: {"seed": 5}, GEMINI: configured(seed=5)},
    ),
    Row(
        "Sampling",
        "presence penalty",
        {
            OLLAMA: {"options": {"presence_penalty": 0.5}},
            COHERE: {"presence_penalty": 0.5},
            CHAT: {"presence_penalty": 0.5},
            GEMINI: configured(presencePenalty=0.5),
        },
    ),
    Row(
        "Sampling",
        "frequency penalty",
        {
            OLLAMA: {"options": {"frequency_penalty": 0.5}},
            COHERE: {"frequency_penalty": 0.5},
            CHAT: {"frequency_penalty": 0.5},
            GEMINI: configured(frequencyPenalty=0.5),
        },
    ),
    Row("Sampling", "a setting of the runtime's", {OLLAMA: {"options": {"num_ctx": 8192, "repeat_penalty": 1.1}}}),
    Row("Sampling", "logit bias", {CHAT: {"logit_bias": {"1": 5}}}),
)

_SIGNED: Final[Json] = {"type": "thinking", "thinking": "Well.", "signature": "c2ln"}


def _thought(block: Json) -> Json:
    return talk(
        USER,
        {"role": "assistant", "content": [block, {"type": "text", "text": "Yes?"}]},
        USER,
    )


def _reasoned(**more: Any) -> Json:
    item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Well."}]}
    return items(USER, item | more, {"role": "assistant", "content": "Yes?"}, USER)


_THINKING: Final = (
    Row(
        "Thinking",
        "effort",
        {
            OLLAMA: {"think": "high"},
            CHAT: {"reasoning_effort": "high"},
            RESPONSES: {"reasoning": {"effort": "high"}},
            MESSAGES: {"output_config": {"effort": "high"}},
            GEMINI: configured(thinkingConfig={"thinkingLevel": "HIGH"}),
        },
    ),
    Row(
        "Thinking",
        "budget",
        {
            COHERE: {"thinking": {"type": "enabled", "token_budget": 2048}},
            MESSAGES: {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            GEMINI: configured(thinkingConfig={"thinkingBudget": 2048}),
        },
    ),
    Row(
        "Thinking",
        "adaptive",
        {
            OLLAMA: {"think": True},
            COHERE: {"thinking": {"type": "enabled"}},
            MESSAGES: {"thinking": {"type": "adaptive"}},
            GEMINI: configured(thinkingConfig={"thinkingBudget": -1}),
        },
    ),
    Row(
        "Thinking",
        "none",
        {
            OLLAMA: {"think": False},
            COHERE: {"thinking": {"type": "disabled"}},
            CHAT: {"reasoning_effort": "none"},
            RESPONSES: {"reasoning": {"effort": "none"}},
            MESSAGES: {"thinking": {"type": "disabled"}},
            GEMINI: configured(thinkingConfig={"thinkingBudget": 0}),
        },
    ),
    Row(
        "Thinking",
        "that thoughts be told",
        {
            RESPONSES: {"reasoning": {"summary": "auto"}},
            MESSAGES: {"thinking": {"type": "adaptive", "display": "summarized"}},
            GEMINI: configured(thinkingConfig={"includeThoughts": True}),
        },
    ),
    Row(
        "Thinking",
        "earlier thought, unsigned",
        {
            OLLAMA: talk(USER, {"role": "assistant", "content": "Yes?", "thinking": "Well."}, USER),
            COHERE: _thought({"type": "thinking", "thinking": "Well."}),
            CHAT: talk(USER, {"role": "assistant", "content": "Yes?", "reasoning_content": "Well."}, USER),
            RESPONSES: _reasoned(),
            GEMINI: contents(
                TURN,
                {"role": "model", "parts": [{"text": "Well.", "thought": True}, {"text": "Yes?"}]},
                TURN,
            ),
        },
    ),
    Row(
        "Thinking",
        "earlier thought, signed",
        {
            RESPONSES: _reasoned(encrypted_content="gAAA"),
            MESSAGES: _thought(_SIGNED),
            GEMINI: contents(
                TURN,
                {
                    "role": "model",
                    "parts": [{"text": "Well.", "thought": True, "thoughtSignature": "c2ln"}, {"text": "Yes?"}],
                },
                TURN,
            ),
        },
    ),
    Row(
        "Thinking",
        "earlier thought, encrypted",
        {
            RESPONSES: _reasoned(summary=[], encrypted_content="gAAA"),
            MESSAGES: _thought({"type": "redacted_thinking", "data": "RW13"}),
        },
    ),
    Row(
        "Thinking",
        "signature of a text",
        {GEMINI: contents(TURN, {"role": "model", "parts": [{"text": "Yes?", "thoughtSignature": "c2ln"}]}, TURN)},
    ),
    Row(
        "Thinking",
        "signature of a call",
        {GEMINI: gemini_round(gemini_call(id="call_1") | {"thoughtSignature": "c2ln"}, gemini_result(id="call_1"))},
    ),
)

_REST: Final = (
    Row(
        "Caching",
        "marker on content",
        {
            CHAT: message_of({"type": "text", "text": PLAIN} | CACHE),
            RESPONSES: item_of({"type": "input_text", "text": PLAIN, "prompt_cache_breakpoint": {"mode": "explicit"}}),
            MESSAGES: message_of({"type": "text", "text": PLAIN} | CACHE),
        },
    ),
    Row(
        "Caching",
        "marker on the system instruction",
        {
            CHAT: talk({"role": "system", "content": [{"type": "text", "text": "Be brief."} | CACHE]}, USER),
            MESSAGES: {"system": [{"type": "text", "text": "Be brief."} | CACHE]},
        },
    ),
    Row(
        "Caching",
        "marker on a tool",
        {
            CHAT: {"tools": chat_tools(**CACHE)},
            MESSAGES: {"tools": messages_tools(**CACHE)},
        },
    ),
    Row("Caching", "marker on a result", {MESSAGES: messages_round(**CACHE)}),
    Row("Caching", "key", {CHAT: {"prompt_cache_key": "k"}, RESPONSES: {"prompt_cache_key": "k"}}),
    Row("Caching", "cached content by name", {GEMINI: {"cachedContent": "cachedContents/1"}}),
    Row("Other", "user", {CHAT: {"user": "u"}, RESPONSES: {"user": "u"}, MESSAGES: {"metadata": {"user_id": "u"}}}),
    Row("Other", "metadata", {CHAT: {"metadata": {"a": "b"}}, RESPONSES: {"metadata": {"a": "b"}}}),
    Row(
        "Other",
        "safety identifier",
        {CHAT: {"safety_identifier": "s"}, RESPONSES: {"safety_identifier": "s"}},
    ),
    Row(
        "Other",
        "service tier",
        {
            CHAT: {"service_tier": "flex"},
            RESPONSES: {"service_tier": "flex"},
            MESSAGES: {"service_tier": "standard_only"},
        },
    ),
    Row("Other", "that the answer be stored", {CHAT: {"store": True}, RESPONSES: {"store": True}}),
    Row("Other", "history the provider keeps", {RESPONSES: {"previous_response_id": "resp_1"}}),
    Row("Other", "how long the model stays loaded", {OLLAMA: {"keep_alive": "5m"}}),
    Row("Other", "how to cite", {COHERE: {"citation_options": {"mode": "FAST"}}}),
    Row("Other", "priority", {COHERE: {"priority": 5}}),
    Row("Other", "context management", {MESSAGES: {"context_management": {"edits": [{"type": "clear"}]}}}),
    Row(
        "Other",
        "safety settings",
        {COHERE: {"safety_mode": "STRICT"}, GEMINI: {"safetySettings": [{"category": "A", "threshold": "B"}]}},
    ),
    Row(
        "Other",
        "a key no codec knows",
        {
            OLLAMA: {"x_new": 1},
            COHERE: {"x_new": 1},
            CHAT: {"x_new": 1},
            RESPONSES: {"x_new": 1},
            MESSAGES: {"x_new": 1},
            GEMINI: {"xNew": 1},
        },
    ),
)

ROWS: Final = (*_OUTPUT, *_SAMPLING, *_THINKING, *_REST)
