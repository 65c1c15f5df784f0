"""An answer for a request in other words: the one that was recorded for the nearest, where that is near enough.

Theory of operation. It stands between the exact cache and the service: whoever the exact cache lets make an answer asks
here first. A text's vector is looked for among those of its bucket; a name there is that of a recording, which is told
as it is there, and recorded a second time nowhere. What had to be made is put into the bucket once it was recorded.
Whatever goes wrong with all that, the request goes on as if nothing had been found.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from omni_catalogue.snapshot import Semantic
from omni_core import clock
from omni_core.ports.router import TRACE, CompleteCall, Frame, Head
from omni_wire.errors import (
    ClientGone,
    DependencyUnavailable,
    GatewayError,
    LimitError,
    NoCandidate,
    RequestError,
    UpstreamFailed,
    UpstreamTimeout,
)

from omni_router.domain import decision, haste, vectors
from omni_router.domain.cached import SEMANTIC
from omni_router.ports import Ended, Found, Meanings, Recordings
from omni_router.service.embedding import Embedder
from omni_router.service.held import Tools
from omni_router.service.metrics import RouterMetrics
from omni_router.service.retelling import Retelling
from omni_router.service.router import RouterService
from omni_router.service.spending import Spending

# Of a bucket, how many are compared whole: those whose sketches are the nearest.
COMPARED = 8
GRACE = 0.5  # seconds, beyond those that a vector may take


class Place(msgspec.Struct, frozen=True):
    """A text, and the bucket of those that it may be compared with."""

    bucket: str
    text: str


class Meant:
    """What one request asks; ``place`` says where that is to be looked for, None where it is not to be compared.
    ``name`` is that of its own recording. With ``fresh`` nothing is looked for. ``kept`` is the bucket to keep it in,
    and its vector, once it has one."""

    __slots__ = ("fresh", "kept", "name", "place", "policy")

    def __init__(self, policy: Semantic, name: str, place: Callable[[], Place | None], *, fresh: bool) -> None:
        self.policy = policy
        self.name = name
        self.place = place
        self.fresh = fresh
        self.kept: tuple[str, tuple[float, ...]] | None = None


class Near(msgspec.Struct, frozen=True):
    """A recording that will do."""

    similarity: float
    found: Found


class ByMeaning:
    """``recordings`` are those of the exact cache, ``spending`` hears what an answer had taken that is told here."""

    def __init__(
        self,
        meanings: Meanings,
        recordings: Recordings,
        embedder: Embedder,
        service: RouterService,
        spending: Spending,
        tools: Tools,
        metrics: RouterMetrics,
    ) -> None:
        self._meanings = meanings
        self._recordings = recordings
        self._service = service
        self._spending = spending
        self._tools = tools
        self._metrics = metrics
        self.embedder = embedder

    async def answer(self, meant: Meant, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        """As ``RouterPort.complete``."""
        retelling = Retelling(call, self._service, self._tools, self._metrics, "cached")  # its time counts from here
        near = await self._look(meant, call)
        source = self._retold(near, call, retelling) if near is not None else self._service.complete(call)
        async with aclosing(source) as frames:
            async for frame in frames:
                yield frame

    async def keep(self, meant: Meant) -> None:
        """Its answer has been recorded: let it be found by others."""
        if meant.kept is None:
            return
        policy, (bucket, unit) = meant.policy, meant.kept
        sketch, packed = vectors.sketch(unit), vectors.pack(unit)
        try:
            await self._meanings.add(bucket, meant.name, sketch, packed, policy.ttl, policy.max_entries)
        except DependencyUnavailable:
            self._count("away")
        else:
            self._count("kept")

    async def _look(self, meant: Meant, call: CompleteCall) -> Near | None:
        until = clock.monotonic() + meant.policy.timeout
        place = meant.place() if haste.HEADER not in call.headers else None  # who hurries has no time to lose
        if place is None:
            self._count("unfit")
            return None
        try:
            async with asyncio.timeout(meant.policy.timeout + GRACE):
                near = await self._nearest(meant, place, call, until)
        except (TimeoutError, GatewayError) as error:
            self._count(_word(error))
            return None
        if not meant.fresh:
            self._count("hit" if near is not None else "miss")
        return near

    async def _nearest(self, meant: Meant, place: Place, call: CompleteCall, until: float) -> Near | None:
        policy, limits, _ = await self._service.entitled(call)
        vector = await self.embedder.vector(call, policy, limits, meant.policy.embeddings, place.text, until)
        unit, bucket = vectors.direction(vector), place.bucket
        if unit is None:
            raise UpstreamFailed("the vector of the text points nowhere")
        meant.kept = bucket, unit
        if meant.fresh:
            return None
        names = vectors.closest(vectors.sketch(unit), await self._meanings.sketches(bucket), COMPARED)
        packed = await self._meanings.vectors(bucket, names)
        near = [(vectors.similarity(unit, each), name) for each, name in zip(packed, names, strict=True)]
        for similarity, name in sorted(near, reverse=True):
            if similarity < meant.policy.threshold:
                break
            found = await self._recordings.read(name)
            if found.state == "done" and isinstance(found.entries[-1], Ended):
                return Near(similarity, found)
            self._count("stale")
            await self._meanings.drop(bucket, name)
        return None

    async def _retold(self, near: Near, call: CompleteCall, retelling: Retelling) -> AsyncGenerator[Frame, None]:
        retelling.similarity = near.similarity
        error: GatewayError | None = None
        try:
            for entry in near.found.entries:
                if isinstance(entry, Head):
                    await retelling.begin(entry)
                    trace = decision.trace(retelling.decide()) if call.headers.get(TRACE, "").lower() == "on" else ""
                    yield msgspec.structs.replace(entry, cache=SEMANTIC, similarity=near.similarity, trace=trace)
                elif isinstance(entry, Ended):
                    self._metrics.saved_tokens.value += entry.tokens
                    self._metrics.saved_cost.value += entry.nano_usd / 1e9
                    self._spending.told(call.event_id, entry)
                else:
                    yield entry
        except GatewayError as failure:
            error = failure
            raise
        except BaseException:
            error = ClientGone("the client went away")
            raise
        finally:
            retelling.end(error)

    def _count(self, word: str) -> None:
        self._metrics.semantic.add((word,))


def _word(error: BaseException) -> str:
    """What became of a look that failed."""
    if isinstance(error, (TimeoutError, UpstreamTimeout)):
        return "late"
    if isinstance(error, DependencyUnavailable):
        return "away"
    return "refused" if isinstance(error, (RequestError, LimitError, NoCandidate)) else "failed"
