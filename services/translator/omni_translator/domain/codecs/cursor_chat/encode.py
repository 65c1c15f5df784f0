"""A request to Cursor, written. It takes text, images by their bytes, tools, and how hard to think: the rest is
declared lost. Ids are made of what they name, for a codec has neither clock nor chance."""

import hashlib
from collections.abc import Sequence
from typing import Final

from omni_wire.connect_frames import write_frame
from omni_wire.errors import WireError

from omni_translator.domain.codec import Encoded
from omni_translator.domain.codecs.cursor_chat import schema
from omni_translator.domain.codecs.cursor_chat.protobuf import message, number, text
from omni_translator.domain.codecs.cursor_chat.schema import HOME, MCP, PREFIX, SERVER
from omni_translator.domain.fields import to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Piece,
    Reasoning,
    Role,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from omni_translator.domain.normal import split_system
from omni_translator.domain.plain import plain
from omni_translator.domain.worded import with_wish

_UNSAID: Final = {"n": 1, "logprobs": False, "store": False, "truncation": "disabled"}


def encode_request(conversation: Conversation) -> Encoded:
    losses = Losses("Cursor")
    conversation = plain(conversation, losses)
    system, turns = _split(conversation, losses)
    tools = b"".join([_tool(tool, losses) for tool in conversation.tools])
    choice = conversation.tool_choice
    disabled = not tools or (choice is not None and choice.mode == "none")
    mode = schema.AGENT_MODE if tools else schema.CHAT_MODE
    written = _Turns(turns, mode, losses).write()
    if not written:
        raise WireError("the conversation holds nothing that Cursor takes", "messages")
    seed = _uuid(written[0][1])
    ids = [_uuid(f"{seed} {at}".encode()) for at in range(len(written))]
    fields = schema.Request
    instructions = _instructions(system, losses)
    request = [
        *(
            message(fields.CONVERSATION, said + text(schema.Message.ID, own) + number(schema.Message.MODE, mode))
            for own, (_, said) in zip(ids, written, strict=True)
        ),
        message(fields.CONTEXT, text(1, instructions)) if instructions else b"",
        message(fields.MODEL, text(1, conversation.model)),
        number(fields.IS_CHAT, 1),
        text(fields.CONVERSATION_ID, seed),
        number(fields.IS_AGENTIC, int(bool(tools))),
        message(fields.SUPPORTED_TOOLS, bytes([MCP])) if tools else b"",
        *(message(fields.HEADERS, text(1, own) + number(3, kind)) for own, (kind, _) in zip(ids, written, strict=True)),
        tools,
        number(fields.MODE, mode),
        number(fields.DISABLE_TOOLS, int(disabled)),
        number(fields.THINKING_LEVEL, _level(conversation, losses)),
        text(fields.MODE_NAME, "Agent" if tools else "Ask"),
    ]
    _declare(conversation, bool(tools), losses)
    return Encoded(write_frame(message(1, b"".join(request))), losses.all())


def _uuid(name: bytes) -> str:
    """The same for the same bytes (version 8 of RFC 9562, whose bits are anybody's)."""
    digits = hashlib.blake2b(name, digest_size=16).hexdigest()
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def _split(conversation: Conversation, losses: Losses) -> tuple[tuple[Part, ...], tuple[Message, ...]]:
    """The instructions, and the turns after them; at home as they stand."""
    messages = conversation.messages
    if conversation.origin is not HOME:
        system, turns = split_system(messages, losses)
        return system, with_wish(turns, conversation.output_format, losses)
    leading = messages[0].parts if messages and messages[0].role is Role.SYSTEM else ()
    return leading, messages[1:] if leading else messages


