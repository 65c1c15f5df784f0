"""TranslatorPort: between wire formats, through the canonical model."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

import msgspec
from omni_catalogue.rules import AnswerRules, RequestRules
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from omni_core.ports.context import CallContext


class Loss(msgspec.Struct, frozen=True):
    """What a translation could not keep. ``field`` is a dotted path; ``kind`` is "dropped" or "approximated"."""

    field: str
    kind: str
    reason: str


class RenamedTool(msgspec.Struct, frozen=True):
    """A tool that the provider was offered as the plain function ``sent``, and what its client calls it.

    ``freeform`` tools take free text instead of arguments; ``namespace`` is empty for one that stands in none.
    """

    sent: str
    name: str
    namespace: str = ""
    freeform: bool = False


class Finding(msgspec.Struct, frozen=True):
    """What a guard found, and never its text. ``guard`` is "pii" or "injection", ``rule`` a kind or a rule's name,
    ``action`` "report", "mask" or "block"."""

    guard: str
    rule: str
    action: str
    count: int


class Mark(msgspec.Struct, frozen=True):
    """What stands in a request for ``original``, which its provider must not see."""

    token: str
    original: str

    def __repr__(self) -> str:
        return f"Mark({self.token})"


class Parties(msgspec.Struct, frozen=True):
    """Who asks, by the id of its key, and who answers: the ids of provider and account, and the provider's model.

    What a model signed of its thoughts is kept for the one and given back to the other. Empty: nothing is. ``project``
    and ``identity`` are the account's (see ``omni_catalogue.snapshot.Account``).
    """

    principal: str = ""
    provider: str = ""
    account: str = ""
    model: str = ""
    project: str = ""
    identity: str = ""


class EncodeCall(msgspec.Struct, frozen=True):
    """A client's request to convert. ``model`` and ``max_output`` (tokens) replace the client's own.

    ``stream`` is whether the provider is asked for a stream, whatever the client's body says. ``rules`` are the
    product's own. A ``relayed`` body, which keeps its format, comes back as it was but for what they change: neither
    ``model`` nor ``max_output`` is put into it.

    ``begun`` is the beginning of the answer, as the client was sent it, where another provider broke it off: the body
    then asks for the rest, with ``prefill`` by giving the model its own words to go on in.
    """

    context: CallContext
    client_format: WireFormat
    provider_format: WireFormat
    body: bytes
    model: str
    max_output: int
    strict: bool = False
    stream: bool = False
    parties: Parties = Parties()
    rules: RequestRules | None = None
    relayed: bool = False
    begun: bytes = b""
    prefill: bool = False


class EncodedRequest(msgspec.Struct, frozen=True):
    """``tools`` and ``marks`` are to be handed on in the ``StreamCall`` for the answer; ``rules`` names what changed
    something, ``findings`` are the guards', and ``guarded`` says that these were asked, as an older translator knows
    none."""

    body: bytes
    losses: tuple[Loss, ...] = ()
    tools: tuple[RenamedTool, ...] = ()
    rules: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    marks: tuple[Mark, ...] = ()
    guarded: bool = False


class StreamCall(msgspec.Struct, frozen=True):
    """How to convert one answer. ``model`` is echoed to the client; ``created`` is in epoch seconds.

    ``stream`` is whether the client gets a stream, ``provider_stream`` whether the provider's bytes are one; a whole
    body otherwise. ``framing`` is that of the client's stream: "sse", or "array" for Gemini's streams without
    ``alt=sse``. ``tools`` and ``marks`` are those of ``EncodedRequest``.

    ``rules`` are the product's own. Of a Chat answer to a Chat client only what they change is written anew; such a
    call says nothing of usage or of how the answer ended, which its source knows.

    With ``whole_calls`` a call of a tool is written when it has ended. An answer that is the rest of one ``begun`` (see
    ``EncodeCall``) is fitted behind that; ``used`` is what that has used, and told to the client with the rest.
    """

    context: CallContext
    client_format: WireFormat
    provider_format: WireFormat
    stream: bool
    provider_stream: bool
    model: str
    include_usage: bool
    created: int
    response_id: str
    framing: str = "sse"
    tools: tuple[RenamedTool, ...] = ()
    parties: Parties = Parties()
    rules: AnswerRules | None = None
    whole_calls: bool = False
    begun: bytes = b""
    prefill: bool = False
    used: Usage = Usage()
    marks: tuple[Mark, ...] = ()


class Translated(msgspec.Struct, frozen=True):
    """Converted bytes (whole frames, may be empty) and what is known so far.

    ``usage`` is cumulative. ``finished`` is true on the last item of an answer that ended as its format prescribes;
    a stream whose items end without it was interrupted. ``begun`` is true once, where the provider begins with the rest
    of an answer, even if it only says again what the client has. ``findings`` are the guards' so far; empty where there
    are no new ones.
    """

    data: bytes
    usage: Usage | None = None
    finished: bool = False
    finish_reason: str = ""
    losses: tuple[Loss, ...] = ()
    begun: bool = False
    findings: tuple[Finding, ...] = ()


class TranslatorPort(Protocol):
    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        """Raises ``InvalidRequest`` (also for an answer that nobody can go on with), ``LossRefused`` (strict),
        ``GuardRefused`` or ``NotBuilt``."""
        ...

    def translate_stream(self, call: StreamCall, source: AsyncIterator[bytes]) -> AsyncGenerator[Translated, None]:
        """Convert an answer as it arrives.

        Raises ``UpstreamFailed`` where the provider's bytes are not its format, and the error they tell (data converted
        before it has been yielded already; what only announces an answer waits until it has begun), and
        ``GuardRefused``. What ``source`` raises passes through, unless it breaks off after the answer's end has come.
        """
        ...
