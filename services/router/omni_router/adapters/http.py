"""Providers over HTTP/1.1: pooled, bounded in time, never redirected, no address connected to unchecked."""

import asyncio
import contextlib
import ssl

from omni_catalogue.proxies import DIRECT, Egress
from omni_core.outbound import Outbound
from omni_wire.errors import ProxyFailed, UpstreamUnreachable

from omni_router.adapters.answer import HttpAnswer
from omni_router.adapters.pool import Pool
from omni_router.adapters.route import Origin, Route
from omni_router.ports import UpstreamRequest

_SWEEP_EVERY = 10.0
_MAX_ROUTES = 4096
# A server that closes an idle connection just as a request comes does so without an answer and within a round trip.
# What closes later was at work on the request, and to send that twice would be to pay twice.
_RACE = 1.0


class HttpUpstream:
    """``Upstream``. ``tls`` replaces the system's certificate authorities; with ``outbound`` its word on them holds."""

    def __init__(self, tls: ssl.SSLContext | None = None, outbound: Outbound | None = None) -> None:
        self._outbound = outbound or Outbound(tls=tls)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pools: dict[Origin, Pool] = {}
        self._routes: dict[tuple[str, bool], tuple[Route, Pool]] = {}
        self._ways: dict[tuple[str, bool, Egress], tuple[Route, Pool]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        await self._outbound.context()  # which takes a while
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(_SWEEP_EVERY, self._sweep)

    async def stop(self) -> None:
        """Every connection is closed afterwards; answers under way end in ``StreamInterrupted``."""
        self._loop = None
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._routes.clear()
        self._ways.clear()
        for pool in list(self._pools.values()):
            await pool.close()
        self._pools.clear()

    async def send(self, request: UpstreamRequest, way: Egress | None = None) -> HttpAnswer:
        """The answer, once its head is there. Cancelled, it closes the connection. ``way`` is the one of the request's
        to take, None for them all in their order.

        A connection from the pool that is closed before the first byte of an answer, at once, is replaced by a new
        one, once. Raises ``UpstreamUnreachable``, ``UpstreamTimeout``, ``UpstreamFailed`` (not HTTP),
        ``StreamInterrupted`` (cut within the head) or ``ProxyFailed``.
        """
        if way is not None:
            known = self._ways.get((request.url, request.allow_private, way))
        elif request.egress:
            return await self._send_by_ways(request)
        else:
            known = self._routes.get((request.url, request.allow_private))
        loop = self._loop
        if loop is None:
            raise UpstreamUnreachable("the router is not started")
        route, pool = known if known is not None else self._route(request, way)
        data = route.encode(request.headers, request.body)
        timeouts = request.timeouts
        now = loop.time()
        begin_by = now + request.begin_within if request.begin_within else 0.0
        end_by = now + request.end_within if request.end_within else 0.0
        connection = pool.take(now)
        if connection is not None:
            answer = HttpAnswer(timeouts, begin_by, end_by)
            connection.start(answer, data)
            try:
                await answer.opened()
            except UpstreamUnreachable:
                if answer.touched or loop.time() - now > _RACE:
                    raise
            else:
                return answer
        left = begin_by - loop.time() if begin_by else timeouts.connect
        connection = await pool.connect(min(left, timeouts.connect))
        answer = HttpAnswer(timeouts, begin_by, end_by)
        connection.start(answer, data)
        await answer.opened()
        return answer

    async def _send_by_ways(self, request: UpstreamRequest) -> HttpAnswer:
        """A proxy fails before anything is sent, so the next way can be taken."""
        *others, last = request.egress
        for way in others:
            with contextlib.suppress(ProxyFailed):
                return await self._send_by(request, way)
        return await self._send_by(request, last)

    async def _send_by(self, request: UpstreamRequest, way: Egress) -> HttpAnswer:
        try:
            answer = await self.send(request, way)
        except ProxyFailed as error:
            error.level = way.level
            raise
        answer.way = way
        return answer

    def _route(self, request: UpstreamRequest, way: Egress | None = None) -> tuple[Route, Pool]:
        route = Route(request.url, allow_private=request.allow_private, way=way or DIRECT)
        pool = self._pools.get(route.origin)
        if pool is None:
            pool = self._pools[route.origin] = Pool(route.origin, self._outbound)
        if len(self._routes) + len(self._ways) >= _MAX_ROUTES:
            self._routes.clear()
            self._ways.clear()
        if way is None:
            self._routes[request.url, request.allow_private] = route, pool
        else:
            self._ways[request.url, request.allow_private, way] = route, pool
        return route, pool

    def _sweep(self) -> None:
        if self._loop is None:
            return
        now = self._loop.time()
        for pool in self._pools.values():
            pool.sweep(now)
        self._sweeper = self._loop.call_later(_SWEEP_EVERY, self._sweep)
