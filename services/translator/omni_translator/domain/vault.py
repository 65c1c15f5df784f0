"""The rules of the reasoning vault: what of an answer is worth keeping, and where in a later request it belongs.

Theory of operation. A provider signs (or encrypts) what its model thought before it called tools, and wants that back,
unchanged, with the results. A client of another dialect has no place for it and does not send it. So an answer's proofs
are kept beside the ids of its tool calls (``keep``), and a later request that carries those very calls, and goes to
whoever made them, has the proofs put back where they stood (``restore``).

In doubt a proof is left out: a request without it is one that the provider answers, a request with a wrong one is a
400. So they come back only

- to the same format, provider and model (a dated version counts as the model), and to the same account where a proof is
  known or not known not to be bound to it: Anthropic's documentation of extended thinking says that its signatures hold
  on every platform, OpenAI refuses encrypted content of another organisation, Gemini's is silent;
- into a turn whose calls are all there, in order, by name and arguments, and no others;
- all of them or none, at places that a dialect without thoughts cannot have moved: before everything else, or straight
  before a call;
- to Claude only in a request that has the model think.

Sources, read 2026-11-22: docs.claude.com (extended thinking, "preserving thinking blocks"), platform.openai.com
(reasoning, "encrypted reasoning items"), ai.google.dev/gemini-api/docs/thought-signatures.
"""

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from omni_wire.formats import WireFormat

from omni_translator.domain.codecs.anthropic_messages import encode as anthropic_messages
from omni_translator.domain.codecs.bedrock_converse import encode as bedrock_converse
from omni_translator.domain.codecs.gemini_generate.calls import is_made
from omni_translator.domain.fields import json_object, to_json
from omni_translator.domain.model import Conversation, Json, Message, Opaque, Part, Reasoning, Role, ToolCall
from omni_translator.domain.plain import INPUT, client_tools

ANTHROPIC: Final = WireFormat.ANTHROPIC_MESSAGES
RESPONSES: Final = WireFormat.OPENAI_RESPONSES
GEMINI: Final = WireFormat.GEMINI_GENERATE
_GEMINIS: Final = frozenset({GEMINI, WireFormat.CLOUDCODE_GENERATE})  # the second is the first in an envelope
BEDROCK: Final = WireFormat.BEDROCK_CONVERSE
CURSOR: Final = WireFormat.CURSOR_CHAT  # whose history has room for one signed thought a turn
SIGNING: Final = frozenset({ANTHROPIC, RESPONSES, BEDROCK, CURSOR}) | _GEMINIS
# Where Claude is: behind Bedrock by the same rules, its other models sign nothing.
_CLAUDES: Final = frozenset({ANTHROPIC, BEDROCK})

MAX_TURNS: Final = 256  # of a request that are looked for, its last ones
MAX_CHARS: Final = 512 * 1024  # of an answer's thoughts and arguments
_MAX_UNPACKED: Final = 4 * MAX_CHARS  # bytes; what keeps within MAX_CHARS is hardly more
_REDACTED: Final = "redacted_thinking"
_DATE: Final = re.compile(r"(?:[-@]\d{8}|-\d{4}-\d{2}-\d{2})$")
_SORTED: Final = msgspec.json.Encoder(order="sorted").encode


class Thought(msgspec.Struct, frozen=True, array_like=True):
    """A thought as its provider told it; of a ``redacted`` one that is all there is."""

    text: str
    signature: str = ""
    redacted: str = ""


class Call(msgspec.Struct, frozen=True, array_like=True):
    """``digest`` is of its name and arguments; ``before`` are the thoughts straight before it."""

    id: str
    digest: str
    signature: str = ""
    before: tuple[Thought, ...] = ()


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """The proofs of one answer. ``lead`` are the thoughts before everything else; there is at least one call."""

    origin: str
    lead: tuple[Thought, ...]
    calls: tuple[Call, ...]

    @property
    def thinks(self) -> bool:
        return bool(self.lead) or any(call.before for call in self.calls)


def origin(wire_format: WireFormat, provider: str, account: str, model: str) -> str:
    """Who made an answer, or is asked: equal where one takes the other's proofs. Empty where nobody signs, or where it
    is not known who that is."""
    if wire_format not in SIGNING or not provider or not model or (wire_format is not ANTHROPIC and not account):
        return ""
    return "\0".join((wire_format, provider, "" if wire_format is ANTHROPIC else account, family(model)))


