"""RouterPort: a client's raw request in, the answer's bytes out."""

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec
from omni_wire.formats import WireFormat

from omni_core.ports.context import CallContext


class CompleteCall(msgspec.Struct, frozen=True):
    """One request as the edge hands it on: the body untouched, the key authenticated.

    ``headers`` are lower case, never credentials. ``attempt`` counts the edge's own tries, from 0. ``event_id`` is
    unique and the same for each of them; the context's ``request_id`` may be the client's own, which it may repeat.
    ``model`` and ``stream`` are given where the path says them and not the body, as Gemini's does. ``framing`` is that
    of a stream: "sse", or "array" for Gemini's streams without ``alt=sse``.
    """

    context: CallContext
    key_id: str
    client_format: WireFormat
    body: bytes
    event_id: str
    headers: dict[str, str] = {}
    attempt: int = 0
    model: str = ""
    stream: bool = False
    framing: str = "sse"


# The header by which a client asks for the way of its request: "on".
TRACE = "x-omniroute-trace"


# What a request's time until the first byte was spent on: choosing where it goes, waiting for its turn, attempts that
# came to nothing, the ledger, making the provider's request, the provider.
STAGES = ("plan", "queue", "retry", "admit", "encode", "provider")


class Head(msgspec.Struct, frozen=True):
    """The first frame of an answer. ``losses`` are the dotted fields a translation could not keep.

    ``rules`` names the product's own that changed the request or are in force on the answer, and with ``FOUND`` before
    it what a guard found so far, such as "guard:pii.email=masked". With ``progress`` a stream tells how far it has
    come; ``keep_alive`` are the seconds of silence before a sign of life, 0 for the edge's own and less for none.
    ``idempotent`` is "replay" or "attached" where the answer was made for an earlier request, ``cache`` "hit",
    "semantic", "miss" or "bypass" where the cache had a say; with "semantic" ``similarity`` is how near the other
    words are, up to 1. ``trace`` says which way the request took (see ``TRACE``). ``stages`` are microseconds until
    the first byte, as ``STAGES`` names them, where a provider was asked.
    """

    status: int
    stream: bool
    content_type: str
    provider: str
    model: str
    losses: tuple[str, ...] = ()
    passthrough: bool = False
    rules: tuple[str, ...] = ()
    progress: bool = False
    keep_alive: float = 0.0
    idempotent: str = ""
    cache: str = ""
    trace: str = ""
    similarity: float = 0.0
    stages: tuple[int, ...] = ()


Frame = Head | bytes


class ModelEntry(msgspec.Struct, frozen=True):
    """A model id a key may use. ``created`` is in epoch seconds; 0 tokens means unknown."""

    id: str
    owned_by: str
    created: int = 0
    context_length: int = 0
    max_output: int = 0


class ConnectionTest(msgspec.Struct, frozen=True):
    """How a call went that was made to see whether it can be. ``asked`` is what for: "models", "completion", "echo"
    or "tunnel". ``status`` is the HTTP status, 0 where none came; ``code`` that of an error, "" where it went well;
    ``message`` says what to do. ``proxy`` and ``level`` are of the way that it took or that failed; ``egress`` is the
    address that the outside saw, "" where nobody was there to tell (``outbound.echo_url``)."""

    ok: bool
    asked: str
    message: str
    status: int = 0
    latency_ms: int = 0
    code: str = ""
    model: str = ""
    proxy: str = ""
    level: str = ""
    egress: str = ""


class RouterPort(Protocol):
    def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        """Yield one ``Head``, then bytes in the client's dialect, whole SSE events at a time (or, framed as an array,
        whole elements, the bracket that closes it only at a good end).

        Raises a ``GatewayError``: before the head nothing has been sent; after it, the stream broke and the error is
        the last thing to render. Closing the generator cancels the provider call and settles what was used.
        """
        ...

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        """The ids that ``key_id`` may use: combos first, then provider/model."""
        ...

    async def explain(self, call: CompleteCall) -> bytes:
        """What would become of ``call`` now, as a JSON document: its candidates in order, whether each would be asked
        or passed over, what would be reserved, or the refusal that the client would get. Nothing is sent, reserved or
        counted.

        Raises ``DependencyUnavailable``.
        """
        ...

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        """Whether the account "provider/name" can be used: its provider's list of models, or a call for one token to
        ``model`` or to the first that is listed. No key's limits are touched; what is used is the account's.

        Raises ``InvalidRequest`` (404) for one that is not there or off, ``DependencyUnavailable``.
        """
        ...

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        """Whether a tunnel opens through a proxy, and from which address its calls come. Raises ``InvalidRequest``
        (404)."""
        ...

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        """Tokens of the input in ``body``, a request to count in ``client_format``; nothing is charged.

        The provider's own count where it can count (Anthropic, Gemini, Cloud Code, Bedrock), asked in its own format;
        else an estimate, about four bytes of text a token. ``model`` is given where the path says it, else empty.
        Raises a ``GatewayError``.
        """
        ...
