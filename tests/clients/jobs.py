"""What a client is told to do and what it reports. All of it is also JSON: a client may be a program of its own."""

from typing import Any

import msgspec


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str
    parameters: dict[str, Any]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation. ``results`` answer the calls of the first turn, in their order, in a second one.

    ``image`` is a PNG in base64, shown beside the prompt. ``thinking`` asks for reasoning and for its being told.
    ``key`` is the API key when it is not the right one.
    """

    model: str
    prompt: str = "What is the weather in Paris and in Rome?"
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    results: tuple[str, ...] = ()
    image: str = ""
    schema: dict[str, Any] | None = None
    thinking: bool = False
    key: str = ""


class Call(msgspec.Struct, frozen=True):
    name: str
    args: Any


class Used(msgspec.Struct, frozen=True):
    """Token counts as the SDK shows them, in its dialect's own accounting; None for what it shows nowhere."""

    input: int | None = None
    cached: int | None = None
    written: int | None = None
    output: int | None = None
    reasoning: int | None = None


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One answer as the SDK understood it. ``events`` counts what a stream was made of; 0 for a whole answer."""

    text: str = ""
    thinking: str = ""
    calls: list[Call] = []
    used: Used | None = None
    end: str = ""
    parsed: Any = None
    events: int = 0


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """What the SDK raised: its class and the names of the classes it derives from."""

    kind: str
    family: list[str] = []
    status: int | None = None
    retry_after: str | None = None
    message: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    turns: list[Turn] = []
    raised: Raised | None = None