def family(model: str) -> str:
    """The model's name without the date of its version."""
    return _DATE.sub("", model.removeprefix("models/"))


# ---- what to keep ---------------------------------------------------------------------------------------------------


def keep(made_by: str, wire_format: WireFormat, answer_id: str, parts: Iterable[Part]) -> Entry | None:
    """The proofs in a finished answer of ``made_by`` (see ``origin``); None where there are none to be had."""
    lead: list[Thought] = []
    calls: list[Call] = []
    waiting: list[Thought] = []
    begun = False  # whether anything but thoughts has come
    for part in _proofs(parts, wire_format):
        if part is None:
            return None
        if isinstance(part, Thought):
            waiting.append(part)
            continue
        if not begun:
            lead, waiting = waiting, []
        begun = True
        if isinstance(part, ToolCall):
            signature = part.signature if wire_format in _GEMINIS else ""
            calls.append(Call(part.id, _digest(part.name, part.arguments), signature, tuple(waiting)))
            waiting = []
        elif waiting:
            return None  # between two texts, which a client may have joined
    entry = Entry(made_by, tuple(lead), tuple(calls))
    if wire_format is CURSOR and (len(lead) > 1 or any(call.before for call in calls)):
        return None
    if waiting or not calls or not (entry.thinks or any(call.signature for call in calls)):
        return None
    ids = {call.id for call in calls}
    # Ids made here of what the call says are not this one call's only.
    if "" in ids or len(ids) < len(calls) or (not answer_id and any(map(is_made, ids))):
        return None
    return entry


def _proofs(parts: Iterable[Part], wire_format: WireFormat) -> Iterator[Thought | Part | None]:
    """The parts, thoughts as what is kept of them; None where keeping the rest would be of no use."""
    group: list[Reasoning] = []  # thoughts whose signature is yet to come: Responses signs the last of an item
    for part in parts:
        if isinstance(part, Reasoning):
            if wire_format in _GEMINIS:
                continue  # a summary for people: its proof is on the call
            if group and group[-1].item != part.item:
                group.clear()
            group.append(part)
            if part.signature:
                # OpenAI tells full thoughts of some models and takes back none.
                if not any(thought.full for thought in group):
                    yield from (Thought(thought.text, thought.signature) for thought in group)
                group.clear()
            elif wire_format in _CLAUDES:
                yield None  # one of several cannot be left out
            continue
        group.clear()
        if not isinstance(part, Opaque):
            yield part
        elif wire_format in _CLAUDES and (redacted := _redacted(part)):
            yield Thought("", redacted=redacted)
        elif wire_format not in _GEMINIS:
            yield None  # a tool of the provider's own, which no other dialect gives back


def _redacted(part: Opaque) -> str:
    data = part.data.get("data") if part.data.get("type") == _REDACTED else None
    if part.origin is BEDROCK:
        held = part.data.get("reasoningContent")
        data = held.get("redactedContent") if isinstance(held, dict) else None
    return data if isinstance(data, str) else ""


def _digest(name: str, arguments: str) -> str:
    """The same for all ways to write the same arguments."""
    said: bytes | None = None
    value = json_object(arguments.strip() or "{}")
    if value is not None:
        try:
            said = _SORTED(_even(value))
        except (RecursionError, ValueError, TypeError, OverflowError):
            said = None
    if said is None:
        said = arguments.encode("utf-8", "surrogatepass")
    named = name.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named + b"\0" + said, digest_size=16).hexdigest()


