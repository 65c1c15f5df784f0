"""Citations in a relayed history that its provider would refuse.

An Anthropic client sends back what an answer cited. Where another provider made the answer, the translator had no proof
that Anthropic's search had found the page, and left ``encrypted_index`` empty; Anthropic takes that back with its own
proof only (docs.claude.com, web search tool). Such citations are left out, by splicing, as ``thoughts`` does it.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from omni_wire.body import Body
from omni_wire.formats import WireFormat

LOST: Final = ("messages.content.citations",)
_BAD: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_ROWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_MARK: Final = b'"encrypted_index"'


class _Cited(msgspec.Struct):
    type: Any = None
    encrypted_index: Any = None


_CITED: Final = msgspec.json.Decoder(_Cited)


def unfound(wire_format: WireFormat, body: Body, edits: dict[str, Any]) -> dict[str, Any]:
    """``edits`` of the body that leave such citations out too; the same ones where there is none."""
    if wire_format is not WireFormat.ANTHROPIC_MESSAGES:
        return edits
    raw = bytes(edits.get("messages", b"")) or body.raw("messages")
    if _MARK not in raw:
        return edits
    try:
        mended = _each(raw, "content", _without)
    except _BAD:
        return edits
    return edits | {"messages": msgspec.Raw(mended)} if mended != raw else edits


def _each(rows: bytes, key: str, change: Callable[[bytes], bytes]) -> bytes:
    """A list of objects with ``key`` changed in each that has the mark; its very bytes where nothing is."""
    out = []
    changed = False
    for row in map(bytes, _ROWS.decode(rows)):
        if _MARK in row:
            fields = _OBJECT.decode(row)
            held = bytes(fields.get(key, b""))
            new = change(held) if held.startswith(b"[") else held
            if new != held:
                changed = True
                fields = {name: value for name, value in fields.items() if name != key or new}
                row = msgspec.json.encode(fields | ({key: msgspec.Raw(new)} if new else {}))
        out.append(row)
    return b"[" + b",".join(out) + b"]" if changed else rows


def _without(blocks: bytes) -> bytes:
    return _each(blocks, "citations", _found)


def _found(citations: bytes) -> bytes:
    """Those that have their proof; empty where none has."""
    rows = [bytes(row) for row in _ROWS.decode(citations)]
    kept = [row for row in rows if not _is_unfound(_CITED.decode(row))]
    if len(kept) == len(rows):
        return citations
    return b"[" + b",".join(kept) + b"]" if kept else b""


def _is_unfound(cited: _Cited) -> bool:
    return cited.type == "web_search_result_location" and not cited.encrypted_index
