"""A conversation of Kiro's, read."""

from omni_translator.domain.codecs.kiro_conversation.words import HOME, IMAGES, ORIGIN, TRIGGER, conversation_id
from omni_translator.domain.fields import Fields, to_json
from omni_translator.domain.model import (
    Conversation,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)


def decode_request(body: bytes) -> Conversation:
    """Raises ``WireError`` naming the field that is not as it must be."""
    top = Fields.of_body(body)
    state = top.need_child("conversationState")
    if state.peek("chatTriggerType") == TRIGGER:
        state.take("chatTriggerType")
    current = state.need_child("currentMessage").need_child("userInputMessage")
    model = current.text("modelId") or ""
    messages = [_turn(turn, model) for turn in state.each("history")]
    context = current.child("userInputMessageContext")
    tools = tuple(_tool(tool) for tool in context.each("tools")) if context is not None else ()
    messages.append(_asked(current, context))
    first = next((part.text for part in messages[0].parts if isinstance(part, Text)), "")
    if state.peek("conversationId") == conversation_id(first):
        state.take("conversationId")  # the one that is written where there is no other
    return Conversation(
        origin=HOME,
        model=model,
        messages=tuple(messages),
        tools=tools,
        stream=True,
        extra=top.rest(),
    )


def _turn(turn: Fields, model: str) -> Message:
    if isinstance(turn.peek("assistantResponseMessage"), dict):
        return _answered(turn)
    said = turn.need_child("userInputMessage")
    if said.peek("modelId") == model:
        said.take("modelId")
    message = _asked(said, said.child("userInputMessageContext"))
    return Message(role=Role.USER, parts=message.parts, extra=turn.rest())


def _asked(said: Fields, context: Fields | None) -> Message:
    """Results first, as everywhere: they answer what came before."""
    parts: list[Part] = [_result(result) for result in context.each("toolResults")] if context is not None else []
    text = said.text("content")
    if text:
        parts.append(Text(text))
    parts += [_image(image) for image in said.each("images")]
    if said.peek("origin") == ORIGIN:
        said.take("origin")
    return Message(role=Role.USER, parts=tuple(parts))


def _answered(turn: Fields) -> Message:
    said = turn.need_child("assistantResponseMessage")
    text = said.text("content")
    parts: list[Part] = [Text(text)] if text else []
    parts += [_call(call) for call in said.each("toolUses")]
    return Message(role=Role.ASSISTANT, parts=tuple(parts), extra=turn.rest())


def _call(call: Fields) -> Part:
    call_id, name, given = call.need_text("toolUseId"), call.need_text("name"), call.take("input")
    arguments = "" if given is None else to_json(given).decode()
    return ToolCall(id=call_id, name=name, arguments=arguments, extra=call.rest())


def _result(result: Fields) -> Part:
    call_id, status = result.need_text("toolUseId"), result.text("status")
    if status not in (None, "success", "error"):
        result.put_back("status", status)
    parts = tuple(_item(item) for item in result.each("content"))
    return ToolResult(id=call_id, parts=parts, is_error=status == "error", extra=result.rest())


def _item(item: Fields) -> Part:
    if item.peek("text") is not None:
        return Text(item.need_text("text"), extra=item.rest())
    if item.peek("json") is not None:
        return Text(to_json(item.take("json")).decode(), extra=item.rest())
    return Opaque(origin=HOME, data=item.rest())


def _image(image: Fields) -> Part:
    source, form = image.peek("source"), image.peek("format")
    data = source.get("bytes") if isinstance(source, dict) else None
    if not isinstance(data, str) or not data or form not in IMAGES:
        return Opaque(origin=HOME, data=image.rest(), slot="images")
    image.take("format")
    image.need_child("source").take("bytes")
    return Image(data=data, media_type=f"image/{form}", extra=image.rest())


def _tool(tool: Fields) -> Tool | Opaque:
    spec: Json | None = tool.peek("toolSpecification")
    schema = spec.get("inputSchema") if isinstance(spec, dict) else None
    if not isinstance(schema, dict) or not isinstance(schema.get("json"), dict):
        return Opaque(origin=HOME, data=tool.rest())
    fields = tool.need_child("toolSpecification")
    return Tool(
        name=fields.need_text("name"),
        description=fields.text("description"),
        schema=fields.need_child("inputSchema").plain("json"),
        extra=tool.rest(),
    )
