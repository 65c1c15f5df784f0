"""Cursor's StreamUnifiedChatWithTools: protobuf in the frames of Connect (connectrpc.com/docs/protocol).

Field numbers as public clients of it have them: ``aiserver.v1`` in zhengwenj/cursor-api, read 2026-11-28. A message is
read into a plain dict by ``unpack``, which is what the other formats get from JSON.
"""

import binascii
import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from omni_wire.errors import GatewayError, InvalidRequest, PermissionDenied

from omni_simulator.formats.base import encode
from omni_simulator.reading import Notes, filled, obj, text
from omni_simulator.values import CREATED, Answer, Ask, Call, Frame, Frames, Tool

_MCP = 19
_PREFIX = "mcp_custom_"
# connectrpc.com/docs/protocol, "Error codes".
_CODES = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    429: "resource_exhausted",
    501: "unimplemented",
    503: "unavailable",
    504: "deadline_exceeded",
    529: "unavailable",
}


class CursorFormat:
    request_id_header = b"x-request-id"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        notes = Notes()
        if body.get("instructions"):
            notes.said(body["instructions"])
        for index, item in enumerate(filled(body.get("conversation"), "conversation")):
            _read_message(notes, item, f"conversation[{index}]")
        tools = tuple(_tool(tool, index) for index, tool in enumerate(body["tools"]))
        return notes.ask(
            model=text(body.get("model"), "model_details.model_name"),
            seed=seed,
            stream=True,
            tools=tools,
            choice="none" if body["no_tools"] else "auto",
            max_output=None,
            schema=notes.worded_schema(),
            framing="connect",
        )

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        return b"".join(data for data, _ in self.frames(ask, answer).frames)

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        frames: list[Frame] = [(_frame(field(5, field(1, "." * 16))), 0)]
        frames += [(_chat(field(25, field(1, piece))), 1) for piece in answer.thinking]
        if answer.thinking:
            frames.append((_chat(field(25, field(2, answer.signature) + field(4, 1))), 0))
        frames += [(_chat(field(1, piece)), 1) for piece in answer.text]
        for index, call in enumerate(answer.calls):
            frames.append((_call(call, index + 1, "", last=False), 1))
            frames += [(_call(call, index + 1, piece, last=False), 1) for piece in call.pieces]
            frames.append((_call(call, index + 1, "", last=True), 0))
        return Frames([*frames, (_frame(b"{}", end=True), 0)], len(frames))

    def count(self, tokens: int) -> bytes:
        return encode({"tokens": tokens})

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return encode(_error(error))

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        return _frame(encode({"error": _error(error)}), end=True)

    def model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "cursor"}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {"models": [{"name": name} for name in names]}


def unpack(body: bytes) -> dict[str, Any]:
    """What a request asks, in plain words. Raises ``InvalidRequest`` for whatever is no such request."""
    try:
        flags, length = struct.unpack_from(">BI", body)
        payload = body[5:]
        if len(payload) != length or flags > 1:
            raise InvalidRequest("the body is not one Connect frame")
        message = _fields(zlib.decompress(payload, 31) if flags else payload)
        request = _fields(message[1][-1])
        return {
            "conversation": [_plain(_fields(item)) for item in request.get(1, ())],
            "instructions": _inner_text(request, 3, 1),
            "model": _inner_text(request, 5, 1),
            "tools": [{"name": _text(tool, 1), "schema": _text(tool, 3)} for tool in map(_fields, request.get(34, ()))],
            "no_tools": bool(request.get(48, [0])[-1]) and bool(request.get(34)),
        }
    except (struct.error, zlib.error, KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError) as e:
        raise InvalidRequest(f"the body is not a request: {e!r}") from e


def check_client(headers: Mapping[bytes, bytes]) -> None:
    """Raises ``PermissionDenied`` for a client that says who it is, but not as Cursor's does."""
    told = headers.get(b"x-cursor-checksum")
    if told is None:
        return
    if not machine_of(told.decode("latin-1"))[1] or not headers.get(b"x-cursor-client-version"):
        raise PermissionDenied("this version of the client is not supported")


