"""What goes by in one call that is kept: copies of as much as may be kept, taken beside the call, which does not
notice."""

from collections.abc import AsyncIterator, Mapping

import msgspec
from omni_core.kept_bodies import STAGES
from omni_wire.formats import WireFormat

from omni_router.domain.offer import Offer
from omni_router.ports import Upstream, UpstreamAnswer, UpstreamRequest
from omni_router.service.held import Tools

CLIENT_REQUEST, PROVIDER_REQUEST, PROVIDER_RESPONSE, CLIENT_RESPONSE = STAGES
# What is masked is looked at with what follows it, so that the end cuts nothing in two.
BEYOND = 1024
# Attempts of one request; what comes after these is as those before.
MOST_ATTEMPTS = 8


class Gathered:
    """The first bytes of a body. ``size`` counts all of them."""

    __slots__ = ("_parts", "_room", "size")

    def __init__(self, most: int) -> None:
        self._parts: list[bytes] = []
        self._room = most + BEYOND
        self.size = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if self._room > 0:
            self._parts.append(data[: self._room])
            self._room -= len(self._parts[-1])

    @property
    def content(self) -> bytes:
        return b"".join(self._parts)


class Piece(msgspec.Struct, frozen=True):
    """One body of a call; ``attempt`` is 0 for what is the client's."""

    stage: str
    attempt: int
    provider: str
    model: str
    wire_format: WireFormat
    gathered: Gathered


class Gathering:
    """Of one call. ``whole`` is whether all of it is kept wherever it goes; else only what went to ``providers`` or
    through ``combos``."""

    def __init__(
        self, most: int, client_format: WireFormat, *, whole: bool, providers: frozenset[str], combos: frozenset[str]
    ) -> None:
        self._most = most
        self._whole = whole
        self._providers, self._combos = providers, combos
        self._attempts: list[Piece] = []
        self._number = 0
        self.asked = Piece(CLIENT_REQUEST, 0, "", "", client_format, Gathered(most))
        self.answered = Piece(CLIENT_RESPONSE, 0, "", "", client_format, Gathered(most))

    def tools(self, tools: Tools, offer: Offer, combo: str) -> Tools:
        """The same for the next attempt, with an upstream that is listened to; they themselves where nobody is."""
        self._number += 1
        self._whole = self._whole or combo in self._combos
        provider = offer.candidate.provider
        if not (self._whole or provider.id in self._providers) or self._number > MOST_ATTEMPTS:
            return tools
        about = self._number, provider.id, offer.candidate.model.id, provider.format
        asked, answered = (
            Piece(stage, *about, Gathered(self._most)) for stage in (PROVIDER_REQUEST, PROVIDER_RESPONSE)
        )
        self._attempts += (asked, answered)
        return msgspec.structs.replace(
            tools, upstream=_HeardUpstream(tools.upstream, asked.gathered, answered.gathered)
        )

    def pieces(self) -> list[Piece]:
        """Those that there are; none of a call that went another way."""
        if not self._whole and not self._attempts:
            return []
        found = [self.asked, *self._attempts, self.answered]
        return [piece for piece in found if piece.gathered.size]


class _HeardUpstream:
    """Satisfies ``Upstream``."""

    def __init__(self, upstream: Upstream, asked: Gathered, answered: Gathered) -> None:
        self._upstream = upstream
        self._asked, self._answered = asked, answered

    async def send(self, request: UpstreamRequest) -> UpstreamAnswer:
        self._asked.add(request.body)  # and no header, which is where credentials are
        return _HeardAnswer(await self._upstream.send(request), self._answered)


class _HeardAnswer:
    """Satisfies ``UpstreamAnswer``."""

    def __init__(self, answer: UpstreamAnswer, gathered: Gathered) -> None:
        self._answer = answer
        self._gathered = gathered
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.way = answer.way

    async def read(self, limit: int) -> bytes:
        body = await self._answer.read(limit)
        self._gathered.add(body)
        return body

    def chunks(self) -> AsyncIterator[bytes]:
        return _Heard(self._answer.chunks(), self._gathered)

    def begun(self) -> None:
        self._answer.begun()

    def close(self) -> None:
        self._answer.close()


class _Heard:
    """An iterator, not a generator: one that is left early has nothing to close."""

    def __init__(self, chunks: AsyncIterator[bytes], gathered: Gathered) -> None:
        self._chunks = chunks
        self._gathered = gathered

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await anext(self._chunks)
        self._gathered.add(chunk)
        return chunk
