"""Tools, the choice among them, calls and results."""

from typing import Final

from tools.wire_formats.probe import CHAT, COHERE, GEMINI, MESSAGES, OLLAMA, PICTURE, RESPONSES, Row
from tools.wire_formats.requests.wraps import (
    CLOSED,
    DATA,
    INPUT_TEXT,
    TEXT,
    TURN,
    USER,
    calling,
    chat_call,
    chat_round,
    chat_tools,
    contents,
    custom_round,
    gemini_call,
    gemini_result,
    gemini_round,
    gemini_tools,
    items,
    message_of,
    messages_call,
    messages_round,
    messages_tools,
    ollama_call,
    ollama_round,
    responses_round,
    responses_tools,
    talk,
    turn_of,
)

_TOOLS: Final = (
    Row(
        "Tools",
        "function",
        {
            OLLAMA: {"tools": chat_tools()},
            COHERE: {"tools": chat_tools()},
            CHAT: {"tools": chat_tools()},
            RESPONSES: {"tools": responses_tools()},
            MESSAGES: {"tools": messages_tools()},
            GEMINI: {"tools": gemini_tools()},
        },
    ),
    Row(
        "Tools",
        "function without parameters",
        {
            OLLAMA: {"tools": chat_tools(schema=None)},
            COHERE: {"tools": chat_tools(schema={"type": "object", "properties": {}})},
            CHAT: {"tools": chat_tools(schema=None)},
            RESPONSES: {"tools": responses_tools(schema=None)},
            MESSAGES: {"tools": messages_tools(schema={"type": "object", "properties": {}})},
            GEMINI: {"tools": gemini_tools(schema=None)},
        },
    ),
    Row(
        "Tools",
        "parameters that are no others",
        {
            OLLAMA: {"tools": chat_tools(schema=CLOSED)},
            COHERE: {"tools": chat_tools(schema=CLOSED)},
            CHAT: {"tools": chat_tools(schema=CLOSED)},
            RESPONSES: {"tools": responses_tools(schema=CLOSED)},
            MESSAGES: {"tools": messages_tools(schema=CLOSED)},
            GEMINI: {"tools": gemini_tools(schema=CLOSED)},
        },
    ),
    Row(
        "Tools",
        "strict function",
        {
            COHERE: {"tools": chat_tools(), "strict_tools": True},
            CHAT: {"tools": chat_tools(strict=True)},
            RESPONSES: {"tools": responses_tools(strict=True)},
            MESSAGES: {"tools": messages_tools(strict=True)},
        },
    ),
    Row("Tools", "function, strictness left open", {RESPONSES: {"tools": responses_tools(strict=None)}}),
    Row(
        "Tools",
        "freeform tool",
        {
            CHAT: {"tools": chat_tools({"type": "custom", "custom": {"name": "run", "description": "Runs."}})},
            RESPONSES: {"tools": [{"type": "custom", "name": "run", "description": "Runs."}]},
        },
    ),
    Row(
        "Tools",
        "freeform tool with a grammar",
        {
            RESPONSES: {
                "tools": [
                    {
                        "type": "custom",
                        "name": "run",
                        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"},
                    }
                ]
            }
        },
    ),
    Row(
        "Tools",
        "namespace of tools",
        {RESPONSES: {"tools": [{"type": "namespace", "name": "git", "description": "", "tools": responses_tools()}]}},
    ),
    Row(
        "Tools",
        "tools added in the conversation",
        {RESPONSES: items(USER, {"type": "additional_tools", "role": "developer", "tools": responses_tools()})},
    ),
    Row("Tools", "tool loaded later", {MESSAGES: {"tools": messages_tools(defer_loading=True)}}),
    Row(
        "Tools",
        "the provider's own tool",
        {
            CHAT: {"web_search_options": {"search_context_size": "low"}},
            RESPONSES: {"tools": responses_tools({"type": "web_search"})},
            MESSAGES: {"tools": messages_tools({"type": "web_search_20250305", "name": "web_search"})},
            GEMINI: {"tools": gemini_tools({"googleSearch": {}})},
        },
    ),
    Row(
        "Tools",
        "choice: auto",
        {
            CHAT: {"tools": chat_tools(), "tool_choice": "auto"},
            RESPONSES: {"tools": responses_tools(), "tool_choice": "auto"},
            MESSAGES: {"tools": messages_tools(), "tool_choice": {"type": "auto"}},
            GEMINI: calling(mode="AUTO"),
        },
    ),
    Row(
        "Tools",
        "choice: none",
        {
            COHERE: {"tools": chat_tools(), "tool_choice": "NONE"},
            CHAT: {"tools": chat_tools(), "tool_choice": "none"},
            RESPONSES: {"tools": responses_tools(), "tool_choice": "none"},
            MESSAGES: {"tools": messages_tools(), "tool_choice": {"type": "none"}},
            GEMINI: calling(mode="NONE"),
        },
    ),
    Row(
        "Tools",
        "choice: some tool",
        {
            COHERE: {"tools": chat_tools(), "tool_choice": "REQUIRED"},
            CHAT: {"tools": chat_tools(), "tool_choice": "required"},
            RESPONSES: {"tools": responses_tools(), "tool_choice": "required"},
            MESSAGES: {"tools": messages_tools(), "tool_choice": {"type": "any"}},
            GEMINI: calling(mode="ANY"),
        },
    ),
    Row(
        "Tools",
        "choice: this tool",
        {
            CHAT: {"tools": chat_tools(), "tool_choice": {"type": "function", "function": {"name": "look"}}},
            RESPONSES: {"tools": responses_tools(), "tool_choice": {"type": "function", "name": "look"}},
            MESSAGES: {"tools": messages_tools(), "tool_choice": {"type": "tool", "name": "look"}},
            GEMINI: calling(mode="ANY", allowedFunctionNames=["look"]),
        },
    ),
    Row(
        "Tools",
        "choice: this freeform tool",
        {
            CHAT: {
                "tools": chat_tools({"type": "custom", "custom": {"name": "run"}}),
                "tool_choice": {"type": "custom", "custom": {"name": "run"}},
            },
            RESPONSES: {
                "tools": [{"type": "custom", "name": "run"}],
                "tool_choice": {"type": "custom", "name": "run"},
            },
        },
    ),
    Row(
        "Tools",
        "choice: among these",
        {
            CHAT: {
                "tools": chat_tools(),
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {
                        "mode": "auto",
                        "tools": [{"type": "function", "function": {"name": "look"}}],
                    },
                },
            },
            RESPONSES: {
                "tools": responses_tools(),
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "look"}],
                },
            },
            GEMINI: calling(mode="VALIDATED", allowedFunctionNames=["look"]),
        },
    ),
    Row(
        "Tools",
        "one call at a time",
        {
            CHAT: {"tools": chat_tools(), "parallel_tool_calls": False},
            RESPONSES: {"tools": responses_tools(), "parallel_tool_calls": False},
            MESSAGES: {
                "tools": messages_tools(),
                "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            },
        },
    ),
)