def machine_of(checksum: str) -> tuple[int, str]:
    """The time, in steps of 1,000 seconds, and the machine that a checksum tells; ``(0, "")`` where it tells none."""
    try:
        veiled = b64decode(checksum[:8], altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return 0, ""
    if len(veiled) != 6:
        return 0, ""
    before = (165, *veiled)
    high, low, *step = (((veiled[at] - at) % 256) ^ before[at] for at in range(6))
    told = step[-2:] == [high, low]
    return (int.from_bytes(bytes(step), "big"), checksum[8:]) if told else (0, "")


def _plain(message: dict[int, list[Any]]) -> dict[str, Any]:
    results = []
    for given in map(_fields, message.get(18, ())):
        call = _fields(given[11][-1]) if 11 in given else {}
        outcome = _fields(given[8][-1]) if 8 in given else {}
        mcp = _fields(call[27][-1]) if 27 in call else {}
        results.append(
            {
                "id": _text(given, 1),
                "arguments": _inner_text(mcp, 1, 3) or _text(given, 5) if call else None,
                "text": _inner_text(given, 9, 2) if 9 in given else _inner_text(outcome, 28, 2),
                "given": 8 in given or 9 in given,
                "failed": 9 in given,
                "images": _images(given),
            }
        )
    thought = _fields(message[45][-1]) if 45 in message else {}
    return {
        "text": _text(message, 1),
        "by_user": message.get(2, [0])[-1] == 1,
        "thought": _text(thought, 1),
        "signature": _text(thought, 2),
        "images": _images(message),
        "results": results,
    }


def _images(message: dict[int, list[Any]]) -> list[str]:
    """Base64 of each; the format names no type."""
    return [b64encode(_fields(image)[1][-1]).decode() for image in message.get(10, ())]


def _read_message(notes: Notes, message: dict[str, Any], where: str) -> None:
    if not message["by_user"]:
        notes.model_spoke()
    if message["text"]:
        notes.said(message["text"], by_user=message["by_user"])
    if message["thought"]:
        notes.said(message["thought"])
    notes.vouched(message["signature"], f"{where}.thinking.signature")
    for image in message["images"]:
        notes.shown("", image, f"{where}.images")
    for result in message["results"]:
        if result["arguments"] is not None:
            notes.called(result["id"], result["arguments"])
    for result in message["results"]:
        if result["given"]:
            notes.returned(result["id"], result["text"], failed=result["failed"], where=where)
            for image in result["images"]:
                notes.shown("", image, f"{where}.tool_results.images")


def _tool(tool: dict[str, Any], index: int) -> Tool:
    try:
        schema = msgspec.json.decode(tool["schema"] or "{}")
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"mcp_tools[{index}].parameters: not JSON") from error
    return Tool(text(tool["name"], f"mcp_tools[{index}].name"), obj(schema, f"mcp_tools[{index}].parameters"))


def _error(error: GatewayError) -> dict[str, Any]:
    code = _CODES.get(error.status, "internal" if error.status >= 500 else "failed_precondition")
    return {"code": code, "message": error.message}


# ---- the wire -------------------------------------------------------------------------------------------------------


def _frame(payload: bytes, *, end: bool = False) -> bytes:
    return struct.pack(">BI", 2 if end else 0, len(payload)) + payload


def _chat(inner: bytes) -> bytes:
    return _frame(field(2, inner))


def _call(call: Call, index: int, piece: str, *, last: bool) -> bytes:
    tool = field(1, call.name) + field(3, piece) + field(4, "custom")
    inner = field(1, _MCP) + field(3, f"call_{call.id}") + field(9, _PREFIX + call.name) + field(27, field(1, tool))
    return _frame(field(1, inner + field(48, index) + (field(15, 1) if last else field(14, 1))))


def field(number: int, value: int | str | bytes) -> bytes:
    """One protobuf field; text and messages are both bytes with a length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def fields_of(data: bytes) -> Any:
    """A message for a reader: lists of numbers, texts and messages by the number of their field."""
    told: dict[str, list[Any]] = {}
    for number, values in _fields(data).items():
        told[str(number)] = [value if isinstance(value, int) else _guessed(value) for value in values]
    return told


def _guessed(data: bytes) -> Any:
    """Text where it reads as such, a message where it can be one, else hexadecimal digits."""
    with suppress(UnicodeDecodeError):
        said = data.decode()
        if said[:1] != "\n" and said.replace("\n", "").isprintable():
            return said
    try:
        return fields_of(data)
    except (KeyError, IndexError):
        return data.hex()


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _fields(data: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind = tag & 7
        value: Any
        if kind == 0:
            value, at = _read_varint(data, at)
        else:
            length, at = _read_varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + length], at + length
            if at > len(data):
                raise IndexError("it breaks off")
        found.setdefault(tag >> 3, []).append(value)
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at += 1
        shift += 7
        if data[at - 1] < 128:
            return value, at
        if shift > 63:
            raise IndexError("a number without an end")


def _text(message: dict[int, list[Any]], number: int) -> str:
    found: str = message.get(number, [b""])[-1].decode()
    return found


def _inner_text(message: dict[int, list[Any]], number: int, inner: int) -> str:
    return _text(_fields(message[number][-1]), inner) if number in message else ""
