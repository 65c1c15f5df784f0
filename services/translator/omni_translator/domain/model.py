"""The canonical model: what every wire format can say, said once.

A codec reads its own format into these values and writes them back. What a format says that has no place here is kept
as it came: unknown keys in ``extra`` (a tree of the same shape as the node's own JSON, holding only what was not
understood), unknown blocks and tools as ``Opaque``. Both go back to the format they came from and to no other.
"""

from enum import StrEnum
from typing import Any

import msgspec
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

Json = dict[str, Any]


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """Anything that may carry keys its codec did not understand.

    ``item`` is the id its format gives this very node (Responses numbers its items so): an address, worth nothing in
    another format and so no loss there.
    """

    extra: Json = {}
    item: str = ""


class Piece(Node, frozen=True, kw_only=True):
    """A part that may carry a prompt-cache marker, verbatim (for instance ``{"type": "ephemeral"}``)."""

    cache: Json | None = None


# ---- parts ----------------------------------------------------------------------------------------------------------


class Text(Piece, frozen=True):
    text: str


class Image(Piece, frozen=True, kw_only=True):
    """Exactly one of ``data`` (base64, with ``media_type``), ``url`` and ``file_id`` is set; with the latter two
    ``media_type`` is a hint."""

    data: str = ""
    media_type: str = ""
    url: str = ""
    file_id: str = ""
    detail: str = ""


class Audio(Piece, frozen=True, kw_only=True):
    """``data`` is base64; ``format`` is "wav", "mp3", …"""

    data: str
    format: str


class Document(Piece, frozen=True, kw_only=True):
    """Exactly one of ``data`` (base64), ``text``, ``url`` and ``file_id`` is set. ``title`` is its file name."""

    data: str = ""
    media_type: str = ""
    text: str = ""
    url: str = ""
    file_id: str = ""
    title: str = ""


class Reasoning(Node, frozen=True, kw_only=True):
    """What the model thought. ``signature`` proves it to the ``origin`` that gave it, and to nobody else.

    ``full`` marks the thoughts themselves in a format that tells them from their summary.
    """

    text: str
    origin: WireFormat
    signature: str = ""
    full: bool = False


class ToolCall(Piece, frozen=True, kw_only=True):
    """``arguments`` is JSON text as the model wrote it, so possibly not JSON at all; empty means no arguments.

    Of a ``freeform`` call it is the text itself. ``namespace`` is that of the tool. ``signature`` is Gemini's proof of
    the thought that led to the call; no other format signs calls.
    """

    id: str
    name: str
    arguments: str = ""
    freeform: bool = False
    namespace: str = ""
    signature: str = ""


class ToolResult(Piece, frozen=True, kw_only=True):
    """``freeform``: it answers a freeform call."""

    id: str
    parts: "tuple[Part, ...]" = ()
    is_error: bool = False
    freeform: bool = False


class Refusal(Node, frozen=True):
    text: str


class Opaque(msgspec.Struct, frozen=True, kw_only=True):
    """A block only its ``origin`` understands, verbatim. ``slot`` names the list it stood in, where it has several."""

    origin: WireFormat
    data: Json
    slot: str = ""

    @property
    def kind(self) -> str:
        """What to call it in a report: its type, or the key it hangs on (Gemini's blocks have no type)."""
        named = self.data.get("type")
        return named if isinstance(named, str) else next(iter(self.data), "unknown")


class NewTools(Node, frozen=True, kw_only=True):
    """Tools that are offered from this place of the conversation on (Codex's ``additional_tools``)."""

    tools: "tuple[Tool | Opaque, ...]"


Part = Text | Image | Audio | Document | Reasoning | ToolCall | ToolResult | Refusal | NewTools | Opaque


# ---- a request ------------------------------------------------------------------------------------------------------


class Role(StrEnum):
    SYSTEM = "system"
    DEVELOPER = "developer"  # OpenAI's newer name of system
    USER = "user"
    ASSISTANT = "assistant"


class Message(Node, frozen=True, kw_only=True):
    """Tool results are parts of user messages, as in Anthropic's format."""

    role: Role
    parts: tuple[Part, ...]


class Freeform(msgspec.Struct, frozen=True, kw_only=True):
    """That a tool takes any text, or text of a grammar: ``syntax`` is "lark" or "regex", empty means any text."""

    syntax: str = ""
    definition: str = ""


class Namespace(Node, frozen=True, kw_only=True):
    """What tools of one namespace share."""

    name: str
    description: str = ""


class Tool(Piece, frozen=True, kw_only=True):
    """A function the client runs. ``schema`` is JSON Schema; None means no parameters.

    A tool with ``freeform`` takes one text instead. Tools of one namespace stand together and share the one object.
    """

    name: str
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    freeform: Freeform | None = None
    namespace: Namespace | None = None


class ToolChoice(msgspec.Struct, frozen=True, kw_only=True):
    """``mode`` is "auto", "none", "required" or "named" (and then ``name``).

    ``allowed`` names the only tools "auto" and "required" may choose from; empty means all. ``freeform``: the named
    tool is such a one.
    """

    mode: str
    name: str = ""
    freeform: bool = False
    allowed: tuple[str, ...] = ()


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """``temperature`` in OpenAI's range, 0 to 2."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()


class OutputFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Structured output: ``kind`` is "json_schema" or "json_object" (and then there is no schema)."""

    kind: str
    schema: Json | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """How much to think: an ``effort`` by name, or a ``mode`` ("enabled", "adaptive", "disabled") with a budget.

    ``summary`` is how much of it to tell ("auto", "concise", "detailed"); empty leaves it to the provider.
    """

    effort: str = ""
    mode: str = ""
    budget: int | None = None
    summary: str = ""


class Conversation(Node, frozen=True, kw_only=True):
    """One request. ``max_output`` in tokens; ``parallel_tools`` None leaves it to the provider; ``verbosity`` is "low",
    "medium" or "high". ``project`` and ``identity`` are the provider account's, and no client's to say."""

    origin: WireFormat
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool | Opaque, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = Sampling()
    max_output: int | None = None
    output_format: OutputFormat | None = None
    thinking: Thinking | None = None
    verbosity: str = ""
    user: str = ""
    stream: bool = False
    project: str = ""
    identity: str = ""


# ---- an answer ------------------------------------------------------------------------------------------------------


class FinishReason(StrEnum):
    """Why an answer ended. ``OTHER`` is a word only its origin knows (see ``Response.finish_detail``)."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    PAUSE = "pause"
    OTHER = "other"


class Choice(Node, frozen=True, kw_only=True):
    """A further answer to the same request. Its fields are those of ``Response``; ``extra`` is its own alone."""

    parts: tuple[Part, ...]
    finish: FinishReason | None
    finish_detail: str = ""
    stop_sequence: str = ""


class Response(Node, frozen=True, kw_only=True):
    """One answer. ``finish`` None means that it did not end as its format prescribes.

    ``finish_detail`` is the provider's own word, when it says more than ``finish``. ``others`` are further answers to
    the same request, which has asked for several; ``usage`` is of them all.
    """

    origin: WireFormat
    id: str
    model: str
    parts: tuple[Part, ...]
    finish: FinishReason | None
    finish_detail: str = ""
    stop_sequence: str = ""
    usage: Usage | None = None
    others: tuple[Choice, ...] = ()
