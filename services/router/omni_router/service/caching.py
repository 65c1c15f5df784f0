"""The same request again, of the same key, is answered from the cache where that is configured or asked for."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec
from omni_catalogue.rules import Rules
from omni_catalogue.snapshot import Caching, KeyPolicy, Semantic, Snapshot
from omni_core.ports.router import CompleteCall, Frame, Head
from omni_wire.formats import WireFormat

from omni_router.domain import cached, meaning
from omni_router.domain.recorded import Named
from omni_router.ports import Ended
from omni_router.service.metrics import RouterMetrics
from omni_router.service.once import MADE, How, Once
from omni_router.service.recorder import Keep, Unfit
from omni_router.service.semantic import ByMeaning, Meant, Place

Said = dict[str, Any]
# The name of a request with this body.
Naming = Callable[[Said], str]


class Cache:
    """``looks`` is whether requests that say nothing of it may be answered from it."""

    def __init__(self, once: Once, by_meaning: ByMeaning, metrics: RouterMetrics) -> None:
        self._once = once
        self._by_meaning = by_meaning
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
        self._by_meaning.embedder.configure(snapshot)

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
        if said is None or key is None:
            return None
        places = self._places(key, call, said)
        if not cached.takes(cached.requests_of(policy, *places), said, asked):
            return None
        naming = partial(_named, key, self._configured, call)
        name = naming(said)
        keep = Keep(policy.ttl, policy.max_bytes, _unfit(call.client_format), asked == cached.REFRESH)
        if policy.semantic is not None and cached.means(policy.semantic, said, asked, *places):
            keep = self._meaning(policy.semantic, keep, name, call, naming, said)
        return How(Named(name, name, policy.ttl, strict=False, promised=False), keep, self._marked, self._saved)

    def _meaning(self, policy: Semantic, keep: Keep, name: str, call: CompleteCall, naming: Naming, said: Said) -> Keep:
        """``keep`` for a request that may be answered by its meaning, looked at when nothing else was found."""

        def place() -> Place | None:
            turn = meaning.last_turn(call.client_format, said)
            if turn is None:
                return None
            return Place(meaning.bucket(naming(turn.rest), policy.embeddings, turn.text), turn.text)

        meant = Meant(policy, name, place, fresh=keep.fresh)
        return msgspec.structs.replace(
            keep, answer=partial(self._by_meaning.answer, meant), recorded=partial(self._by_meaning.keep, meant)
        )

    def _places(self, key: KeyPolicy, call: CompleteCall, said: Said) -> tuple[Rules, ...]:
        """The rules of the whole, the combo that is asked for, and the key: who answers is not known yet."""
        combo = self._combos.get(call.model or str(said.get("model", "")), Rules())
        whole = self._snapshot.rules if self._snapshot is not None else Rules()
        return whole, combo, key.rules

    def _key(self, key_id: str) -> KeyPolicy | None:
        """None for one that is not in the configuration yet. What it takes to know is worked out for who first asks."""
        if not self._keys and self._snapshot is not None:
            self._keys = {key.id: key for key in self._snapshot.keys}
            self._combos = {combo.name: combo.rules for combo in self._snapshot.combos}
            self._configured = cached.configured(self._snapshot)
        return self._keys.get(key_id)

    def _marked(self, head: Head, how: str) -> Head:
        word = head.cache or (cached.MISS if how == MADE else cached.HIT)
        self._metrics.cache.add((word,))
        return msgspec.structs.replace(head, cache=word, trace=head.trace if how == MADE else "")

    def _saved(self, ended: Ended) -> None:
        self._metrics.saved_tokens.value += ended.tokens
        self._metrics.saved_cost.value += ended.nano_usd / 1e9


def _named(key: KeyPolicy, configured: bytes, call: CompleteCall, said: Said) -> str:
    request = (call.client_format.value, call.model, call.stream, call.framing)
    return cached.name_of(key, configured, request, said, call.headers)


def _unfit(client_format: WireFormat) -> Unfit:
    def unfit(head: Head, data: bytes) -> str:
        if head.cache == cached.SEMANTIC:
            return "retold"  # from where it is recorded already
        return "" if cached.is_fit(client_format, head.stream, data) else "unfit"

    return unfit
