"""Thoughts in a relayed history that its provider would refuse.

A client keeps what the model thought and sends it back. Where another provider made the answer, or another one of the
same format, the thought has no proof that this provider takes, and some answer 400 to it. Two remedies, both by
splicing, so that every byte beside such a thought stays what it was:

- ``unproved`` leaves out, before anything is sent, what the gateway itself wrote into a translated answer: a
  ``thinking`` block whose signature is empty, a ``reasoning`` item with an id of ours and no encrypted content; and
  marks a Gemini call without a signature in Google's own words for that. Only bodies that can hold such a thing are
  looked into, and of those the turns that can.
- ``without_proofs`` takes out every proof once a provider has said that it does not accept one (``doubted``). Nothing
  else can tell whose a proof is.

Facts: docs.claude.com (extended thinking), platform.openai.com (reasoning, ``store: false``),
ai.google.dev/gemini-api/docs/thought-signatures; read 2026-11-22.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from omni_catalogue.dialects import UNSIGNED_CALL, wants_thought_signatures
from omni_wire.body import Body
from omni_wire.errors import GatewayError, UpstreamRejected, WireError
from omni_wire.formats import WireFormat

from omni_router.domain.request import nested

Edits = dict[str, Any]

# What a history loses with its unproved thoughts. Gemini's keeps everything: a mark is not a loss.
LOST: Final = {
    WireFormat.ANTHROPIC_MESSAGES: ("messages.content.thinking",),
    WireFormat.OPENAI_RESPONSES: ("input.reasoning",),
}

_BAD: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ROWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MARK: Final = msgspec.Raw(msgspec.json.encode(UNSIGNED_CALL))


def unproved(wire_format: WireFormat, body: Body, model: str) -> Edits:
    """Edits of the body's own fields; none where there is nothing to mend, or nothing that can be read."""
    look = _UNPROVED.get(wire_format)
    if look is None:
        return {}
    try:
        return look(body, model)
    except _BAD:
        return {}


def doubted(wire_format: WireFormat, error: GatewayError) -> bool:
    """Whether a provider refused a request for a proof in it."""
    words = _DOUBTS.get(wire_format)
    return (
        words is not None
        and isinstance(error, UpstreamRejected)
        and error.status == 400
        and words.search(error.message) is not None
    )


def without_proofs(wire_format: WireFormat, raw: bytes) -> bytes | None:
    """The body without any proof of a thought; None when it holds none."""
    look = _WITHOUT.get(wire_format)
    if look is None:
        return None
    try:
        body = Body(raw)
        edits = look(body)
    except (*_BAD, WireError):
        return None
    return body.with_fields(edits) if edits else None


_DOUBTS: Final = {
    WireFormat.ANTHROPIC_MESSAGES: re.compile(r"signature.{0,80}thinking|thinking.{0,80}signature", re.I | re.S),
    WireFormat.OPENAI_RESPONSES: re.compile(r"encrypted[ _]content", re.I),
    WireFormat.GEMINI_GENERATE: re.compile(r"thought[ _]?signature", re.I),
    WireFormat.CLOUDCODE_GENERATE: re.compile(r"thought[ _]?signature", re.I),
}


def _joined(rows: list[bytes]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(rows) + b"]")


# ---- Anthropic ------------------------------------------------------------------------------------------------------


class _Block(msgspec.Struct):
    type: Any = None
    signature: Any = None


class _Said(msgspec.Struct):
    role: Any = None
    content: msgspec.Raw = msgspec.Raw()


class _Turn(msgspec.Struct):
    role: Any = None
    content: list[_Block] | str | None = None


_BLOCK: Final = msgspec.json.Decoder(_Block)
_SAID: Final = msgspec.json.Decoder(_Said)
_TURNS: Final = msgspec.json.Decoder(list[_Turn])
_THOUGHTS: Final = ("thinking", "redacted_thinking")
_CLEARING: Final = "clear_thinking_20251015"  # refused where there is no thinking


