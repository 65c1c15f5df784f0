"""What a wire format must be able to do. One object a format, without state; streams get a machine each."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_translator.domain.events import Event
from omni_translator.domain.losses import Loss
from omni_translator.domain.model import Conversation, Response


class Encoded(msgspec.Struct, frozen=True):
    body: bytes
    losses: tuple[Loss, ...] = ()


class ClientTool(msgspec.Struct, frozen=True):
    """What the client called a tool that the provider was offered as a plain function."""

    name: str
    namespace: str = ""
    freeform: bool = False


class Reply(msgspec.Struct, frozen=True):
    """How to address an answer. ``created`` in epoch seconds; ``include_usage`` matters to chat streams only.

    ``array`` matters to Gemini's streams only: one JSON array, as a client gets that does not ask for ``alt=sse``.
    ``tools`` gives calls their client's names back, by the name the provider knows (``plain.client_tools``).
    """

    id: str
    model: str
    created: int = 0
    include_usage: bool = True
    array: bool = False
    tools: Mapping[str, ClientTool] = {}


class StreamDecoder(Protocol):
    """Bytes to events. Chunks may be cut anywhere.

    ``error`` is what went wrong after the events just returned; the next call raises it, and every call after.
    """

    @property
    def error(self) -> WireError | None: ...

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that ``chunk`` completes. Raises ``WireError`` only."""
        ...

    def end(self) -> list[Event]:
        """The events that the end of the stream brings. Raises ``WireError`` only."""
        ...


class StreamEncoder(Protocol):
    """Events, in the order of the grammar, to bytes."""

    def emit(self, event: Event) -> bytes:
        """Whole frames, or nothing."""
        ...

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What could not be said so far."""
        ...


class Codec(Protocol):
    """Every method raises ``WireError`` and nothing else; encoding does so only where its format has no way at all to
    hold what a decoder made (a request whose every message is empty, nesting too deep to write)."""

    @property
    def format(self) -> WireFormat: ...

    def decode_request(self, body: bytes, /) -> Conversation: ...

    def encode_request(self, conversation: Conversation, /) -> Encoded: ...

    def decode_response(self, body: bytes, /) -> Response:
        """Raises ``WireError`` on an error body too, with the provider's message."""
        ...

    def encode_response(self, response: Response, reply: Reply, /) -> Encoded: ...

    def stream_decoder(self) -> StreamDecoder: ...

    def stream_encoder(self, reply: Reply, /) -> StreamEncoder: ...


class FormatCodec(msgspec.Struct, frozen=True, kw_only=True):
    """A ``Codec`` out of the functions of its format."""

    format: WireFormat
    decode_request: Callable[[bytes], Conversation]
    encode_request: Callable[[Conversation], Encoded]
    decode_response: Callable[[bytes], Response]
    encode_response: Callable[[Response, Reply], Encoded]
    stream_decoder: Callable[[], StreamDecoder]
    stream_encoder: Callable[[Reply], StreamEncoder]
