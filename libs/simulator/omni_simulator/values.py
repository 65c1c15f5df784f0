"""What was asked and what is answered, in no wire format's words."""

from base64 import b64decode, b64encode
from typing import Any, Literal

import msgspec
from omni_wire.usage import Usage

Finish = Literal["stop", "length", "tool_calls", "filter"]
Framing = Literal["sse", "array", "lines", "connect", "events"]

CREATED = 1_767_225_600
"""The time stamp in every answer, Unix seconds (2026-01-01): answers derive from the request alone."""


class Tool(msgspec.Struct, frozen=True):
    """``custom`` tools take free text (``arguments`` of a call is that text) and have an empty schema."""

    name: str
    schema: dict[str, Any]
    custom: bool = False
    namespace: str = ""


class Result(msgspec.Struct, frozen=True):
    """What a tool gave back since the model last spoke."""

    text: str
    failed: bool = False


class Shown(msgspec.Struct, frozen=True):
    """An image, a document or a sound as it came. ``type`` is its MIME type where the format names one; ``bytes`` and
    ``crc32`` are those of the decoded data, 0 and empty where the request names an address instead."""

    type: str = ""
    bytes: int = 0
    crc32: str = ""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the simulated model sees it.

    ``choice`` is ``auto``, ``none``, ``required`` or ``=name``. ``schema`` is the structured output asked for.
    ``framing`` says how a stream of it is framed: server-sent events, one JSON array (Gemini without alt=sse), one
    JSON object a line (Ollama), Connect's frames (Cursor) or AWS's event stream. ``shown`` describes what ``media``
    counts; ``signed`` counts the signatures of ours that came back. ``choices`` is how many answers are asked for, in
    the formats that can.
    """

    model: str
    seed: str
    stream: bool
    texts: tuple[str, ...]
    last_user: str
    media: int
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    parallel: bool = True
    results: tuple[Result, ...] = ()
    max_output: int | None = None
    stops: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    include_usage: bool = True
    encrypted_reasoning: bool = False
    framing: Framing = "sse"
    shown: tuple[Shown, ...] = ()
    signed: int = 0
    choices: int = 1


class Source(msgspec.Struct, frozen=True):
    """An address, and what of the answer's text cites it, in characters."""

    url: str
    title: str
    start: int
    end: int


class Call(msgspec.Struct, frozen=True):
    """``arguments`` is JSON text, or free text for a custom tool; ``pieces`` is the same, cut into deltas."""

    id: str
    name: str
    arguments: str
    pieces: tuple[str, ...]
    custom: bool = False
    namespace: str = ""

    @property
    def tokens(self) -> int:
        return 1 + len(self.pieces)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. ``thinking`` and ``text`` are pieces: one token, and one delta, each. Where several are
    asked for, all say the same, and ``usage`` is of them all."""

    seed: str
    thinking: tuple[str, ...]
    text: tuple[str, ...]
    calls: tuple[Call, ...]
    finish: Finish
    stop_sequence: str | None
    usage: Usage
    show_usage: bool
    cited: tuple[Source, ...] = ()

    @property
    def signature(self) -> str:
        """What vouches for the reasoning; base64, as vendors send it."""
        return b64encode(_VOUCHES + self.seed.encode()).decode()


_VOUCHES = b"simulated signature of "


def is_signature(text: str) -> bool:
    """Whether ``text`` is a signature that an answer of the simulator carried."""
    try:
        return unbase64(text).startswith(_VOUCHES)
    except ValueError:
        return False


def unbase64(text: str) -> bytes:
    """Either alphabet is taken, as Google's own SDK writes the one for URLs. ``ValueError`` for anything else."""
    return b64decode(text.translate(_FROM_URLS).encode(), validate=True)


_FROM_URLS = str.maketrans("-_", "+/")


Frame = tuple[bytes, int]
"""One event of a stream as bytes, and how many output tokens it carries."""


class Frames(msgspec.Struct, frozen=True):
    """``ending`` is the index of the first frame that says how the answer ended."""

    frames: list[Frame]
    ending: int
