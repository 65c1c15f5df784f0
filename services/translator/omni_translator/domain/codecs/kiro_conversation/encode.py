"""A conversation of Kiro's, written.

Turns alternate, and the last is the user's. What others say in a system message leads the first of the user's; a wish
for structured output stands in words at the end of the last.
"""

from typing import Any, Final

import msgspec
from omni_wire.errors import WireError

from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.kiro_conversation.words import HOME, IMAGES, ORIGIN, TRIGGER, conversation_id
from omni_translator.domain.fields import json_object, overlay, to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Image,
    Json,
    Message,
    Opaque,
    Part,
    Piece,
    Refusal,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from omni_translator.domain.normal import split_system
from omni_translator.domain.plain import plain
from omni_translator.domain.worded import with_wish

_UNSAID: Final[Json] = {"n": 1, "logprobs": False, "store": False}
_GO_ON: Final = "Continue."  # where the last turn is the assistant's
_NOWHERE: Final = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")


def encode_request(conversation: Conversation) -> Encoded:
    losses = Losses("Kiro")
    conversation = plain(conversation, losses)
    home = conversation.origin is HOME
    writer = _Writer(conversation, losses)
    turns = list(conversation.messages) if home else _alternating(conversation, losses)
    *history, current = [writer.turn(turn) for turn in turns]
    asked: Json = current["userInputMessage"]
    tools = writer.tools(conversation)
    if tools:
        asked.setdefault("userInputMessageContext", {})["tools"] = tools
    state: Json = {"chatTriggerType": TRIGGER, "currentMessage": current}
    if history:
        state["history"] = history
    body: Json = {"conversationState": state}
    if conversation.project:
        body["profileArn"] = conversation.project
    first = next(iter((history or [current])[0].values()))
    made = {"conversationState": {"conversationId": conversation_id(first["content"])}}
    if home:
        overlay(overlay(body, conversation.extra), made)
    else:
        overlay(body, made)
        _declare_settings(conversation, losses)
    return Encoded(to_json(body), losses.all())


def _alternating(conversation: Conversation, losses: Losses) -> list[Message]:
    system, others = split_system(conversation.messages, losses)
    turns = list(others)
    if not turns and not system:
        raise WireError("messages hold nothing that Kiro takes", "messages")
    if not turns or turns[0].role is not Role.USER:
        if turns and not system:
            losses.approximated("messages.role", "a conversation begins with the user, so one turn was put before")
            turns.insert(0, Message(role=Role.USER, parts=(Text(_GO_ON),)))
        else:
            turns.insert(0, Message(role=Role.USER, parts=()))
    if system:
        losses.approximated("messages.role", "the system message leads the user's first")
        turns[0] = msgspec.structs.replace(turns[0], parts=(*system, *turns[0].parts))
    if turns[-1].role is not Role.USER:
        losses.approximated("messages.role", "the last turn is the user's, so one was added")
        turns.append(Message(role=Role.USER, parts=(Text(_GO_ON),)))
    return list(with_wish(tuple(turns), conversation.output_format, losses))


def _declare_settings(conversation: Conversation, losses: Losses) -> None:
    if conversation.max_output is not None:
        losses.dropped("max_tokens")
    for key in _NOWHERE:
        if getattr(conversation.sampling, key) is not None:
            losses.dropped(key)
    if conversation.sampling.stop:
        losses.dropped("stop")
    wish = conversation.thinking
    if wish is not None and (wish.effort or wish.mode or wish.summary):
        losses.dropped("reasoning_effort" if wish.effort else "thinking", "Kiro's models think as they like")
    if conversation.parallel_tools is False:
        losses.dropped("parallel_tool_calls")
    if conversation.user:
        losses.dropped("user")
    if conversation.verbosity:
        losses.dropped("verbosity")
    losses.unknown(conversation.extra, unsaid=_UNSAID)