def _unsigned_messages(body: Body, model: str) -> Edits:
    raw = body.raw("messages")
    if b'"thinking"' not in raw:
        return {}
    for turn in _TURNS.decode(raw):
        if isinstance(turn.content, list) and any(map(_is_unsigned, turn.content)):
            return _without_blocks(body, raw, _is_unsigned)
    return {}


def _is_unsigned(block: _Block) -> bool:
    return block.type == "thinking" and not block.signature


def _unproved_messages(body: Body) -> Edits:
    return _without_blocks(body, body.raw("messages"), lambda block: block.type in _THOUGHTS)


def _without_blocks(body: Body, raw: bytes, is_out: Callable[[_Block], bool]) -> Edits:
    rows: list[bytes] = []
    changed = pending = False
    for turn in map(bytes, _ROWS.decode(raw)):
        mended, left = turn, None
        said = _SAID.decode(turn) if b'"assistant"' in turn else None
        if said is not None and said.role == "assistant":
            if b'thinking"' in turn:
                mended, left = _turn(said, turn, is_out)
            pending = left is not None and _calls_at_once(left)
        if mended is not turn:
            changed = True
        if mended:
            rows.append(mended)
    if not changed:
        return {}
    return {"messages": _joined(rows)} | (_thinking_off(body) if pending else {})


def _turn(said: _Said, turn: bytes, is_out: Callable[[_Block], bool]) -> tuple[bytes, list[_Block] | None]:
    """A turn without some of its blocks, empty without all of them, and those that are left; the very turn, and None,
    where none is out."""
    if not bytes(said.content).startswith(b"["):
        return turn, None
    blocks = [(bytes(block), _BLOCK.decode(block)) for block in _ROWS.decode(said.content)]
    kept = [(block, read) for block, read in blocks if not is_out(read)]
    if len(kept) == len(blocks):
        return turn, None
    if not kept:
        return b"", []
    fields = _OBJECT.decode(turn) | {"content": _joined([block for block, _ in kept])}
    return msgspec.json.encode(fields), [read for _, read in kept]


def _calls_at_once(blocks: list[_Block]) -> bool:
    """Whether a turn calls tools and does not begin with a thought, which thinking with a budget does not allow."""
    return any(block.type == "tool_use" for block in blocks) and blocks[0].type not in _THOUGHTS


def _thinking_off(body: Body) -> Edits:
    """No thinking with a budget for this request, nor what asks for it."""
    thinking, management = body.get("thinking"), body.get("context_management")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled":
        return {}
    edits: Edits = {"thinking": {"type": "disabled"}}
    listed = management.get("edits") if isinstance(management, dict) else None
    if isinstance(listed, list):
        kept = [edit for edit in listed if not (isinstance(edit, dict) and edit.get("type") == _CLEARING)]
        edits["context_management"] = {**management, "edits": kept} if kept else None
    return edits


# ---- Responses ------------------------------------------------------------------------------------------------------


class _Item(msgspec.Struct):
    type: Any = None
    id: Any = None
    encrypted_content: Any = None


_ITEMS: Final = msgspec.json.Decoder(list[_Item])
_OURS: Final = re.compile(r"rs_.+_[0-9]+")  # as the translator names the reasoning items of a translated answer


def _unsigned_input(body: Body, model: str) -> Edits:
    raw = body.raw("input")
    if b'"rs_' not in raw:
        return {}

    def is_out(item: _Item) -> bool:
        ours = isinstance(item.id, str) and _OURS.fullmatch(item.id) is not None
        return item.type == "reasoning" and not item.encrypted_content and ours

    return _without_items(raw, is_out)


def _unproved_input(body: Body) -> Edits:
    return _without_items(body.raw("input"), lambda item: item.type == "reasoning" and bool(item.encrypted_content))


def _without_items(raw: bytes, is_out: Callable[[_Item], bool]) -> Edits:
    out = [is_out(item) for item in _ITEMS.decode(raw)]
    if not any(out):
        return {}
    rows = _ROWS.decode(raw)
    return {"input": _joined([bytes(row) for row, gone in zip(rows, out, strict=True) if not gone])}


