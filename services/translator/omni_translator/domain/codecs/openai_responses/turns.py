"""Messages of the conversation, written as input items."""

from typing import Final

from omni_translator.domain.call_ids import fitted
from omni_translator.domain.citations import noted
from omni_translator.domain.codecs.openai_responses.content import HOME, PartWriter
from omni_translator.domain.codecs.openai_responses.items import ITEM
from omni_translator.domain.codecs.openai_responses.tools import write_tools
from omni_translator.domain.fields import overlay
from omni_translator.domain.model import (
    Json,
    Message,
    NewTools,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from omni_translator.domain.talk import only_text

_MAX_CALL_ID: Final = 64  # characters; OpenAI answers 400 beyond


def write_message(message: Message, writer: PartWriter) -> list[Json]:
    if not writer.home and not message.extra and (alone := only_text(message.parts)):
        return [{"type": "message", "role": message.role, "content": alone}]
    if not writer.home and message.role is Role.ASSISTANT:
        message = noted(message)
    out: list[Json] = []
    run: list[Part] = []  # parts that stand in one message item
    thoughts: list[Reasoning] = []  # parts of one reasoning item
    for part in message.parts:
        if type(part) is Text and not thoughts:
            run.append(part)
            continue
        if isinstance(part, Reasoning):
            _close(message, run, out, writer)
            if thoughts and not belongs(thoughts[-1], part):
                _close_thoughts(thoughts, out)
            if _keeps(part, writer):
                thoughts.append(part)
            continue
        _close_thoughts(thoughts, out)
        item = _item(part, writer)
        if item is None:
            run.append(part)
        else:
            _close(message, run, out, writer)
            out.append(item)
    _close_thoughts(thoughts, out)
    if writer.home and not message.parts:
        run = [Text("")]  # a message without content is one all the same
    _close(message, run, out, writer)
    if not writer.home:
        writer.losses.unknown(message.extra, "messages")
    elif out:
        overlay(out[-1], message.extra)
    return out


def belongs(last: Reasoning, part: Reasoning) -> bool:
    """Whether a thought stands in the reasoning item of the one before it: summaries first, the signature last."""
    return last.item == part.item and not last.signature and (part.full or not last.full)


def _keeps(part: Reasoning, writer: PartWriter) -> bool:
    """OpenAI takes back its own thoughts only; those it did not sign it knows by their id, if it stores them.

    In a conversation from elsewhere they come out of the vault, of whole items, signed by their last one.
    """
    if part.origin is HOME:
        if not writer.home:
            writer.foreign(part)
        return True
    writer.losses.dropped("messages.reasoning_content", "OpenAI takes back its own encrypted thoughts only")
    return False


def _close_thoughts(thoughts: list[Reasoning], out: list[Json]) -> None:
    if thoughts:
        out.append(reasoning_item(thoughts))
        thoughts.clear()


def reasoning_item(thoughts: list[Reasoning]) -> Json:
    """The item that thoughts of one make, its list of full thoughts only where it has some."""
    item: Json = {"type": "reasoning"}
    if thoughts[0].item:
        item["id"] = thoughts[0].item
    said = [thought for thought in thoughts if thought.text or thought.extra or len(thoughts) > 1]
    item["summary"] = [
        overlay({"type": "summary_text", "text": thought.text}, thought.extra) for thought in said if not thought.full
    ]
    full = [
        overlay({"type": "reasoning_text", "text": thought.text}, thought.extra) for thought in said if thought.full
    ]
    if full:
        item["content"] = full
    if thoughts[-1].signature:
        item["encrypted_content"] = thoughts[-1].signature
    return item


def _close(message: Message, run: list[Part], out: list[Json], writer: PartWriter) -> None:
    """Put the parts of ``run`` into one message item."""
    if not run:
        return
    assistant = message.role is Role.ASSISTANT
    parts = [part for part in run if writer.home or _fits(part, message.role, writer)]
    run.clear()
    content = writer.content(parts, "output_text" if assistant else "input_text")
    if not content and not writer.home:
        return
    item: Json = {"type": "message", "role": message.role, "content": content}
    if writer.home and message.item:
        item["id"] = message.item
        if isinstance(content, str):  # an item of the model's own holds parts
            text_type = "output_text" if assistant else "input_text"
            item["content"] = [{"type": text_type, "text": content}] if content else []
    out.append(item)


def _fits(part: Part, role: Role, writer: PartWriter) -> bool:
    """Whether a message of that role can hold a part from another format; declared where not."""
    if role is Role.USER or type(part) is Text or type(part) is Opaque:
        return True
    if role is Role.ASSISTANT and type(part) is Refusal:
        return True
    where = "messages.content" if role is Role.ASSISTANT else "system"
    writer.losses.dropped(f"{where}.{type(part).__name__.lower()}", f"{role.value} messages are text")
    return False


# ---- parts that are items of their own ------------------------------------------------------------------------------


def _item(part: Part, writer: PartWriter) -> Json | None:
    """The item that a part is by itself; None for what stands in messages."""
    match part:
        case ToolCall():
            return _call(part, writer)
        case ToolResult():
            return _result(part, writer)
        case NewTools():
            tools = write_tools(part.tools, writer.home, writer.losses)
            item: Json = {"type": "additional_tools", "role": "developer", "tools": tools}
            if part.item:
                item["id"] = part.item
            return overlay(item, part.extra) if writer.home else item
        case Opaque() if part.slot == ITEM and part.origin is HOME:
            return part.data
        case _:
            return None


def _call(call: ToolCall, writer: PartWriter) -> Json:
    out: Json = {"type": "custom_tool_call" if call.freeform else "function_call"}
    if writer.home and call.item:
        out["id"] = call.item
    out |= {"call_id": _id(call.id, writer), "name": call.name}
    if call.signature:
        writer.losses.signature("messages.content")
    if call.namespace:
        out["namespace"] = call.namespace
    if call.freeform:
        out["input"] = call.arguments
    else:
        out["arguments"] = call.arguments if writer.home or call.arguments.strip() else "{}"
    return _finished(out, call, writer)


def _result(result: ToolResult, writer: PartWriter) -> Json:
    out: Json = {"type": "custom_tool_call_output" if result.freeform else "function_call_output"}
    if writer.home and result.item:
        out["id"] = result.item
    out |= {"call_id": _id(result.id, writer), "output": writer.content(list(result.parts), "input_text")}
    if result.is_error:
        writer.losses.dropped("messages.content.is_error")
    return _finished(out, result, writer)


def _finished(item: Json, part: ToolCall | ToolResult, writer: PartWriter) -> Json:
    if writer.home:
        overlay(item, part.extra)
    else:
        writer.foreign(part)
    return item


def _id(call_id: str, writer: PartWriter) -> str:
    known = call_id if writer.home else fitted(call_id, _MAX_CALL_ID)
    if known != call_id:
        writer.losses.approximated("messages.tool_calls.id", f"OpenAI takes 1 to {_MAX_CALL_ID} characters")
    return known
