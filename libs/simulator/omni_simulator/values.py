"""What was asked and what is answered, in no wire format's words."""

from base64 import b64encode
from typing import Any, Literal

import msgspec
from omni_wire.usage import Usage

Finish = Literal["stop", "length", "tool_calls", "filter"]

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


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A request as the simulated model sees it.

    ``choice`` is ``auto``, ``none``, ``required`` or ``=name``. ``schema`` is the structured output asked for.
    ``framing`` says how a stream of it is framed: server-sent events, or one JSON array (Gemini without alt=sse).
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
    framing: Literal["sse", "array"] = "sse"


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
    """A whole answer. ``thinking`` and ``text`` are pieces: one token, and one delta, each."""

    seed: str
    thinking: tuple[str, ...]
    text: tuple[str, ...]
    calls: tuple[Call, ...]
    finish: Finish
    stop_sequence: str | None
    usage: Usage
    show_usage: bool

    @property
    def signature(self) -> str:
        """What vouches for the reasoning; base64, as vendors send it."""
        return b64encode(f"simulated signature of {self.seed}".encode()).decode()


Frame = tuple[bytes, int]
"""One event of a stream as bytes, and how many output tokens it carries."""


class Frames(msgspec.Struct, frozen=True):
    """``ending`` is the index of the first frame that says how the answer ended."""

    frames: list[Frame]
    ending: int
