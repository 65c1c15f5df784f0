"""What the router needs from outside, besides the ports of other services."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec
from omni_catalogue.proxies import Egress, Proxy
from omni_catalogue.snapshot import Timeouts
from omni_core.kept_bodies import KeptBody
from omni_core.ports.context import CallContext
from omni_core.ports.router import Frame
from omni_wire.errors import GatewayError

from omni_router.domain.records import AbortFacts, AttemptRecord, RequestRecord


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One POST to a provider. ``allow_private`` lets the address be loopback or private.

    ``begin_within`` are the seconds from ``send`` to the answer's beginning: whatever is waited for until ``begun`` is
    called, a whole ``read`` too, ends by then in ``UpstreamTimeout``. 0 leaves only ``timeouts``. ``end_within`` are
    the seconds to the answer's end, 0 for any number. ``egress`` are the ways out, the next one where the proxy of the
    one before is broken; empty for any connection.
    """

    url: str
    headers: dict[str, str]
    body: bytes
    allow_private: bool
    timeouts: Timeouts
    begin_within: float = 0.0
    end_within: float = 0.0
    egress: tuple[Egress, ...] = ()

    def __repr__(self) -> str:
        return f"UpstreamRequest(url={self.url!r})"


class UpstreamAnswer(Protocol):
    """An answer whose headers have come. Header names are lower case. ``way`` is the one of the request's ``egress``
    that it took, None where that had none."""

    way: Egress | None
    status: int
    headers: Mapping[str, str]

    async def read(self, limit: int) -> bytes:
        """The whole body, or its first ``limit`` bytes.

        Raises ``UpstreamTimeout``, ``StreamInterrupted`` or, where it is not HTTP, ``UpstreamFailed``.
        """
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; iterated once.

        Raises ``UpstreamTimeout`` when it falls silent, ``StreamInterrupted`` when it is cut, and ``UpstreamFailed``
        where it is not HTTP.
        """
        ...

    def begun(self) -> None:
        """What was waited for has come: from here on only ``timeouts.idle`` and ``timeouts.total`` count."""
        ...

    def close(self) -> None:
        """Let go at once. Where the body has not come to its end this closes the connection, and so cancels the
        provider's work."""
        ...


