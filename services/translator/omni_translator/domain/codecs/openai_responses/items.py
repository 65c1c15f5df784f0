"""Input items, read: one message of the conversation each.

Source: OpenAI's API reference for Responses (``ResponseInputItem``), and what Codex 0.169 sends.
"""

from typing import Final

from omni_wire.errors import WireError

from omni_translator.domain.codecs.openai_responses.content import HOME, read_content
from omni_translator.domain.codecs.openai_responses.tools import read_new_tools
from omni_translator.domain.fields import Fields
from omni_translator.domain.model import Message, Opaque, Part, Reasoning, Role, ToolCall, ToolResult
from omni_translator.domain.talk import read_talk

ITEM: Final = "item"  # the slot of blocks that are whole items
_ROLES: Final = {role.value: role for role in Role}


def read_input(top: Fields) -> list[Message]:
    """The messages of ``input``: a string or a list of items."""
    value = top.peek("input")
    if isinstance(value, str):
        top.take("input")
        return [Message(role=Role.USER, parts=read_content(value, "input"))] if value else []
    items = top.items("input") or ()
    return [read_talk(item, _ROLES) or _read_item(Fields(item, ("input", at))) for at, item in enumerate(items)]


def _read_item(item: Fields) -> Message:
    match item.peek("type"):
        case "message":
            return _read_message(item)
        case None if item.peek("role") is not None or item.peek("id") is None:
            return _read_message(item)
        case "function_call" | "custom_tool_call":
            call = read_call(item)
            for key, value in (("call_id", call.id), ("name", call.name)):
                if not value:
                    raise item.wrong(key, "given")
            return Message(role=Role.ASSISTANT, parts=(call,))
        case "function_call_output" | "custom_tool_call_output":
            return Message(role=Role.USER, parts=(_read_result(item),))
        case "reasoning":
            parts = read_reasoning(item)
            return Message(role=Role.ASSISTANT, parts=parts, extra=item.rest())
        case "additional_tools" if isinstance(item.peek("tools"), list):
            item.take("type")
            return Message(role=Role.DEVELOPER, parts=(read_new_tools(item),))
        case kind:
            said_by_user = isinstance(kind, str) and (kind.endswith(("_output", "_response")))
            role = Role.USER if said_by_user else Role.ASSISTANT
            return Message(role=role, parts=(Opaque(origin=HOME, data=item.rest(), slot=ITEM),))


def _read_message(item: Fields) -> Message:
    item.take("type")
    role = item.need_text("role")
    known = _ROLES.get(role)
    if known is None:
        raise WireError(f"{item.at('role')} {role[:40]!r} is none this gateway knows", item.at("role"))
    name = _settle(item)
    parts = read_content(item.take("content"), (item.place, "content"))
    return Message(role=known, parts=parts, item=name, extra=item.rest())


def _settle(item: Fields) -> str:
    """Take the item's own id, and its status where that says nothing: what is sent back is complete."""
    if item.peek("status") == "completed":
        item.take("status")
    return item.text("id") or ""


def read_call(item: Fields) -> ToolCall:
    """A ``function_call`` or ``custom_tool_call`` item; what has no id or name is the caller's to refuse or to name."""
    freeform = item.take("type") == "custom_tool_call"
    name = _settle(item)
    return ToolCall(
        id=item.text("call_id") or name,
        name=item.text("name") or "",
        arguments=item.text("input" if freeform else "arguments") or "",
        freeform=freeform,
        namespace=item.text("namespace") or "",
        item=name,
        extra=item.rest(),
    )


def _read_result(item: Fields) -> Part:
    freeform = item.take("type") == "custom_tool_call_output"
    name = _settle(item)
    return ToolResult(
        id=item.need_text("call_id"),
        parts=read_content(item.take("output"), (item.place, "output")),
        freeform=freeform,
        item=name,
        extra=item.rest(),
    )


def read_reasoning(item: Fields) -> tuple[Part, ...]:
    """The thoughts of a ``reasoning`` item: a part for each summary and each full thought, the last one signed.

    What the item holds beyond is left in ``item``.
    """
    item.take("type")
    name = _settle(item)
    signature = item.text("encrypted_content") or ""
    found = [(thought, False) for thought in item.each("summary")]
    found += [(thought, True) for thought in item.each("content")]
    parts: list[Part] = []
    for thought, full in found or [(Fields({"text": ""}, item.place), False)]:
        thought.take("type")
        text = thought.need_text("text")
        last = len(parts) + 1 >= len(found)
        parts.append(
            Reasoning(
                text=text,
                origin=HOME,
                signature=signature if last else "",
                full=full,
                item=name,
                extra=thought.rest(),
            )
        )
    return tuple(parts)
