"""How each format wraps what the examples say."""

from typing import Any, Final

from tools.wire_formats.probe import BYTES, PICTURE, PLAIN, Json

SCHEMA: Final[Json] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLOSED: Final[Json] = SCHEMA | {"additionalProperties": False}
URL: Final = "https://example.com/a.png"
PDF: Final = "https://example.com/a.pdf"
DATA: Final = f"data:image/png;base64,{PICTURE}"
PDF_DATA: Final = f"data:application/pdf;base64,{BYTES}"
CACHE: Final[Json] = {"cache_control": {"type": "ephemeral"}}
USER: Final[Json] = {"role": "user", "content": PLAIN}
TEXT: Final[Json] = {"type": "text", "text": "a"}
INPUT_TEXT: Final[Json] = {"type": "input_text", "text": "a"}
TURN: Final[Json] = {"role": "user", "parts": [{"text": PLAIN}]}


# ---- how each format wraps things -----------------------------------------------------------------------------------


def talk(*messages: Json, **top: Any) -> Json:
    """Messages of all but Responses and Gemini."""
    return {"messages": list(messages)} | top


def message_of(*parts: Json) -> Json:
    """One user message of parts."""
    return talk({"role": "user", "content": list(parts)})


def items(*items: Json, **top: Any) -> Json:
    return {"input": list(items)} | top


def item_of(*parts: Json) -> Json:
    return items({"role": "user", "content": list(parts)})


def contents(*contents: Json, **top: Any) -> Json:
    return {"contents": list(contents)} | top


def turn_of(*parts: Json) -> Json:
    return contents({"role": "user", "parts": list(parts)})


def configured(**config: Any) -> Json:
    return {"generationConfig": config}


# ---- tools ----------------------------------------------------------------------------------------------------------


def chat_tools(*extra: Json, strict: bool | None = None, schema: Json | None = SCHEMA, **more: Any) -> list[Json]:
    function: Json = {"name": "look", "description": "Looks."}
    function |= {} if schema is None else {"parameters": schema}
    function |= {} if strict is None else {"strict": strict}
    return [{"type": "function", "function": function} | more, *extra]


def responses_tools(*extra: Json, strict: bool | None = False, schema: Json | None = SCHEMA) -> list[Json]:
    tool: Json = {"type": "function", "name": "look", "description": "Looks."}
    tool |= {} if schema is None else {"parameters": schema}
    return [tool | ({} if strict is None else {"strict": strict}), *extra]


def messages_tools(*extra: Json, schema: Json | None = None, **more: Any) -> list[Json]:
    return [{"name": "look", "description": "Looks.", "input_schema": schema or SCHEMA} | more, *extra]


def gemini_tools(*extra: Json, schema: Json | None = SCHEMA) -> list[Json]:
    function: Json = {"name": "look", "description": "Looks."}
    function |= {} if schema is None else {"parametersJsonSchema": schema}
    return [{"functionDeclarations": [function]}, *extra]


def chat_call(name: str = "call_1", arguments: str = '{"city":"Bern"}') -> Json:
    return {"id": name, "type": "function", "function": {"name": "look", "arguments": arguments}}


def chat_round(result: Any = "rain", name: str = "call_1", arguments: str = '{"city":"Bern"}') -> Json:
    return talk(
        USER,
        {"role": "assistant", "content": None, "tool_calls": [chat_call(name, arguments)]},
        {"role": "tool", "tool_call_id": name, "content": result},
        tools=chat_tools(),
    )


def responses_round(result: Any = "rain", name: str = "call_1", arguments: str = '{"city":"Bern"}') -> Json:
    return items(
        USER,
        {"type": "function_call", "call_id": name, "name": "look", "arguments": arguments},
        {"type": "function_call_output", "call_id": name, "output": result},
        tools=responses_tools(),
    )


def messages_call(name: str = "call_1") -> Json:
    return {"type": "tool_use", "id": name, "name": "look", "input": {"city": "Bern"}}


def messages_round(result: Any = "rain", **more: Any) -> Json:
    return talk(
        USER,
        {"role": "assistant", "content": [messages_call()]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": result} | more]},
        tools=messages_tools(),
    )


def gemini_call(**more: Any) -> Json:
    return {"functionCall": {"name": "look", "args": {"city": "Bern"}} | more}


def gemini_result(output: Json | None = None, **more: Any) -> Json:
    return {"functionResponse": {"name": "look", "response": output or {"output": "rain"}} | more}


def gemini_round(call: Json, result: Json) -> Json:
    return contents(TURN, {"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}, tools=gemini_tools())


def ollama_call(**more: Any) -> Json:
    return more | {"function": {"name": "look", "arguments": {"city": "Bern"}}}


def ollama_round(call: Json, result: Json) -> Json:
    return talk(
        USER,
        {"role": "assistant", "tool_calls": [ollama_call(**call)]},
        {"role": "tool", "content": "rain"} | result,
        tools=chat_tools(),
    )


def custom_round() -> Json:
    tool = {"type": "custom", "name": "run", "description": "Runs."}
    return items(
        USER,
        {"type": "custom_tool_call", "call_id": "call_1", "name": "run", "input": "print(1)"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1"},
        tools=[tool],
    )


def calling(**config: Any) -> Json:
    return {"tools": gemini_tools(), "toolConfig": {"functionCallingConfig": config}}
