"""A request to Cursor, read: one frame, one protobuf message. Only the simulator and tests are asked in this format."""

import base64

from omni_wire.connect_frames import ConnectSplitter
from omni_wire.errors import WireError

from omni_translator.domain.codecs.cursor_chat import schema
from omni_translator.domain.codecs.cursor_chat.protobuf import Reader
from omni_translator.domain.codecs.cursor_chat.schema import HOME, PREFIX
from omni_translator.domain.fields import json_object
from omni_translator.domain.model import (
    Conversation,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)


def decode_request(body: bytes) -> Conversation:
    splitter = ConnectSplitter()
    frames = splitter.feed(body)
    if splitter.error is not None:
        raise splitter.error
    if len(frames) != 1 or frames[0].end or splitter.rest:
        raise WireError("a request is one frame")
    request = Reader(frames[0].payload, "message").child(1)
    if request is None:
        raise WireError("message holds no request", "message.1")
    details = request.child(schema.Request.MODEL)
    messages = [*_instructions(request)]
    for item in request.children(schema.Request.CONVERSATION):
        messages += _messages(item)
    if not messages:
        raise WireError("the conversation holds no message", "message.1.1")
    tools = tuple(_tool(item) for item in request.children(schema.Request.MCP_TOOLS))
    level = schema.LEVELS.get(request.whole(schema.Request.THINKING_LEVEL), "")
    return Conversation(
        origin=HOME,
        model=details.text(1) if details is not None else "",
        messages=tuple(messages),
        tools=tools,
        tool_choice=ToolChoice(mode="none") if tools and request.flag(schema.Request.DISABLE_TOOLS) else None,
        thinking=Thinking(effort=level) if level else None,
        stream=True,
    )


def _instructions(request: Reader) -> list[Message]:
    context = request.child(schema.Request.CONTEXT)
    text = context.text(1) if context is not None else ""
    return [Message(role=Role.SYSTEM, parts=(Text(text),))] if text else []


def _messages(item: Reader) -> list[Message]:
    """One of Cursor's messages holds a turn of the model and what its calls gave; ours are two."""
    kind = item.whole(schema.Message.KIND)
    if kind not in (schema.HUMAN, schema.AI):
        raise WireError(f"a message of kind {kind}, which is nobody's", f"{item.path}.{schema.Message.KIND}")
    own: list[Part] = []
    thinking = item.child(schema.Message.THINKING)
    if thinking is not None:
        own += read_thinking(thinking)
    if item.has(schema.Message.TEXT) and (text := item.text(schema.Message.TEXT)):
        own.append(Text(text))
    own += _images(item, schema.Message.IMAGES)
    given: list[Part] = []
    for result in item.children(schema.Message.RESULTS):
        call_id = result.text(schema.Result.CALL_ID)
        if kind == schema.AI:
            own.append(_call(result, call_id))
        if result.has(schema.Result.RESULT) or result.has(schema.Result.ERROR):
            given.append(_result(result, call_id))
    role = Role.USER if kind == schema.HUMAN else Role.ASSISTANT
    if kind == schema.HUMAN:
        own, given = [*given, *own], []
    out = [Message(role=role, parts=tuple(own))] if own else []
    return [*out, Message(role=Role.USER, parts=tuple(given))] if given else out


def _images(item: Reader, field: int) -> list[Part]:
    images: list[Part] = []
    for image in item.children(field):
        data = image.data(1)
        if data:
            images.append(Image(data=base64.b64encode(data).decode(), media_type=schema.media_type(data)))
    return images


def read_thinking(thinking: Reader) -> list[Part]:
    text, signature = thinking.text(schema.Thinking.TEXT), thinking.text(schema.Thinking.SIGNATURE)
    redacted = thinking.text(schema.Thinking.REDACTED)
    parts: list[Part] = [Reasoning(text=text, origin=HOME, signature=signature)] if text or signature else []
    return [*parts, Opaque(origin=HOME, data={"redacted_thinking": redacted})] if redacted else parts


def read_call(call: Reader) -> tuple[str, str]:
    """Name and arguments: those of the MCP tool, which hold the client's own words, before the call's."""
    params = call.child(schema.Call.MCP)
    tool = params.child(1) if params is not None else None
    name = tool.text(schema.Tool.NAME) if tool is not None else ""
    arguments = tool.text(schema.Tool.PARAMETERS) if tool is not None else ""
    name = name or call.text(schema.Call.NAME).removeprefix(PREFIX)
    return name, arguments or call.text(schema.Call.RAW_ARGUMENTS)


def _call(result: Reader, call_id: str) -> ToolCall:
    call = result.child(schema.Result.CALL)
    name, arguments = read_call(call) if call is not None else ("", "")
    return ToolCall(
        id=call_id,
        name=name or result.text(schema.Result.NAME).removeprefix(PREFIX),
        arguments=arguments or result.text(schema.Result.RAW_ARGUMENTS),
    )


def _result(result: Reader, call_id: str) -> ToolResult:
    error = result.child(schema.Result.ERROR)
    outcome = result.child(schema.Result.RESULT)
    given = outcome.child(schema.Outcome.MCP) if outcome is not None else None
    text = error.text(2) if error is not None else given.text(2) if given is not None else ""
    parts: list[Part] = [Text(text)] if text else []
    parts += _images(result, schema.Result.IMAGES)
    return ToolResult(id=call_id, parts=tuple(parts), is_error=error is not None)


def _tool(item: Reader) -> Tool:
    description, parameters = item.text(schema.Tool.DESCRIPTION), item.text(schema.Tool.PARAMETERS)
    found = json_object(parameters) if parameters else None
    if parameters and found is None:
        raise WireError("a tool's parameters are not a JSON object", f"{item.path}.{schema.Tool.PARAMETERS}")
    return Tool(name=item.text(schema.Tool.NAME), description=description or None, schema=found)
