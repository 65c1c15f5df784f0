"""``RouterPort`` of a router that keeps what calls say, where the configuration asks for it. Where it does not, as
nearly always, this is one comparison a request."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from omni_catalogue.bodies import Bodies
from omni_catalogue.snapshot import Snapshot
from omni_core import clock
from omni_core.kept_bodies import KeptBody
from omni_core.ports.router import CompleteCall, Frame
from omni_wire.errors import GatewayError, render_body

from omni_router.ports import BodyKeeper
from omni_router.service.gathering import Gathering
from omni_router.service.passing import PassingOn
from omni_router.service.remembering import RememberingRouter
from omni_router.service.router import RouterService


class KeepingRouter(PassingOn[RememberingRouter]):
    """Around ``inner``; ``service`` is the one that calls providers, whose attempts are listened to."""

    def __init__(self, inner: RememberingRouter, service: RouterService, keeper: BodyKeeper) -> None:
        super().__init__(inner)
        self._service = service
        self._keeper = keeper
        self._bodies: Bodies | None = None
        self._keys: frozenset[str] = frozenset()
        self._never: frozenset[str] = frozenset()
        self._providers: frozenset[str] = frozenset()
        self._combos: frozenset[str] = frozenset()

    @property
    def revision(self) -> int:
        return self._inner.revision

    def prepare(self, snapshot: Snapshot) -> Callable[[], None]:
        """As ``RouterService.prepare``."""
        switch = self._inner.prepare(snapshot)
        bodies = snapshot.bodies
        never = frozenset(policy.id for policy in snapshot.keys if policy.no_bodies)

        def all_of_it() -> None:
            switch()
            self._bodies, self._never = bodies, never
            found = bodies or Bodies()
            self._keys, self._providers = frozenset(found.keys), frozenset(found.providers)
            self._combos = frozenset(found.combos)
            self._service.gatherings = None if bodies is None else self._service.gatherings or {}

        return all_of_it

    async def stop(self) -> None:
        await self._inner.stop()
        await self._keeper.stop()

    def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        if self._bodies is None:
            return self._inner.complete(call)
        gathering = self._gathering(self._bodies, call)
        return self._inner.complete(call) if gathering is None else self._kept(self._bodies, gathering, call)

    def _gathering(self, bodies: Bodies, call: CompleteCall) -> Gathering | None:
        """None where it is known already that nothing is kept."""
        whole = bodies.everything or call.key_id in self._keys
        if call.key_id in self._never or not (whole or bodies.by_way) or not bodies.draws(call.event_id):
            return None
        found = Gathering(
            bodies.most_bytes, call.client_format, whole=whole, providers=self._providers, combos=self._combos
        )
        found.asked.gathered.add(call.body)
        return found

    async def _kept(self, bodies: Bodies, gathering: Gathering, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        gatherings, answered = self._service.gatherings, gathering.answered.gathered
        if gatherings is not None:
            gatherings[call.event_id] = gathering
        try:
            async with aclosing(self._inner.complete(call)) as frames:
                async for frame in frames:
                    if isinstance(frame, bytes):
                        answered.add(frame)
                    yield frame
        except GatewayError as error:
            answered.add(render_body(error, call.client_format, call.context.request_id))
            raise
        finally:
            if gatherings is not None:
                gatherings.pop(call.event_id, None)
            self._hand_over(bodies, gathering, call)

    def _hand_over(self, bodies: Bodies, gathering: Gathering, call: CompleteCall) -> None:
        now = clock.now_ms()
        found = [
            KeptBody(
                request_id=call.event_id,
                told_id=call.context.request_id,
                key_id=call.key_id,
                stage=piece.stage,
                attempt=piece.attempt,
                provider=piece.provider,
                model=piece.model,
                wire_format=piece.wire_format.value,
                at_ms=now,
                until_ms=now + bodies.keep * 1000,
                size=piece.gathered.size,
                content=piece.gathered.content,
                redacted=bodies.redact,
                cut=piece.gathered.size > bodies.most_bytes,
                seq=1 + call.attempt,
            )
            for piece in gathering.pieces()
        ]
        if found:
            self._keeper.keep(found, bodies.most_bytes)
