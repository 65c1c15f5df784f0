"""The same request again, of the same key, is answered from the cache where that is configured or asked for."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from omni_catalogue.rules import Rules
from omni_catalogue.snapshot import Caching, KeyPolicy, Snapshot
from omni_core.ports.router import CompleteCall, Frame, Head

from omni_router.domain import cached
from omni_router.domain.recorded import Named
from omni_router.domain.records import RequestRecord
from omni_router.ports import Ended
from omni_router.service.metrics import RouterMetrics
from omni_router.service.once import MADE, How, Once
from omni_router.service.recorder import Answer
from omni_router.service.router import RouterService


class Cache:
    """``looks`` is whether requests that say nothing of it may be answered from it. ``answer`` makes an answer."""

    def __init__(self, once: Once, answer: Answer, metrics: RouterMetrics) -> None:
        self._once = once
        self._answer = answer
        self._metrics = metrics
        self._policy: Caching | None = None
        self._snapshot: Snapshot | None = None
        self._keys: dict[str, KeyPolicy] = {}
        self._combos: dict[str, Rules] = {}
        self._configured = b""
        self.looks = False

    def configure(self, snapshot: Snapshot) -> None:
        self._policy = snapshot.routing.caching
        self.looks = cached.looks(snapshot)
        self._snapshot, self._keys = snapshot, {}

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        """One that the cache may not answer is marked so."""
        how: How | None = None

        def found() -> How | None:
            nonlocal how
            how = self._how(call)
            return how

        async with aclosing(self._once.tell(call, found)) as frames:
            async for frame in frames:
                if isinstance(frame, Head) and (how is None or not frame.cache):
                    self._metrics.cache.add((cached.BYPASS,))
                    frame = msgspec.structs.replace(frame, cache=cached.BYPASS)
                yield frame

    def _how(self, call: CompleteCall) -> How | None:
        asked = cached.wish(call.headers)
        policy = self._policy
        if policy is None or asked == cached.OFF:
            return None
        said = cached.read(call.body)
        key = self._key(call.key_id)
        if said is None or key is None or not cached.takes(self._requests(policy, key, call, said), said, asked):
            return None
        request = (call.client_format.value, call.model, call.stream, call.framing)
        name = cached.name_of(key, self._configured, request, said, call.headers)
        return How(
            Named(name, name, policy.ttl, strict=False, promised=False),
            policy.max_bytes,
            self._marked,
            lambda head, data: cached.is_fit(call.client_format, head.stream, data),
            asked == cached.REFRESH,
            self._saved,
        )

    def _requests(self, policy: Caching, key: KeyPolicy, call: CompleteCall, said: dict[str, Any]) -> str:
        """By the rules of the whole, the combo that is asked for, and the key: who answers is not known yet."""
        combo = self._combos.get(call.model or str(said.get("model", "")), Rules())
        whole = self._snapshot.rules if self._snapshot is not None else Rules()
        return cached.requests_of(policy, whole, combo, key.rules)

    def _key(self, key_id: str) -> KeyPolicy | None:
        """None for one that is not in the configuration yet. What it takes to know is worked out for who first asks."""
        if not self._keys and self._snapshot is not None:
            self._keys = {key.id: key for key in self._snapshot.keys}
            self._combos = {combo.name: combo.rules for combo in self._snapshot.combos}
            self._configured = cached.configured(self._snapshot)
        return self._keys.get(key_id)

    def _marked(self, head: Head, how: str) -> Head:
        word = cached.MISS if how == MADE else cached.HIT
        self._metrics.cache.add((word,))
        return msgspec.structs.replace(head, cache=word)

    def _saved(self, ended: Ended) -> None:
        self._metrics.saved_tokens.value += ended.tokens
        self._metrics.saved_cost.value += ended.nano_usd / 1e9


class Spending:
    """What the answers under way in a recorder took, as ``service`` tells it: only while there are any."""

    def __init__(self, service: RouterService) -> None:
        self._service = service
        self._wanted: dict[str, Ended] = {}

    def expect(self, event_id: str) -> None:
        self._wanted[event_id] = Ended()
        self._service.told = self._note

    def of(self, event_id: str) -> Ended:
        found = self._wanted.pop(event_id, Ended())
        if not self._wanted:
            self._service.told = None
        return found

    def _note(self, record: RequestRecord) -> None:
        if record.id in self._wanted:
            usage = record.usage
            self._wanted[record.id] = Ended(None, usage.input_tokens + usage.output_tokens, record.cost_nano_usd)