class _Turns:
    """Writes turns; what calls gave stands with the calls, in the model's message before."""

    def __init__(self, turns: tuple[Message, ...], mode: int, losses: Losses) -> None:
        self._turns = turns
        self._agentic = number(schema.Message.IS_AGENTIC, int(mode == schema.AGENT_MODE))
        self._losses = losses

    def write(self) -> list[tuple[int, bytes]]:
        """Kind and bytes of each message."""
        out: list[tuple[int, bytes]] = []
        taken: set[int] = set()  # results that a call has taken, by identity
        for at, turn in enumerate(self._turns):
            self._losses.unknown(turn.extra, "messages")
            kind = schema.AI if turn.role is Role.ASSISTANT else schema.HUMAN
            body = self._own(turn, kind)
            calls = [part for part in turn.parts if isinstance(part, ToolCall)]
            given = self._given(at, calls) if calls else {}
            taken |= {id(result) for result in given.values()}
            for index, call in enumerate(calls):
                body += message(schema.Message.RESULTS, self._exchange(call, given.get(index), index + 1))
            body += self._unasked(turn, kind, taken)
            if body:
                out.append((kind, number(schema.Message.KIND, kind) + body + self._agentic))
        return out

    def _unasked(self, turn: Message, kind: int, taken: set[int]) -> bytes:
        """Results that no call of the turn before has asked for."""
        body, before = b"", False
        for part in turn.parts:
            if not isinstance(part, ToolResult):
                before = True
            elif kind == schema.AI:
                self._losses.dropped("messages.content.toolresult", "a result is not the model's to give")
            elif id(part) not in taken:
                if before:
                    self._losses.approximated("messages.content.tool_result", "put before what is said beside it")
                body += message(schema.Message.RESULTS, self._exchange(None, part, 0))
        return body

    def _given(self, at: int, calls: Sequence[ToolCall]) -> dict[int, ToolResult]:
        """By the position of its call: each result in the turn after."""
        found: dict[int, ToolResult] = {}
        after = self._turns[at + 1].parts if at + 1 < len(self._turns) else ()
        if at + 1 < len(self._turns) and self._turns[at + 1].role is Role.ASSISTANT:
            return found
        places: list[int] = []
        for number_, part in enumerate(after):
            if not isinstance(part, ToolResult):
                continue
            place = next((p for p, call in enumerate(calls) if call.id == part.id and p not in found), None)
            if place is None:
                continue
            found[place] = part
            places.append(place)
            if any(not isinstance(before, ToolResult) for before in after[:number_]):
                self._losses.approximated("messages.content.tool_result", "put before what is said beside it")
        if places != sorted(places):
            self._losses.approximated("messages.content.tool_result", "put in the order of the calls")
        return found

    def _own(self, turn: Message, kind: int) -> bytes:
        """Everything of a turn but calls and results. Cursor has one thought, one text, then images, for each."""
        texts: list[str] = []
        images: list[bytes] = []
        thinking = b""
        seen = 0  # how far the order has come: 1 text, 2 images, 3 calls
        for part in turn.parts:
            if not isinstance(part, Opaque):
                self._foreign(part)
            place = 0
            match part:
                case Text():
                    place = 1
                    texts.append(part.text)
                case Document() if part.text:
                    place = 1
                    self._losses.approximated("messages.content.document", "sent as text")
                    texts.append(part.text)
                case Image():
                    place = 2
                    images += self._image(part, "messages.content.image")
                case ToolCall():
                    place = 3
                case ToolResult():
                    pass
                case Reasoning() | Opaque() if thinking or kind == schema.HUMAN or not _proof(part):
                    kept = part.kind if isinstance(part, Opaque) else "thinking"
                    self._losses.dropped(f"messages.content.{kept}", "Cursor takes back what it signed itself")
                case Reasoning() | Opaque():
                    thinking = _proof(part)
                case _:
                    self._losses.dropped(f"messages.content.{type(part).__name__.lower()}")
            if (place and place < seen) or (place == 1 and len(texts) > 1):
                self._losses.approximated("messages.content", "texts joined, and put before images and calls")
            seen = max(seen, place)
        said = "\n\n".join(texts)
        body = text(schema.Message.TEXT, said)
        body += b"".join([message(schema.Message.IMAGES, image) for image in images])
        return body + (message(schema.Message.THINKING, thinking) if thinking else b"")

    def _foreign(self, part: Part) -> None:
        if isinstance(part, Opaque):
            return
        if isinstance(part, Piece) and part.cache is not None:
            self._losses.dropped("messages.content.cache_control", "Cursor caches prompts by itself")
        self._losses.unknown(part.extra, "messages.content")

    def _image(self, part: Image, path: str) -> list[bytes]:
        data = schema.unpacked(part.data) if part.data else None
        if not data:
            self._losses.dropped(path, "Cursor takes an image's bytes only, and nothing is fetched here")
            return []
        if schema.media_type(data) != part.media_type:
            self._losses.approximated(f"{path}.media_type", "the bytes must tell it themselves")
        if part.detail and part.detail != "auto":
            self._losses.dropped(f"{path}.detail")
        return [message(1, data)]

    def _exchange(self, call: ToolCall | None, result: ToolResult | None, index: int) -> bytes:
        """A call, and what it gave; either may be missing."""
        fields = schema.Result
        name = call.name if call is not None else ""
        call_id = call.id if call is not None else result.id if result is not None else ""
        out = text(fields.CALL_ID, call_id) + text(fields.NAME, PREFIX + name) + number(fields.INDEX, index)
        if call is not None:
            if call.signature:
                self._losses.signature("messages.content")
            out += text(fields.RAW_ARGUMENTS, call.arguments)
            out += message(fields.CALL, write_call(call.id, call.name, call.arguments, index))
        if result is None:
            return out
        said, images = self._given_text(result)
        if result.is_error:
            out += message(fields.ERROR, text(2, said))
        else:
            given = text(1, name) + text(2, said)
            outcome = schema.Outcome
            out += message(
                fields.RESULT,
                number(outcome.TOOL, MCP)
                + message(outcome.MCP, given)
                + text(outcome.CALL_ID, result.id)
                + number(outcome.INDEX, index),
            )
        return out + b"".join([message(fields.IMAGES, image) for image in images])

    def _given_text(self, result: ToolResult) -> tuple[str, list[bytes]]:
        texts: list[str] = []
        images: list[bytes] = []
        for part in result.parts:
            self._foreign(part)
            if isinstance(part, Text):
                if texts or images:
                    self._losses.approximated("messages.content.tool_result.content", "texts joined, before images")
                texts.append(part.text)
            elif isinstance(part, Image):
                images += self._image(part, "messages.content.tool_result.content.image")
            else:
                kind = part.kind if isinstance(part, Opaque) else type(part).__name__.lower()
                self._losses.dropped(f"messages.content.tool_result.content.{kind}")
        return "\n\n".join(texts), images


