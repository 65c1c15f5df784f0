"""One target a decoder: what it does with bytes, what must hold of it, and the honest bytes it starts from."""

import json
import os
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from omni_simulator.formats.aws_frames import frame
from omni_translator.domain.codec import Codec, Reply
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import check, fold
from omni_translator.domain.model import Conversation, Response
from omni_wire.aws_event_stream import MessageSplitter
from omni_wire.connect_frames import ConnectFrame, ConnectSplitter
from omni_wire.errors import WireError

from tests.codecs.support import CURSOR, TRANSCRIPTS, ending
from tools.wire_formats import answers, requests
from tools.wire_formats.probe import ANSWER, REQUEST, example

REPLY: Final = Reply("id-1", "model-1", 1, True)
KINDS: Final = ("request", "response", "stream")
FRAMED: Final = ".events"  # streams in AWS's frames
# Of so many inputs that are taken one is also written in every format, which costs thirty times what reading it does.
EVERY: Final = int(os.environ.get("EVERY", "1"))


class Target(msgspec.Struct, frozen=True):
    """``run`` gives whether the bytes were taken; anything it raises is a finding. ``enough`` of 2,000 damaged inputs
    must be taken, or nothing behind the decoder would be reached: fewer where damage mostly breaks a length."""

    name: str
    run: Callable[[bytes], bool]
    seeds: tuple[bytes, ...]
    enough: int = 200


def _request(codec: Codec) -> Callable[[bytes], bool]:
    """What is read can be written: in its own format (and then it reads the same), and in every other."""

    def run(data: bytes) -> bool:
        try:
            conversation = codec.decode_request(data)
        except WireError:
            return False
        for target in _targets(data):
            written = _written(target, conversation)
            if written is not None:
                _read_back(target, written, codec, conversation)
        return True

    return run


def _targets(data: bytes) -> Iterable[Codec]:
    """The formats to write what was read in: all, or none where that is not this input's turn."""
    return () if zlib.crc32(data) % EVERY else CODECS.values()


def _written(target: Codec, conversation: Conversation) -> bytes | None:
    try:
        return target.encode_request(conversation).body
    except WireError:
        return None


def _read_back(target: Codec, written: bytes, codec: Codec, conversation: Conversation) -> None:
    _check(target, written)
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
        for target in _targets(data):
            _answered(target, response)
        return True

    return run


def _answered(target: Codec, response: Response) -> None:
    try:
        written = target.encode_response(response, REPLY).body
    except WireError:
        return
    _check(target, written)


def _check(codec: Codec, written: bytes) -> None:
    """A body is JSON, but for Cursor's: one frame or more, each whole."""
    if codec is not CURSOR:
        json.loads(written)
        return
    splitter = ConnectSplitter()
    if not splitter.feed(written) or splitter.rest or splitter.error is not None:
        raise AssertionError("not whole frames")


def _stream(codec: Codec) -> Callable[[bytes], bool]:
    """Events obey the grammar, and every format can tell them. The first byte says where the rest is cut in two."""
    framed = ending(codec) == FRAMED

    def run(data: bytes) -> bool:
        if framed:
            data = data[:1] + _sealed(data[1:])
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
        for target in _targets(data):
            encoder = target.stream_encoder(REPLY)
            for event in events:
                encoder.emit(event)
        if state == "finished":
            fold(events)
        return not error and state == "finished"

    return run


def _event_stream(data: bytes) -> bool:
    splitter = MessageSplitter()
    try:
        return bool([*splitter.feed(data[: len(data) // 2]), *splitter.feed(data[len(data) // 2 :])])
    except WireError:
        return False


def _sealed(told: bytes) -> bytes:
    """AWS's frames with right sums around whatever is in them: else no damage would get past the sums."""
    out = []
    for event in told.split(b"\n\n"):
        head, _, payload = event.partition(b"\ndata: ")
        kind, _, name = head.decode("utf-8", "replace").partition(": ")
        out.append(frame({":message-type": kind[:200], f":{kind[:200]}-type": name[:200]}, payload))
    return b"".join(out)


def _unsealed(stream: bytes) -> bytes:
    """The same as lines, whose JSON is damaged by its structure like that of other streams."""
    told = []
    for message in MessageSplitter().feed(stream):
        kind = message.text(":message-type")
        told.append(b"%b: %b\ndata: %b" % (kind.encode(), message.text(f":{kind}-type").encode(), message.payload))
    return b"\n\n".join(told)


_MAKERS: Final = {"request": _request, "response": _response, "stream": _stream}


def _seeds(codec: Codec, kind: str) -> tuple[bytes, ...]:
    """The transcripts, the sources of the pairs, and the examples of the matrix of wire formats."""
    form = codec.format
    stored = TRANSCRIPTS / form
    pairs = TRANSCRIPTS / "pairs" / "sources"
    if codec is CURSOR and kind == "request":
        return ((pairs / f"{form}.request.frames").read_bytes(),)
    if codec is CURSOR and kind == "response":
        return tuple(path.read_bytes() for path in (*sorted(stored.glob("*.frames")), pairs / f"{form}.answer.frames"))
    if kind == "request":
        rows: Any = [example(REQUEST[form], row.says[form]) for row in requests.ROWS if form in row.says]
        return ((pairs / f"{form}.request.json").read_bytes(), *map(msgspec.json.encode, rows))
    if kind == "response":
        rows = [example(ANSWER[form], row.says[form]) for row in answers.ROWS if form in row.says]
        whole = [path.read_bytes() for path in sorted(stored.glob("*.json"))]
        return (*whole, (pairs / f"{form}.answer.json").read_bytes(), *map(msgspec.json.encode, rows))
    endings = (ending(codec), ".array")
    streams = [path for end in endings for path in sorted(stored.glob(f"*{end}"))]
    streams.append(pairs / f"{form}.answer{ending(codec)}")
    told = [path.read_bytes() for path in streams]
    return tuple(b"\x80" + (_unsealed(data) if ending(codec) == FRAMED else data) for data in told)


TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for codec in CODECS.values()
    for kind in KINDS
    for target in [
        Target(f"{codec.format}:{kind}", _MAKERS[kind](codec), _seeds(codec, kind), 60 if codec is CURSOR else 200)
    ]
}


def _connect(data: bytes) -> bool:
    """However it is cut, the frames are the same; none holds more than is allowed."""
    limit = 4096
    whole, error = _frames([data], limit)
    cut = len(data) // 2
    assert _frames([data[:cut], data[cut:]], limit) == (whole, error)
    assert all(len(frame.payload) <= limit for frame in whole)
    return bool(whole)


def _frames(chunks: list[bytes], limit: int) -> tuple[list[ConnectFrame], bool]:
    splitter = ConnectSplitter(limit)
    found: list[ConnectFrame] = []
    for chunk in chunks:
        try:
            found += splitter.feed(chunk)
        except WireError:
            return found, True
    return found, splitter.error is not None


TARGETS["connect.frames"] = Target(
    "connect.frames", _connect, tuple(path.read_bytes() for path in sorted((TRANSCRIPTS / "cursor.chat").iterdir()))
)
TARGETS["aws.event_stream"] = Target(
    "aws.event_stream", _event_stream, tuple(path.read_bytes() for path in sorted(TRANSCRIPTS.glob(f"*/*{FRAMED}")))
)