class _Writer:
    """Writes the turns of one conversation, and declares what cannot be said."""

    __slots__ = ("_home", "_losses", "_model")

    def __init__(self, conversation: Conversation, losses: Losses) -> None:
        self._home = conversation.origin is HOME
        self._losses = losses
        self._model = conversation.model

    def turn(self, message: Message) -> Json:
        parts = [part for part in message.parts if self._sayable(part, message.role)]
        self._in_order(parts, message.role)
        content = self._content(parts)
        if message.role is Role.ASSISTANT:
            out: Json = {"assistantResponseMessage": {"content": content}}
            calls = [self._call(part) for part in parts if isinstance(part, ToolCall)]
            if calls:
                out["assistantResponseMessage"]["toolUses"] = calls
        else:
            out = {"userInputMessage": self._asked(parts, content)}
        if self._home:
            overlay(out, message.extra)
        else:
            self._losses.unknown(message.extra, "messages")
        return out

    def _asked(self, parts: list[Part], content: str) -> Json:
        out: Json = {"content": content, "modelId": self._model, "origin": ORIGIN}
        moved: list[Part] = []
        results = [self._result(part, moved) for part in parts if isinstance(part, ToolResult)]
        images = [image for part in (*parts, *moved) if (image := self._image(part)) is not None]
        if images:
            out["images"] = images
        if results:
            out["userInputMessageContext"] = {"toolResults": results}
        return out

    def _in_order(self, parts: list[Part], role: Role) -> None:
        """Results, text and images stand in places of their own, as do text and calls."""
        order = (Text, ToolCall) if role is Role.ASSISTANT else (ToolResult, Text, Image)
        places = [next((at for at, kind in enumerate(order) if isinstance(part, kind)), len(order)) for part in parts]
        if places != sorted(places) and not self._home:
            self._losses.approximated("messages.content", "texts, images and results stand apart")

    def _sayable(self, part: Part, role: Role) -> bool:
        kinds = (Text, Refusal, ToolCall) if role is Role.ASSISTANT else (Text, Refusal, Image, ToolResult)
        if isinstance(part, Opaque) and part.origin is HOME:
            return True
        if isinstance(part, kinds):
            if not self._home and not isinstance(part, Opaque):
                if isinstance(part, Piece) and part.cache is not None:
                    self._losses.dropped("messages.content.cache_control")
                self._losses.unknown(part.extra, "messages.content")
            return True
        if isinstance(part, Opaque):
            self._losses.dropped(f"messages.content.{part.kind}")
        else:
            self._losses.dropped(f"messages.content.{type(part).__name__.lower()}")
        return False

    def _content(self, parts: list[Part]) -> str:
        texts = [part.text for part in parts if isinstance(part, Text | Refusal) and part.text]
        if any(isinstance(part, Refusal) for part in parts):
            self._losses.approximated("messages.refusal", "sent as text")
        if len(texts) > 1:
            self._losses.approximated("messages.content", "texts joined")
        return "\n\n".join(texts)

    def _call(self, call: ToolCall) -> Json:
        if call.signature:
            self._losses.signature("messages.content")
        given: Any = json_object(call.arguments) if call.arguments.strip() else {}
        if given is None:
            self._losses.approximated("messages.tool_calls.function.arguments", "not a JSON object; sent empty")
            given = {}
        out: Json = {"toolUseId": call.id, "name": call.name, "input": given}
        return overlay(out, call.extra) if self._home else out

    def _result(self, result: ToolResult, moved: list[Part]) -> Json:
        content: list[Json] = []
        for part in result.parts:
            if isinstance(part, Text):
                content.append(self._item(part))
            elif isinstance(part, Opaque) and part.origin is HOME:
                content.append(part.data)
            elif isinstance(part, Image):
                self._losses.approximated("messages.content.tool_result.content", "images moved behind the results")
                moved.append(part)
            else:
                kind = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
                self._losses.dropped(f"messages.content.tool_result.{kind}")
        status = "error" if result.is_error else "success"
        out: Json = {"toolUseId": result.id, "content": content, "status": status}
        return overlay(out, result.extra) if self._home else out

    def _item(self, part: Text) -> Json:
        out: Json = {"text": part.text}
        if not self._home:
            if part.cache is not None:
                self._losses.dropped("messages.content.cache_control")
            self._losses.unknown(part.extra, "messages.content")
            return out
        held = json_object(part.text) if part.text.startswith("{") else None
        if held is not None and to_json(held).decode() == part.text:
            out = {"json": held}
        return overlay(out, part.extra)

    def _image(self, part: Part) -> Json | None:
        if isinstance(part, Opaque) and part.origin is HOME and part.slot == "images":
            return part.data
        if not isinstance(part, Image):
            return None
        if part.detail:
            self._losses.dropped("messages.content.image_url.detail")
        form = part.media_type.removeprefix("image/").replace("jpg", "jpeg")
        if not part.data or form not in IMAGES:
            why = f"Kiro takes no {part.media_type[:40]}" if part.data else "Kiro takes an image's bytes only"
            self._losses.dropped("messages.content.image", why)
            return None
        out: Json = {"format": form, "source": {"bytes": part.data}}
        return overlay(out, part.extra) if self._home else out

    def tools(self, conversation: Conversation) -> list[Json]:
        losses, choice = self._losses, conversation.tool_choice
        out: list[Json] = []
        for tool in conversation.tools:
            if isinstance(tool, Tool):
                out.append(self._tool(tool))
            elif tool.origin is HOME:
                out.append(tool.data)
            else:
                losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
        if choice is not None and choice.mode == "none" and out:
            losses.approximated("tool_choice", "the tools are left out")
            return []
        if choice is not None and (choice.mode != "auto" or choice.allowed):
            losses.dropped("tool_choice", "Kiro's models choose for themselves")
        return out

    def _tool(self, tool: Tool) -> Json:
        schema = tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
        spec: Json = {"name": tool.name, "inputSchema": {"json": schema}}
        if tool.description or (self._home and tool.description is not None):
            spec["description"] = tool.description
        elif not self._home:
            self._losses.approximated("tools.description", "Kiro wants one, so the name stands in")
            spec["description"] = tool.name
        out: Json = {"toolSpecification": spec}
        if self._home:
            return overlay(out, tool.extra)
        if tool.strict:
            self._losses.dropped("tools.strict")
        if tool.cache is not None:
            self._losses.dropped("tools.cache_control")
        self._losses.unknown(tool.extra, "tools")
        return out