class Upstream(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        """Raises ``UpstreamUnreachable``, ``UpstreamTimeout``, ``StreamInterrupted``, ``UpstreamFailed``, or, where the
        proxy of the last way is broken, ``ProxyFailed``; ``CredentialUnavailable`` where its password cannot be had."""
        ...


class Probed(msgspec.Struct, frozen=True):
    """An answer to a GET, by the way that it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    way: Egress | None = None


class Probe(Protocol):
    """Connections that are made to see whether they can be: every proxy is tried, also one that is left alone for now.
    Raise what ``Upstream`` does."""

    async def get(
        self, url: str, headers: Mapping[str, str], ways: Sequence[Egress], *, allow_private: bool, within: float
    ) -> Probed: ...

    async def tunnel(self, proxy: Proxy, host: str, port: int, *, allow_private: bool, within: float) -> None:
        """Open one, and close it."""
        ...


class Embedding(msgspec.Struct, frozen=True):
    """A text's vector, of any length but 0, and the ``tokens`` that the provider counted; 0 where it told none."""

    vector: tuple[float, ...]
    tokens: int = 0


class EmbeddingPort(Protocol):
    """One model's vectors of texts."""

    async def embed(self, context: CallContext, text: str, within: float) -> Embedding:
        """The vector of ``text``, in at most ``within`` seconds.

        Raises an ``UpstreamError``, ``CredentialUnavailable``, ``InvalidRequest`` for a text that is too long for the
        model, or ``NotBuilt`` where the model is not installed.
        """
        ...


class AskedEmbeddingPort(EmbeddingPort, Protocol):
    """Of one account of a provider; ``sent`` is whether that has been called."""

    sent: bool


class LocalEmbeddingPort(EmbeddingPort, Protocol):
    def prepare(self) -> None:
        """Begin with what takes long before the first text, and say so where it cannot be had."""
        ...


class BodyKeeper(Protocol):
    """Where bodies go that are kept."""

    def keep(self, bodies: Sequence[KeptBody], most: int) -> None:
        """Take them to be masked, cut to ``most`` bytes each and sent; returns at once, and loses what it must."""
        ...

    async def stop(self) -> None: ...


class EventCodec(Protocol):
    """Records to the bytes that go on the bus."""

    def attempt(self, record: AttemptRecord) -> bytes: ...

    def request(self, record: RequestRecord) -> bytes: ...

    def aborted(self, facts: AbortFacts) -> tuple[bytes, bytes]:
        """The attempt's and the request's events (seq 0), should nobody live to settle."""
        ...


class Ended(msgspec.Struct, frozen=True):
    """The last entry of a recording: ``error`` is None where the answer is complete. ``tokens`` and ``nano_usd`` are
    what it took, where that is noted."""

    error: GatewayError | None = None
    tokens: int = 0
    nano_usd: int = 0


Entry = Frame | Ended


class Found(msgspec.Struct, frozen=True):
    """What has become of a recording, and of its ``entries`` those that were asked for.

    ``state`` is "held" (the caller makes it now), "running" (another makes it), "done", "unkept" (it is, or was, made,
    and is larger than may be kept), "other" (another request has this name) or "gone" (nobody makes it, or somebody
    else does). ``left`` are the seconds until it ends by itself, ``attached`` whether another router follows it.
    """

    state: str
    token: str
    left: float
    attached: bool
    entries: tuple[Entry, ...] = ()


class Bell(Protocol):
    def clear(self) -> None: ...

    async def wait(self) -> object: ...


class Bells(Protocol):
    def listening(self, name: str) -> AbstractContextManager[Bell]:
        """A bell that is rung when there may be something new about ``name``."""
        ...


class Recordings(Protocol):
    """Answers as clients got them, by name, for all routers. ``token`` is of who makes one; with another, or an old
    one, nothing is changed. Each method may be repeated. All raise ``DependencyUnavailable`` within 4 s."""

    async def claim(
        self, name: str, token: str, print_: str, owner: str, lease: float, *, fresh: bool = False
    ) -> Found:  # fmt: skip
        """Make it, or follow who does for ``lease`` seconds; all its entries so far. ``print_`` is of the request,
        ``owner`` its id: the same one again takes over from itself. With ``fresh`` what is done is made again."""
        ...

    async def read(self, name: str) -> Found:
        """All of one that is "done"; any other is "gone". Nothing is claimed or followed."""
        ...

    async def look(self, name: str, token: str, seen: int, lease: float) -> Found:
        """The entries after ``seen``, while the recording of ``token`` is followed for ``lease`` seconds more."""
        ...

    async def write(self, name: str, token: str, seen: int, entries: Sequence[Entry], seconds: float) -> Found:
        """Add ``entries`` to ``seen`` earlier ones and let all live for ``seconds``; complete with an ``Ended``."""
        ...

    async def unkeep(self, name: str, token: str, seconds: float) -> None:
        """Drop the entries and say for ``seconds`` that they were too many."""
        ...

    async def fail(self, name: str, token: str, seen: int, entries: Sequence[Entry]) -> None:
        """Forget it, but tell those who follow it now the rest: ``entries``, after ``seen`` earlier ones."""
        ...

    async def leave(self, name: str, token: str) -> bool:
        """Forget it, unless another router follows it, which is what is returned."""
        ...

    async def forget(self, name: str, token: str) -> None:
        """Forget it: who follows it has to make it."""
        ...

    def listening(self, name: str) -> AbstractContextManager[Bell]:
        """A bell that is rung when there may be something new."""
        ...

    async def ready(self) -> None:
        """Wait until bells are rung."""
        ...


class Meanings(Protocol):
    """Vectors of what recorded answers were asked for, by bucket and the recording's name, for all routers. Sketches
    and vectors are as ``domain.vectors`` makes them. All raise ``DependencyUnavailable`` within 4 s."""

    async def sketches(self, bucket: str) -> list[tuple[str, bytes]]:
        """Of all that are in a bucket: each name with its sketch."""
        ...

    async def vectors(self, bucket: str, names: Sequence[str]) -> list[bytes]:
        """In the order of ``names``; empty for one that is not there any more."""
        ...

    async def add(self, bucket: str, name: str, sketch: bytes, vector: bytes, seconds: float, most: int) -> None:
        """Keep one for ``seconds``, in place of an earlier one of that name; of more than ``most`` those that end
        first go."""
        ...

    async def drop(self, bucket: str, name: str) -> None: ...