# ---- Gemini ---------------------------------------------------------------------------------------------------------


class _Part(msgspec.Struct):
    functionCall: msgspec.Raw = msgspec.Raw()  # noqa: N815 — Google's name
    function_call: msgspec.Raw = msgspec.Raw()
    thoughtSignature: Any = None  # noqa: N815
    thought_signature: Any = None


class _Content(msgspec.Struct):
    role: Any = None
    parts: list[_Part] = []


_CONTENTS: Final = msgspec.json.Decoder(list[_Content])
_SIGNATURES: Final = ("thoughtSignature", "thought_signature")


def _unsigned_contents(body: Body, model: str) -> Edits:
    """Gemini 3 wants the first call of each of its turns signed."""
    raw = body.raw("contents")
    if (b'"functionCall"' not in raw and b'"function_call"' not in raw) or not wants_thought_signatures(model):
        return {}
    unsigned: dict[int, int] = {}  # turn -> its first call
    for turn, content in enumerate(_CONTENTS.decode(raw)):
        if content.role != "model":
            continue
        for at, part in enumerate(content.parts):
            if len(part.functionCall) or len(part.function_call):
                if not part.thoughtSignature and not part.thought_signature:
                    unsigned[turn] = at
                break
    if not unsigned:
        return {}
    rows = [bytes(row) for row in _ROWS.decode(raw)]
    for turn, first in unsigned.items():
        rows[turn] = _each_part(rows[turn], partial(_marked_at, first))
    return {"contents": _joined(rows)}


def _unproved_contents(body: Body) -> Edits:
    raw = body.raw("contents")
    rows = [bytes(row) for row in _ROWS.decode(raw)]
    mended = [_each_part(row, lambda _, part: _unsigned(part)) if b"ignature" in row else row for row in rows]
    return {"contents": _joined(mended)} if mended != rows else {}


def _unproved_envelope(body: Body) -> Edits:
    """Cloud Code's request, around Gemini's: a client of Gemini's keeps its signatures on the way there."""
    inner = nested(body, "request")
    edits = _unproved_contents(inner) if inner is not None else {}
    return {"request": msgspec.Raw(inner.with_fields(edits))} if inner is not None and edits else {}


def _each_part(content: bytes, change: Callable[[int, bytes], bytes]) -> bytes:
    fields = _OBJECT.decode(content)
    if "parts" not in fields:
        return content
    parts = [change(at, bytes(part)) for at, part in enumerate(_ROWS.decode(fields["parts"]))]
    return msgspec.json.encode(fields | {"parts": _joined(parts)})


def _marked_at(first: int, at: int, part: bytes) -> bytes:
    return _marked(part) if at == first else part


def _marked(part: bytes) -> bytes:
    fields = {key: value for key, value in _OBJECT.decode(part).items() if key not in _SIGNATURES}
    return msgspec.json.encode(fields | {"thoughtSignature": _MARK})


def _unsigned(part: bytes) -> bytes:
    fields = _OBJECT.decode(part)
    if not any(key in fields for key in _SIGNATURES):
        return part
    if "functionCall" in fields or "function_call" in fields:
        return _marked(part)
    left = {key: value for key, value in fields.items() if key not in _SIGNATURES}
    return msgspec.json.encode(left or {"text": ""})


_UNPROVED: Final[dict[WireFormat, Callable[[Body, str], Edits]]] = {
    WireFormat.ANTHROPIC_MESSAGES: _unsigned_messages,
    WireFormat.OPENAI_RESPONSES: _unsigned_input,
    WireFormat.GEMINI_GENERATE: _unsigned_contents,
}
_WITHOUT: Final[dict[WireFormat, Callable[[Body], Edits]]] = {
    WireFormat.ANTHROPIC_MESSAGES: _unproved_messages,
    WireFormat.OPENAI_RESPONSES: _unproved_input,
    WireFormat.GEMINI_GENERATE: _unproved_contents,
    WireFormat.CLOUDCODE_GENERATE: _unproved_envelope,
}
