"""TranslatorPort: between wire formats, through the canonical model."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

import msgspec
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_core.ports.context import CallContext


class Loss(msgspec.Struct, frozen=True):
    """What a translation could not keep. ``field`` is a dotted path; ``kind`` is "dropped" or "approximated"."""

    field: str
    kind: str
    reason: str


class EncodeCall(msgspec.Struct, frozen=True):
    """A client's request to convert. ``model`` and ``max_output`` (tokens) replace the client's own."""

    context: CallContext
    client_format: WireFormat
    provider_format: WireFormat
    body: bytes
    model: str
    max_output: int
    strict: bool = False


class EncodedRequest(msgspec.Struct, frozen=True):
    body: bytes
    losses: tuple[Loss, ...] = ()


class StreamCall(msgspec.Struct, frozen=True):
    """How to convert one answer. ``model`` is echoed to the client; ``created`` is in epoch seconds.

    With ``stream`` false the provider's bytes are one whole body, and so is the answer.
    """

    context: CallContext
    client_format: WireFormat
    provider_format: WireFormat
    stream: bool
    model: str
    include_usage: bool
    created: int
    response_id: str


class Translated(msgspec.Struct, frozen=True):
    """Converted bytes (whole frames, may be empty) and what is known so far.

    ``usage`` is cumulative. ``finished`` is true on the last item of an answer that ended as its format prescribes;
    a stream whose items end without it was interrupted.
    """

    data: bytes
    usage: Usage | None = None
    finished: bool = False
    finish_reason: str = ""
    losses: tuple[Loss, ...] = ()


class TranslatorPort(Protocol):
    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        """Raises ``InvalidRequest``, ``LossRefused`` (strict) or ``NotBuilt``."""
        ...

    def translate_stream(self, call: StreamCall, source: AsyncIterator[bytes]) -> AsyncGenerator[Translated, None]:
        """Convert an answer as it arrives.

        Raises ``UpstreamFailed`` where the provider's bytes are not its format or carry its error event (data
        converted before it has been yielded already). What ``source`` raises passes through.
        """
        ...
