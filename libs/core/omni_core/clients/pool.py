"""Many of one service behind its port: calls are spread over the members, and one that is away costs no call that had
not been answered yet.

Theory of operation. A call goes to one member. When nobody answers there (``PeerAway``: no frame came back, and the
error is gRPC's own, not the service's), that member is left alone for a while and the call goes to another: ``TRIES``
times at most. A call that finds nobody waits up to ``PATIENCE`` seconds, once, for somebody to come. After the first
frame nothing is tried again: what was sent cannot be taken back.

A process that hangs keeps its connections, and only gRPC's keepalive ends what waits for it, after up to 25 s
(rpc.py). A question without effect (``ask``) need not wait for that: who is silent for its share of the time is as
good as away.

Members are announced over NATS (``discover``), a fixed list, or whatever a DNS name stands for; behind a name gRPC
itself spreads, and the pool has one member to try again.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import msgspec
from omni_wire.errors import DependencyUnavailable, GatewayError
from omni_wire.formats import WireFormat
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from omni_core.bus import Bus
from omni_core.clients.picking import addresses
from omni_core.clients.router import COUNT_TIMEOUT, TEST_TIMEOUT, RouterClient
from omni_core.clients.seats import Place, Seat, Seats
from omni_core.clients.translator import ENCODE_TIMEOUT, Feed, TranslatorClient
from omni_core.clock import monotonic
from omni_core.failures import PeerAway, PeerSilent
from omni_core.identity import Caller
from omni_core.members import MemberFeed, Members
from omni_core.meters import Meter
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, ConnectionTest, Frame, ModelEntry
from omni_core.ports.translator import EncodeCall, EncodedRequest, StreamCall, Translated
from omni_core.rpc import CALL_TIMEOUT, ServiceChannel
from omni_core.settings import DISCOVER

log = logging.getLogger("omniroute.pool")

TRIES = 3
# Seconds. Less than whoever looks whether a service is there gives it to answer, so that they hear why it is not.
PATIENCE = 1.75
RETRY_AFTER = 1.0
# Seconds that one member is given where another could be asked. A router may wait for a key that was just made for a
# second before it answers; a large body takes a translator a few.
MODELS_SHARE = 1.5
ENCODE_SHARE = 8.0
LEAST_SHARE = 0.25

C = TypeVar("C")
T = TypeVar("T")


class PoolMetrics(Collector):
    """Of all the pools of a process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tries = Meter(
            "omniroute_pool_tries",
            "Tries of calls at members of a service: ok (it answered), retried or failed (nobody answered)",
            ["service", "outcome"],
            registry,
        )
        self._states: dict[str, Callable[[], dict[str, int]]] = {}
        registry.register(self)

    def watch(self, service: str, states: Callable[[], dict[str, int]]) -> None:
        self._states[service] = states

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(
            "omniroute_pool_members",
            "Members of a called service: ready, draining, or ejected (left alone after a failure)",
            labels=["service", "state"],
        )
        for service, states in self._states.items():
            for state, count in states().items():
                family.add_metric((service, state), count)
        return [family]


class _Tries(Generic[C]):
    """What has become of a call that did not simply succeed; most need none."""

    __slots__ = ("seats", "until")

    def __init__(self) -> None:
        self.seats: list[Seat[C]] = []
        self.until = monotonic() + PATIENCE


