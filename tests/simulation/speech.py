"""What simulated providers say: numbered words, in the bytes of two dialects; and what a client of either reads.

A request for N words is answered with "w1 w2 … wN", so whatever a client was sent can be told to be right or not.
"""

import json
import re
from random import Random
from typing import Any

import msgspec
from omni_wire.formats import WireFormat

CHAT, MESSAGES = WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES
_WANTED = re.compile(r"Say (\d+) words")


def text_of(words: int) -> str:
    return " ".join(f"w{number}" for number in range(1, words + 1))


def ask_for(words: int, dialect: WireFormat, model: str, stream: bool, limit: int) -> bytes:
    """``limit`` is in tokens, 0 for none."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": f"Say {words} words"}]}
    if limit or dialect is MESSAGES:
        body["max_tokens"] = limit or 150
    if stream:
        body["stream"] = True
        if dialect is CHAT:
            body["stream_options"] = {"include_usage": True}
    return json.dumps(body).encode()


class Asked(msgspec.Struct, frozen=True):
    """A request as a provider reads it. ``said`` is what somebody said of the answer before, "" if nobody did."""

    text: str
    said: str
    prefilled: bool
    limit: int
    stream: bool


def read_request(body: bytes) -> Asked:
    asked = json.loads(body)
    messages = [(each["role"], _plain(each["content"])) for each in asked["messages"]]
    found = next(found for _, text in messages if (found := _WANTED.search(text)))
    said = "".join(text for role, text in messages if role == "assistant")
    limit = asked.get("max_tokens") or asked.get("max_completion_tokens") or 0
    return Asked(text_of(int(found[1])), said, messages[-1][0] == "assistant", limit, asked.get("stream", False))


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def tokens_of(text: str, chance: Random) -> list[str]:
    """The text in pieces of one to six characters."""
    pieces, at = [], 0
    while at < len(text):
        size = chance.randint(1, 6)
        pieces.append(text[at : at + size])
        at += size
    return pieces


def whole(dialect: WireFormat, tokens: list[str], finish: str, spent: tuple[int, int]) -> bytes:
    """An answer that is not streamed. ``finish`` is "stop" or "length", ``spent`` tokens of input and output."""
    text = "".join(tokens)
    if dialect is CHAT:
        message = {"role": "assistant", "content": text}
        answer: dict[str, Any] = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": spent[0], "completion_tokens": spent[1], "total_tokens": sum(spent)},
        }
    else:
        answer = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": text}],
            "stop_reason": _STOPS[finish],
            "stop_sequence": None,
            "usage": {"input_tokens": spent[0], "output_tokens": spent[1]},
        }
    return json.dumps(answer).encode()


_STOPS = {"stop": "end_turn", "length": "max_tokens"}


def events(dialect: WireFormat, tokens: list[str], finish: str, spent: tuple[int, int]) -> list[tuple[bytes, int]]:
    """The events of a stream, and how many tokens each holds."""
    if dialect is CHAT:
        return _chat_events(tokens, finish, spent)
    return _messages_events(tokens, finish, spent)


def _chat_events(tokens: list[str], finish: str, spent: tuple[int, int]) -> list[tuple[bytes, int]]:
    def chunk(delta: dict[str, Any] | None, reason: str | None = None, **more: Any) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
        same = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return b"data: " + json.dumps(same | {"choices": choices} | more).encode() + b"\n\n"

    usage = {"prompt_tokens": spent[0], "completion_tokens": spent[1], "total_tokens": sum(spent)}
    return [
        (chunk({"role": "assistant", "content": ""}), 0),
        *((chunk({"content": token}), 1) for token in tokens),
        (chunk({}, finish), 0),
        (chunk(None, usage=usage), 0),
        (b"data: [DONE]\n\n", 0),
    ]


def _messages_events(tokens: list[str], finish: str, spent: tuple[int, int]) -> list[tuple[bytes, int]]:
    def event(kind: str, **fields: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind} | fields)}\n\n".encode()

    begun: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
    }
    first, last = {"input_tokens": spent[0], "output_tokens": 0}, {"output_tokens": spent[1]}
    delta = {"stop_reason": _STOPS[finish], "stop_sequence": None}
    return [
        (event("message_start", message=begun | {"stop_sequence": None, "usage": first}), 0),
        (event("content_block_start", index=0, content_block={"type": "text", "text": ""}), 0),
        *((event("content_block_delta", index=0, delta={"type": "text_delta", "text": token}), 1) for token in tokens),
        (event("content_block_stop", index=0), 0),
        (event("message_delta", delta=delta, usage=last), 0),
        (event("message_stop"), 0),
    ]


def error_event(dialect: WireFormat) -> bytes:
    said = {"type": "overloaded_error", "message": "too much to do"}
    if dialect is CHAT:
        return b"data: " + json.dumps({"error": said}).encode() + b"\n\n"
    return b"event: error\ndata: " + json.dumps({"type": "error", "error": said}).encode() + b"\n\n"


class Heard(msgspec.Struct):
    """What a client made of an answer. ``ends`` counts ends of the stream, ``faults`` what no stream may have, and
    ``garbled`` events that are no JSON."""

    text: str = ""
    finish: str = ""
    begins: int = 0
    ends: int = 0
    garbled: int = 0
    faults: tuple[str, ...] = ()


def hear(dialect: WireFormat, stream: bool, data: bytes) -> Heard:
    if stream:
        return _hear_stream(dialect, data)
    answer = json.loads(data)
    if dialect is CHAT:
        choice = answer["choices"][0]
        return Heard(choice["message"]["content"] or "", choice["finish_reason"], 1, 1)
    text = "".join(part["text"] for part in answer["content"])
    return Heard(text, _REASONS[answer["stop_reason"]], 1, 1)


_REASONS = {"end_turn": "stop", "max_tokens": "length", None: ""}


def _hear_stream(dialect: WireFormat, data: bytes) -> Heard:
    heard = Heard()
    faults = [] if not data or data.endswith(b"\n\n") else ["an event is not whole"]
    for raw in data.split(b"\n\n"):
        found = [line.removeprefix(b"data:").strip() for line in raw.split(b"\n") if line.startswith(b"data:")]
        if not found:
            continue
        if heard.ends:
            faults.append("something comes after the end")
        if found[0] == b"[DONE]":
            heard.ends += 1
            continue
        try:
            event = json.loads(found[0])
        except ValueError:
            heard.garbled += 1
            continue
        if dialect is CHAT:
            _hear_chunk(heard, event, faults)
        else:
            _hear_event(heard, event, faults)
    heard.faults = tuple(faults)
    return heard


def _hear_chunk(heard: Heard, event: dict[str, Any], faults: list[str]) -> None:
    for choice in event.get("choices", ()):
        said = choice["delta"].get("content") or ""
        if said and heard.finish:
            faults.append("text comes after the finish")
        heard.text += said
        heard.begins += "role" in choice["delta"] and not said
        if choice.get("finish_reason"):
            if heard.finish:
                faults.append("it finishes twice")
            heard.finish = choice["finish_reason"]


def _hear_event(heard: Heard, event: dict[str, Any], faults: list[str]) -> None:
    kind = event["type"]
    if kind == "message_start":
        heard.begins += 1
    elif kind != "ping" and not heard.begins:
        faults.append(f"{kind} comes before the beginning")
    elif kind == "content_block_delta":
        if heard.finish:
            faults.append("text comes after the finish")
        heard.text += event["delta"]["text"]
    elif kind == "message_delta":
        if heard.finish:
            faults.append("it finishes twice")
        heard.finish = _REASONS[event["delta"]["stop_reason"]]
    elif kind == "message_stop":
        heard.ends += 1
