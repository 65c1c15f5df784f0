"""One target a decoder: what it does with bytes, what must hold of it, and the honest bytes it starts from."""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
from omni_translator.domain.codec import Codec, Reply
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import check, fold
from omni_translator.domain.model import Conversation, Response
from omni_wire.errors import WireError

from tests.codecs.support import TRANSCRIPTS
from tools.wire_formats import answers, requests
from tools.wire_formats.probe import ANSWER, REQUEST, example

REPLY: Final = Reply("id-1", "model-1", 1, True)
KINDS: Final = ("request", "response", "stream")


class Target(msgspec.Struct, frozen=True):
    """``run`` gives whether the bytes were taken; anything it raises is a finding."""

    name: str
    run: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]


def _request(codec: Codec) -> Callable[[bytes], bool]:
    """What is read can be written: in its own format (and then it reads the same), and in every other."""

    def run(data: bytes) -> bool:
        try:
            conversation = codec.decode_request(data)
        except WireError:
            return False
        for target in CODECS.values():
            written = _written(target, conversation)
            if written is not None:
                _read_back(target, written, codec, conversation)
        return True

    return run


def _written(target: Codec, conversation: Conversation) -> bytes | None:
    try:
        return target.encode_request(conversation).body
    except WireError:
        return None


def _read_back(target: Codec, written: bytes, codec: Codec, conversation: Conversation) -> None:
    json.loads(written)
    try:
        back = target.decode_request(written)
    except WireError:
        if target is codec:
            raise AssertionError("what its own codec wrote cannot be read") from None
        return
    again = _written(target, back) if target is codec else None
    if again is not None and again != written:
        raise AssertionError("written, read and written again it is something else")


def _response(codec: Codec) -> Callable[[bytes], bool]:
    def run(data: bytes) -> bool:
        try:
            response = codec.decode_response(data)
        except WireError:
            return False
        for target in CODECS.values():
            _answered(target, response)
        return True

    return run


def _answered(target: Codec, response: Response) -> None:
    try:
        written = target.encode_response(response, REPLY).body
    except WireError:
        return
    json.loads(written)


def _stream(codec: Codec) -> Callable[[bytes], bool]:
    """Events obey the grammar, and every format can tell them. The first byte says where the rest is cut in two."""

    def run(data: bytes) -> bool:
        cut = len(data) * data[0] // 256 if data else 0
        decoder, events = codec.stream_decoder(), []
        error = ""
        try:
            for chunk in (data[1:cut], data[max(1, cut) :]):
                events += decoder.feed(chunk)
            events += decoder.end()
        except WireError as failure:
            error = str(failure)
        state = check(events)
        for target in CODECS.values():
            encoder = target.stream_encoder(REPLY)
            for event in events:
                encoder.emit(event)
        if state == "finished":
            fold(events)
        return not error and state == "finished"

    return run


_MAKERS: Final = {"request": _request, "response": _response, "stream": _stream}


def _seeds(codec: Codec, kind: str) -> tuple[bytes, ...]:
    """The transcripts, the sources of the pairs, and the examples of the matrix of wire formats."""
    form = codec.format
    stored = TRANSCRIPTS / form
    pairs = TRANSCRIPTS / "pairs" / "sources"
    if kind == "request":
        rows: Any = [example(REQUEST[form], row.says[form]) for row in requests.ROWS if form in row.says]
        return ((pairs / f"{form}.request.json").read_bytes(), *map(msgspec.json.encode, rows))
    if kind == "response":
        rows = [example(ANSWER[form], row.says[form]) for row in answers.ROWS if form in row.says]
        whole = [path.read_bytes() for path in sorted(stored.glob("*.json"))]
        return (*whole, (pairs / f"{form}.answer.json").read_bytes(), *map(msgspec.json.encode, rows))
    streams = [*sorted(stored.glob("*.sse")), *sorted(stored.glob("*.array")), pairs / f"{form}.answer.sse"]
    return tuple(b"\x80" + path.read_bytes() for path in streams)


TARGETS: Final = {
    target.name: target
    for codec in CODECS.values()
    for kind in KINDS
    for target in [Target(f"{codec.format}:{kind}", _MAKERS[kind](codec), _seeds(codec, kind))]
}