class Pool(Generic[C]):
    """``address`` is as in ``picking.addresses``, whose ``ValueError`` this raises. Start it before the first call."""

    def __init__(
        self, service: str, connect: Callable[[ServiceChannel], C], address: str, *, caller: Caller, bus: Bus,
        metrics: PoolMetrics,
    ) -> None:  # fmt: skip
        self._service = service
        self._fixed = addresses(address)
        self._feed = None if self._fixed else MemberFeed(bus, service)
        self._seats = Seats(caller, service, connect)
        self._tries = metrics.tries
        self._ok, self._retried, self._failed = ((service, outcome) for outcome in ("ok", "retried", "failed"))
        for labels in (self._ok, self._retried, self._failed):
            self._tries.add(labels, 0)
        metrics.watch(service, self._seats.states)

    async def start(self) -> None:
        """Returns at once; a call waits for the first member as it does later."""
        if self._feed is None:
            self._seats.arrange({address: Place(address) for address in self._fixed})
            return
        self._feed.on_change(self._arrange)
        await self._feed.start()

    async def close(self) -> None:
        if self._feed is not None:
            await self._feed.stop()
        await self._seats.close()

    async def ask(self, call: Callable[[C, float], Awaitable[T]], limit: float, share: float) -> T:
        """One question that has no effect, one answer: ``call(client, seconds)``. Raises ``GatewayError``.

        All tries together have ``limit`` seconds, and each of them ``share``; one that is the last, or at the only
        member, has all that is left.
        """
        tries: _Tries[C] | None = None
        until = monotonic() + limit
        while True:
            seat = self._seats.free() if tries is None else None
            if seat is None:
                tries = tries or _Tries()
                seat = await self._wait(tries)
            seat.in_flight += 1
            try:
                left = max(until - monotonic(), LEAST_SHARE)
                last = self._seats.alone(seat) or (tries is not None and len(tries.seats) == TRIES - 1)
                answer = await call(seat.client, left if last else min(left, share))
            except PeerAway as error:
                tries = self._again(seat, error, tries)
            except PeerSilent as error:
                tries = self._again(seat, error, tries, late=monotonic() + LEAST_SHARE > until)
            except GatewayError:
                self._answered(seat)
                raise
            else:
                self._answered(seat)
                return answer
            finally:
                self._seats.release(seat)

    async def stream(
        self,
        start: Callable[[C, int], AsyncGenerator[T, None]],
        begun: Callable[[], None] | None = None,
        end: Callable[[], Awaitable[None]] | None = None,
    ) -> AsyncGenerator[T, None]:
        """What ``start(client, number of earlier tries)`` yields. Raises ``GatewayError``.

        ``begun`` is called when the first item has come, ``end`` however it ends. Closing it closes
        what ``start`` gave.
        """
        tries: _Tries[C] | None = None
        first = True
        try:
            while True:
                seat = self._seats.free() if tries is None else None
                if seat is None:
                    tries = tries or _Tries()
                    seat = await self._wait(tries)
                seat.in_flight += 1
                answer = start(seat.client, len(tries.seats) if tries is not None else 0)
                try:
                    async for item in answer:
                        if first:
                            first = False
                            if begun is not None:
                                begun()
                        yield item
                except PeerAway as error:
                    tries = self._again(seat, error, tries, begun=not first)
                except GatewayError:
                    self._answered(seat)
                    raise
                else:
                    self._answered(seat)
                    return
                finally:
                    self._seats.release(seat)
                    await answer.aclose()
        finally:
            if end is not None:
                await end()

    def _arrange(self, members: Members) -> None:
        self._seats.arrange(
            {key: Place(member.address, member.draining) for key, member in members.items() if member.address}
        )

    def _answered(self, seat: Seat[C]) -> None:
        self._seats.answered(seat)
        self._tries.add(self._ok)

    def _again(
        self, seat: Seat[C], error: PeerAway | PeerSilent, tries: _Tries[C] | None, *, begun: bool = False,
        late: bool = False,
    ) -> _Tries[C]:  # fmt: skip
        """Note that nobody answered. Raises when that was the last try, or too late for another."""
        if isinstance(error, PeerSilent) and not seat.ejected:  # of one that is away its channel tells
            log.warning("the %s at %s does not answer", self._service, seat.place.address)
        self._seats.failed(seat)
        tries = tries or _Tries()
        tries.seats.append(seat)
        if begun or late or len(tries.seats) >= TRIES:
            self._tries.add(self._failed)
            if begun:
                message = f"the {self._service} went away before its answer was complete"
                raise DependencyUnavailable(message, retry_after=RETRY_AFTER) from error
            error.retry_after = RETRY_AFTER
            raise error
        self._tries.add(self._retried)
        return tries

    async def _wait(self, tries: _Tries[C]) -> Seat[C]:
        """A member for the next try. Raises ``DependencyUnavailable`` when nobody comes in time."""
        while (seat := self._seats.free(tries.seats)) is None:
            if not await self._seats.change(tries.until):
                self._tries.add(self._failed)
                if len(self._seats):
                    raise PeerAway(f"the {self._service} is not reachable", retry_after=RETRY_AFTER)
                raise DependencyUnavailable(f"no {self._service} has announced itself yet", retry_after=RETRY_AFTER)
        return seat


class RouterPool(Pool[RouterClient]):
    """``RouterPort`` over all routers."""

    def __init__(self, address: str = DISCOVER, *, caller: Caller, bus: Bus, metrics: PoolMetrics) -> None:
        super().__init__("router", RouterClient, address, caller=caller, bus=bus, metrics=metrics)

    def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        """A try after the first is a new ``attempt`` of the same event: what the first had reserved is settled on its
        own, and the event of the last one stands."""

        def start(client: RouterClient, earlier: int) -> AsyncGenerator[Frame, None]:
            if earlier:
                return client.complete(msgspec.structs.replace(call, attempt=call.attempt + earlier))
            return client.complete(call)

        return self.stream(start)

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        return await self.ask(
            lambda client, seconds: client.models(context, key_id, seconds), CALL_TIMEOUT, MODELS_SHARE
        )

    async def explain(self, call: CompleteCall) -> bytes:
        return await self.ask(lambda client, seconds: client.explain(call, seconds), CALL_TIMEOUT, MODELS_SHARE)

    async def test_account(self, context: CallContext, account_id: str, model: str = "") -> ConnectionTest:
        # As with a count: one try has all the time.
        return await self.ask(
            lambda client, _: client.test_account(context, account_id, model), TEST_TIMEOUT, TEST_TIMEOUT
        )

    async def test_proxy(self, context: CallContext, name: str) -> ConnectionTest:
        return await self.ask(lambda client, _: client.test_proxy(context, name), TEST_TIMEOUT, TEST_TIMEOUT)

    async def count_tokens(
        self,
        context: CallContext,
        key_id: str,
        client_format: WireFormat,
        model: str,
        body: bytes,
        headers: dict[str, str] = {},  # noqa: B006 — never written to
    ) -> int:
        # Counting may wait for a provider, so a silence says nothing of the router: one try has all the time.
        return await self.ask(
            lambda client, _: client.count_tokens(context, key_id, client_format, model, body, headers),
            COUNT_TIMEOUT,
            COUNT_TIMEOUT,
        )


class TranslatorPool(Pool[TranslatorClient]):
    """``TranslatorPort`` over all translators. Translating has no effect, so all of it may be tried again."""

    def __init__(self, address: str = DISCOVER, *, caller: Caller, bus: Bus, metrics: PoolMetrics) -> None:
        super().__init__("translator", TranslatorClient, address, caller=caller, bus=bus, metrics=metrics)

    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        return await self.ask(
            lambda client, seconds: client.encode_request(call, seconds), ENCODE_TIMEOUT, ENCODE_SHARE
        )

    def translate_stream(self, call: StreamCall, source: AsyncIterator[bytes]) -> AsyncGenerator[Translated, None]:
        """What was read of ``source`` is kept until the first item has come, for another translator to begin with."""
        feed = Feed(source, keep=True)
        return self.stream(lambda client, _: client.translate(call, feed), feed.forget, feed.close)
