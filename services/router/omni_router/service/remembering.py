"""``RouterPort`` of a router that remembers answers: for who sends a request again, and in the cache.

A request that is neither goes straight on to the ``RouterService``.
"""

from collections.abc import AsyncGenerator, Callable

from omni_catalogue.snapshot import Snapshot
from omni_core.ports.router import CompleteCall, Frame

from omni_router.domain import cached, recorded
from omni_router.ports import Meanings, Recordings
from omni_router.service.caching import Cache
from omni_router.service.embedding import Embedder
from omni_router.service.held import Tools
from omni_router.service.idempotency import Duplicates
from omni_router.service.metrics import RouterMetrics
from omni_router.service.once import Once
from omni_router.service.passing import PassingOn
from omni_router.service.recorder import Recorder
from omni_router.service.router import RouterService
from omni_router.service.semantic import ByMeaning
from omni_router.service.spending import Spending


class RememberingRouter(PassingOn[RouterService]):
    """Around ``service``, to which it hands snapshots on. ``answers`` and ``entries`` are where it keeps what is told
    again, and the cache; ``meanings`` is what of the cache is found by meaning, with vectors of ``embedder``."""

    def __init__(
        self,
        service: RouterService,
        tools: Tools,
        answers: Recordings,
        entries: Recordings,
        meanings: Meanings,
        embedder: Embedder,
        metrics: RouterMetrics,
    ) -> None:
        super().__init__(service)
        lease = tools.settings.recording_lease
        spending = Spending(service)

        def count(outcome: str) -> None:
            metrics.recordings.add((outcome,))

        caching = Recorder(entries, service.complete, lease, lambda word: metrics.cache.add((word,)), spending)
        by_meaning = ByMeaning(meanings, entries, embedder, service, spending, tools, metrics)
        self._cache = Cache(Once(caching, service.complete, service, tools, metrics, "cached"), by_meaning, metrics)
        keeping = Recorder(answers, self._cached, lease, count)
        self._duplicates = Duplicates(Once(keeping, self._cached, service, tools, metrics, "replayed"), metrics)
        self._recorders = (keeping, caching)
        self._looks = False

    @property
    def revision(self) -> int:
        return self._inner.revision

    def prepare(self, snapshot: Snapshot) -> Callable[[], None]:
        """As ``RouterService.prepare``."""
        switch = self._inner.prepare(snapshot)

        def all_of_it() -> None:
            switch()
            self._duplicates.configure(snapshot.routing.idempotency)
            self._cache.configure(snapshot)
            self._looks = self._duplicates.looks or self._cache.looks

        return all_of_it

    async def stop(self) -> None:
        """End what is being recorded; others may then make it."""
        for recorder in self._recorders:
            await recorder.stop()

    def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        if self._looks or recorded.HEADER in call.headers or cached.HEADER in call.headers:
            return self._remembered(call)
        return self._inner.complete(call)

    def _remembered(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        duplicates = self._duplicates
        if duplicates.looks or (recorded.HEADER in call.headers and duplicates.policy is not None):
            return duplicates.complete(call)
        return self._cached(call)

    def _cached(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        if self._cache.looks or cached.HEADER in call.headers:
            return self._cache.complete(call)
        return self._inner.complete(call)