def _even(value: Any) -> Any:
    """1.0 as 1: JavaScript writes no other."""
    if isinstance(value, dict):
        return {key: _even(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_even(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


# ---- as bytes -------------------------------------------------------------------------------------------------------


def pack(entry: Entry) -> bytes | None:
    """None where an entry holds what is no text."""
    try:
        return zlib.compress(msgspec.msgpack.encode(entry), 1)
    except UnicodeEncodeError:  # half a surrogate pair
        return None


def unpack(data: bytes) -> Entry | None:
    """None of anything that ``pack`` did not make."""
    try:
        return msgspec.msgpack.decode(zlib.decompressobj().decompress(data, _MAX_UNPACKED), type=Entry)
    except (zlib.error, msgspec.MsgspecError, ValueError):
        return None


# ---- where it belongs -----------------------------------------------------------------------------------------------


def wanted(conversation: Conversation) -> list[str]:
    """By which ids the entries of a conversation's turns are known: that of each one's first call."""
    found = [calls[0].id for run in _runs(conversation.messages) if (calls := _calls(run)) and calls[0].id]
    return list(dict.fromkeys(found[-MAX_TURNS:]))


def restore(
    conversation: Conversation, asked: str, wire_format: WireFormat, entries: Mapping[str, Entry]
) -> tuple[Conversation, int]:
    """``conversation``, about to be sent to ``asked`` (see ``origin``), with its proofs; and of how many turns.

    ``entries`` are by the ids of ``wanted``. The conversation bears the model and the output limit it is sent with.
    """
    fitting = {call_id: entry for call_id, entry in entries.items() if entry.origin == asked}
    if not fitting or not asked or conversation.origin is wire_format:
        return conversation, 0
    sent = {(tool.namespace, tool.name): name for name, tool in client_tools(conversation).items()}
    messages: list[Message] = []
    count = 0
    for run in _runs(conversation.messages):
        calls = _calls(run)
        entry = fitting.get(calls[0].id) if calls else None
        if entry is not None and _are(calls, entry, sent):
            messages.append(_spliced(run, entry))
            count += 1
        else:
            messages += run
    restored = msgspec.structs.replace(conversation, messages=tuple(messages))
    if not count or (wire_format in _THINKS and not _THINKS[wire_format](restored)):
        return conversation, 0
    return restored, count


# Whether a request, written, has the model think.
_THINKS: Final = {ANTHROPIC: anthropic_messages.will_think, BEDROCK: bedrock_converse.will_think}


def _runs(messages: tuple[Message, ...]) -> Iterator[list[Message]]:
    """Neighbours that are the model's, which make one turn; every other message by itself."""
    run: list[Message] = []
    for message in messages:
        if message.role is Role.ASSISTANT:
            run.append(message)
            continue
        if run:
            yield run
            run = []
        yield [message]
    if run:
        yield run


def _calls(run: list[Message]) -> list[ToolCall]:
    if run[0].role is not Role.ASSISTANT:
        return []
    return [part for message in run for part in message.parts if isinstance(part, ToolCall)]


def _are(calls: list[ToolCall], entry: Entry, sent: Mapping[tuple[str, str], str]) -> bool:
    if len(calls) != len(entry.calls):
        return False
    for call, kept in zip(calls, entry.calls, strict=True):
        name = sent.get((call.namespace, call.name), call.name)
        arguments = to_json({INPUT: call.arguments}).decode() if call.freeform else call.arguments
        if call.id != kept.id or _digest(name, arguments) != kept.digest:
            return False
    return True


def _spliced(run: list[Message], entry: Entry) -> Message:
    """One message of a run. Thoughts that the client gave back in its own words give way to the originals."""
    wire_format = WireFormat(entry.origin.partition("\0")[0])
    kept = {call.id: call for call in entry.calls}
    parts = _told(entry.lead, wire_format)
    extra: Json = {}
    for message in run:
        extra |= message.extra
        for part in message.parts:
            if isinstance(part, Reasoning) and entry.thinks:
                continue
            if isinstance(part, ToolCall):
                call = kept[part.id]
                parts += _told(call.before, wire_format)
                if call.signature:
                    parts.append(msgspec.structs.replace(part, signature=call.signature))
                    continue
            parts.append(part)
    return Message(role=Role.ASSISTANT, parts=tuple(parts), extra=extra)


def _told(thoughts: tuple[Thought, ...], wire_format: WireFormat) -> list[Part]:
    return [
        Opaque(origin=wire_format, data=_hidden(thought.redacted, wire_format))
        if thought.redacted
        else Reasoning(text=thought.text, origin=wire_format, signature=thought.signature)
        for thought in thoughts
    ]


def _hidden(redacted: str, wire_format: WireFormat) -> Json:
    if wire_format is BEDROCK:
        return {"reasoningContent": {"redactedContent": redacted}}
    return {"type": _REDACTED, "data": redacted}
