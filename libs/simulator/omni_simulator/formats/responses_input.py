"""OpenAI Responses: reading a request (platform.openai.com/docs/api-reference/responses/create)."""

from typing import Any

from omni_wire.errors import InvalidRequest

from omni_simulator.formats.chat import read_schema
from omni_simulator.reading import Notes, arr, filled, flag, limit, obj, strings, text
from omni_simulator.values import Ask, Tool

_RESULTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output", "mcp_call_output")


def read(body: dict[str, Any], seed: str) -> Ask:
    notes = Notes()
    tools = _read_tools(body.get("tools"), "tools", "")
    if body.get("instructions") is not None:
        notes.said(text(body["instructions"], "instructions"))
    # With a stored history the calls are the provider's to know, so results cannot be matched here.
    stored = body.get("previous_response_id") is not None or body.get("conversation") is not None
    given = body.get("input")
    if isinstance(given, str):
        notes.said(given, by_user=True)
    else:
        for index, value in enumerate(filled(given, "input")):
            item = obj(value, f"input[{index}]")
            if item.get("type") == "additional_tools":  # Codex puts its tools here
                tools += _read_tools(item.get("tools"), f"input[{index}].tools", "")
            else:
                _read_item(notes, item, f"input[{index}]", stored=stored)
    parallel = body.get("parallel_tool_calls")
    return notes.ask(
        model=text(body.get("model"), "model"),
        seed=seed,
        stream=flag(body.get("stream"), "stream"),
        tools=tools,
        choice=_read_choice(body.get("tool_choice")),
        parallel=parallel is None or flag(parallel, "parallel_tool_calls"),
        max_output=limit(body.get("max_output_tokens"), "max_output_tokens"),
        schema=read_schema(obj(obj(body.get("text"), "text").get("format"), "text.format"), None),
        encrypted_reasoning="reasoning.encrypted_content" in strings(body.get("include"), "include"),
    )


def _read_item(notes: Notes, item: dict[str, Any], where: str, *, stored: bool) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        role = text(item.get("role"), f"{where}.role")
        if role == "assistant":
            notes.model_spoke()
        for words in _read_content(notes, item.get("content"), f"{where}.content"):
            notes.said(words, by_user=role == "user")
    elif kind in ("function_call", "custom_tool_call"):
        notes.model_spoke()
        key = "arguments" if kind == "function_call" else "input"
        notes.called(text(item.get("call_id"), f"{where}.call_id"), text(item.get(key), f"{where}.{key}"))
    elif isinstance(kind, str) and kind in _RESULTS:
        call_id = text(item.get("call_id"), f"{where}.call_id")
        words = "".join(_read_content(notes, item.get("output"), f"{where}.output"))
        notes.returned(None if stored else call_id, words, where=where)
    elif kind == "reasoning":
        for part in arr(item.get("summary"), f"{where}.summary"):
            notes.said(text(obj(part, where).get("text"), f"{where}.summary.text"))
        notes.vouched(item.get("encrypted_content"), f"{where}.encrypted_content")
    elif not isinstance(kind, str):
        raise InvalidRequest(f"{where}.type: expected a string", param=f"{where}.type")


def _read_content(notes: Notes, content: object, where: str) -> list[str]:
    if isinstance(content, str):
        return [content]
    found = []
    for value in arr(content, where):
        part = obj(value, where)
        if text(part.get("type"), f"{where}.type") in ("input_text", "output_text", "refusal"):
            key = "refusal" if part["type"] == "refusal" else "text"
            found.append(text(part.get(key), f"{where}.{key}"))
        else:
            notes.linked(part.get("image_url") or part.get("file_data"), where)
    return found


def _read_tools(value: object, where: str, namespace: str) -> tuple[Tool, ...]:
    tools: list[Tool] = []
    for index, item in enumerate(arr(value, where)):
        at = f"{where}[{index}]"
        tool = obj(item, at)
        kind = text(tool.get("type"), f"{at}.type")
        if kind in ("function", "custom"):
            name = text(tool.get("name"), f"{at}.name")
            schema = obj(tool.get("parameters"), f"{at}.parameters")
            tools.append(Tool(name, schema, kind == "custom", namespace))
        elif kind == "namespace" and not namespace:
            tools += _read_tools(tool.get("tools"), f"{at}.tools", text(tool.get("name"), f"{at}.name"))
        # Any other type is a tool the provider runs itself: not the model's to call here.
    return tuple(tools)


def _read_choice(choice: object) -> str:
    if choice is None or choice == "auto":
        return "auto"
    if isinstance(choice, str) and choice in ("none", "required"):
        return choice
    named = obj(choice, "tool_choice")
    if named.get("type") in ("function", "custom"):
        return f"={text(named.get('name'), 'tool_choice.name')}"
    if named.get("type") == "allowed_tools":
        return "required" if named.get("mode") == "required" else "auto"
    raise InvalidRequest("tool_choice.type: expected function, custom or allowed_tools", param="tool_choice.type")