def write_call(call_id: str, name: str, arguments: str, index: int = 0) -> bytes:
    """A ClientSideToolV2Call of a tool of ours."""
    tool = (
        text(schema.Tool.NAME, name) + text(schema.Tool.PARAMETERS, arguments) + text(schema.Tool.SERVER, SERVER)
    )  # fmt: skip
    return (
        number(schema.Call.TOOL, MCP)
        + text(schema.Call.ID, call_id)
        + text(schema.Call.NAME, PREFIX + name)
        + message(schema.Call.MCP, message(1, tool))
        + number(schema.Call.INDEX, index)
    )


def _proof(part: Reasoning | Opaque) -> bytes:
    """A thought that Cursor signed or closed itself; nothing for any other."""
    if part.origin is not HOME:
        return b""
    if isinstance(part, Opaque):
        redacted = part.data.get("redacted_thinking")
        return text(schema.Thinking.REDACTED, redacted) if isinstance(redacted, str) else b""
    return text(schema.Thinking.TEXT, part.text) + text(schema.Thinking.SIGNATURE, part.signature)


def _instructions(system: tuple[Part, ...], losses: Losses) -> str:
    texts: list[str] = []
    for part in system:
        if not isinstance(part, Text):
            losses.dropped(f"system.{type(part).__name__.lower()}", "Cursor's instructions are text")
            continue
        if part.cache is not None:
            losses.dropped("system.cache_control", "Cursor caches prompts by itself")
        losses.unknown(part.extra, "system")
        if texts:
            losses.approximated("system", "texts joined")
        texts.append(part.text)
    return "\n\n".join(texts)


def _tool(tool: Tool | Opaque, losses: Losses) -> bytes:
    if isinstance(tool, Opaque):
        losses.dropped(f"tools.{tool.kind}", "a tool of the other provider's own")
        return b""
    if tool.strict:
        losses.dropped("tools.strict", "Cursor has no such switch")
    if tool.cache is not None:
        losses.dropped("tools.cache_control", "Cursor caches prompts by itself")
    losses.unknown(tool.extra, "tools")
    fields = schema.Tool
    parameters = to_json(tool.schema).decode() if tool.schema is not None else ""
    return message(
        schema.Request.MCP_TOOLS,
        text(fields.NAME, tool.name)
        + text(fields.DESCRIPTION, tool.description or "")
        + text(fields.PARAMETERS, parameters)
        + text(fields.SERVER, SERVER),
    )


def _level(conversation: Conversation, losses: Losses) -> int:
    """Medium or high; below that Cursor's own default, which its protocol does not name."""
    thinking = conversation.thinking
    if thinking is None:
        return 0
    if thinking.summary:
        losses.dropped("reasoning.summary", "Cursor tells thoughts as it likes")
    if thinking.mode:
        losses.approximated("thinking", "Cursor knows a medium and a high level only")
    if thinking.mode == "disabled":
        return 0
    if thinking.budget is not None:
        return 0 if thinking.budget < 2048 else 1 if thinking.budget <= 10240 else 2
    levels = {name: level for level, name in schema.LEVELS.items()}
    if thinking.effort and thinking.effort not in levels:
        losses.approximated("reasoning_effort", "Cursor knows a medium and a high level only")
        return 2 if thinking.effort in ("xhigh", "max") else 0
    return levels.get(thinking.effort, 0)


def _declare(conversation: Conversation, tools: bool, losses: Losses) -> None:
    """What Cursor has no place for at all."""
    sampling = conversation.sampling
    for field in ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty"):
        if getattr(sampling, field) is not None:
            losses.dropped(field)
    if sampling.stop:
        losses.dropped("stop")
    if conversation.max_output is not None:
        losses.dropped("max_tokens")
    choice = conversation.tool_choice
    if choice is not None and not tools:
        losses.dropped("tool_choice", "there are no tools to choose from")
    elif choice is not None and (choice.mode not in ("auto", "none") or choice.allowed):
        losses.dropped("tool_choice", "Cursor leaves the choice to the model")
    if conversation.parallel_tools is False:
        losses.dropped("parallel_tool_calls", "Cursor calls in parallel whenever it sees fit")
    if conversation.verbosity:
        losses.dropped("text.verbosity")
    if conversation.user:
        losses.dropped("user")
    if conversation.origin is not HOME:
        losses.unknown(conversation.extra, unsaid=_UNSAID)