_CALLS: Final = (
    Row(
        "Calls and results",
        "call and result",
        {
            OLLAMA: ollama_round({"id": "call_1"}, {"tool_call_id": "call_1"}),
            COHERE: chat_round(),
            CHAT: chat_round(),
            RESPONSES: responses_round(),
            MESSAGES: messages_round(),
            GEMINI: gemini_round(gemini_call(id="call_1"), gemini_result(id="call_1")),
        },
    ),
    Row(
        "Calls and results",
        "call without an id",
        {OLLAMA: ollama_round({}, {"tool_name": "look"}), GEMINI: gemini_round(gemini_call(), gemini_result())},
    ),
    Row(
        "Calls and results",
        "parallel calls and results",
        {
            OLLAMA: talk(
                USER,
                {
                    "role": "assistant",
                    "content": "So.",
                    "tool_calls": [ollama_call(id="call_1"), ollama_call(id="call_2")],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
                {"role": "tool", "tool_call_id": "call_2", "content": "sun"},
                tools=chat_tools(),
            ),
            COHERE: talk(
                USER,
                {"role": "assistant", "content": "So.", "tool_calls": [chat_call(), chat_call("call_2")]},
                {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
                {"role": "tool", "tool_call_id": "call_2", "content": "sun"},
                tools=chat_tools(),
            ),
            CHAT: talk(
                USER,
                {"role": "assistant", "content": "So.", "tool_calls": [chat_call(), chat_call("call_2")]},
                {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
                {"role": "tool", "tool_call_id": "call_2", "content": "sun"},
                tools=chat_tools(),
            ),
            RESPONSES: items(
                USER,
                {"role": "assistant", "content": "So."},
                *(
                    {"type": "function_call", "call_id": name, "name": "look", "arguments": '{"city":"Bern"}'}
                    for name in ("call_1", "call_2")
                ),
                {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
                {"type": "function_call_output", "call_id": "call_2", "output": "sun"},
                tools=responses_tools(),
            ),
            MESSAGES: talk(
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "text", "text": "So."}, messages_call(), messages_call("call_2")],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"},
                        {"type": "tool_result", "tool_use_id": "call_2", "content": "sun"},
                    ],
                },
                tools=messages_tools(),
            ),
            GEMINI: contents(
                TURN,
                {
                    "role": "model",
                    "parts": [{"text": "So."}, gemini_call(id="call_1"), gemini_call(id="call_2")],
                },
                {"role": "user", "parts": [gemini_result(id="call_1"), gemini_result(id="call_2")]},
                tools=gemini_tools(),
            ),
        },
    ),
    Row(
        "Calls and results",
        "call before a text",
        {
            MESSAGES: talk(
                USER,
                {"role": "assistant", "content": [messages_call(), {"type": "text", "text": "So."}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "rain"}]},
                tools=messages_tools(),
            ),
            GEMINI: contents(
                TURN,
                {"role": "model", "parts": [gemini_call(id="call_1"), {"text": "So."}]},
                {"role": "user", "parts": [gemini_result(id="call_1")]},
                tools=gemini_tools(),
            ),
        },
    ),
    Row(
        "Calls and results",
        "arguments that are no JSON",
        {
            COHERE: chat_round(arguments='{"city'),
            CHAT: chat_round(arguments='{"city'),
            RESPONSES: responses_round(arguments='{"city'),
        },
    ),
    Row(
        "Calls and results",
        "an id of odd letters",
        {
            OLLAMA: ollama_round({"id": "look:1"}, {"tool_call_id": "look:1"}),
            COHERE: chat_round(name="look:1"),
            CHAT: chat_round(name="look:1"),
            RESPONSES: responses_round(name="look:1"),
        },
    ),
    Row(
        "Calls and results",
        "image in a result",
        {
            OLLAMA: ollama_round({"id": "call_1"}, {"tool_call_id": "call_1", "content": "", "images": [PICTURE]}),
            RESPONSES: responses_round([{"type": "input_image", "image_url": DATA}]),
            MESSAGES: messages_round(
                [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}]
            ),
            GEMINI: gemini_round(
                gemini_call(id="call_1"),
                gemini_result(id="call_1", parts=[{"inlineData": {"mimeType": "image/png", "data": PICTURE}}]),
            ),
        },
    ),
    Row(
        "Calls and results",
        "that a result is an error",
        {
            MESSAGES: messages_round("no", is_error=True),
            GEMINI: gemini_round(gemini_call(id="call_1"), gemini_result({"error": "no"}, id="call_1")),
        },
    ),
    Row(
        "Calls and results",
        "result of several texts",
        {
            COHERE: chat_round([TEXT, {"type": "text", "text": "b"}]),
            CHAT: chat_round([TEXT, {"type": "text", "text": "b"}]),
            RESPONSES: responses_round([INPUT_TEXT, {"type": "input_text", "text": "b"}]),
            MESSAGES: messages_round([TEXT, {"type": "text", "text": "b"}]),
        },
    ),
    Row(
        "Calls and results",
        "result that is an object",
        {GEMINI: gemini_round(gemini_call(id="call_1"), gemini_result({"sky": "grey"}, id="call_1"))},
    ),
    Row(
        "Calls and results",
        "result without its call",
        {
            OLLAMA: talk(USER, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}),
            COHERE: talk(USER, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}),
            CHAT: talk(USER, {"role": "tool", "tool_call_id": "call_1", "content": "rain"}),
            RESPONSES: items(USER, {"type": "function_call_output", "call_id": "call_1", "output": "rain"}),
            MESSAGES: message_of({"type": "tool_result", "tool_use_id": "call_1", "content": "rain"}),
            GEMINI: turn_of(gemini_result(id="call_1")),
        },
    ),
    Row(
        "Calls and results",
        "call without its result",
        {
            CHAT: talk(
                USER, {"role": "assistant", "content": None, "tool_calls": [chat_call()]}, USER, tools=chat_tools()
            ),
            RESPONSES: items(
                USER,
                {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"city":"Bern"}'},
                USER,
                tools=responses_tools(),
            ),
            MESSAGES: talk(USER, {"role": "assistant", "content": [messages_call()]}, USER, tools=messages_tools()),
            GEMINI: contents(TURN, {"role": "model", "parts": [gemini_call(id="call_1")]}, TURN, tools=gemini_tools()),
        },
    ),
    Row("Calls and results", "freeform call and result", {RESPONSES: custom_round()}),
    Row(
        "Calls and results",
        "call in a namespace",
        {
            RESPONSES: items(
                USER,
                {
                    "type": "function_call",
                    "call_id": "call_1",
                    "namespace": "git",
                    "name": "look",
                    "arguments": '{"city":"Bern"}',
                },
                {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
                tools=[{"type": "namespace", "name": "git", "description": "", "tools": responses_tools()}],
            )
        },
    ),
)

_PLANS: Final = (
    Row(
        "Calls and results",
        "a plan before calls",
        {
            COHERE: talk(
                USER,
                {"role": "assistant", "tool_plan": "I look.", "tool_calls": [chat_call()]},
                {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
                tools=chat_tools(),
            )
        },
    ),
)

ROWS: Final = (*_TOOLS, *_CALLS, *_PLANS)
