"""Providers over HTTP/1.1: pooled, bounded in time, never redirected, no address connected to unchecked."""

import asyncio
import ssl

from omni_core.addresses import Resolver
from omni_wire.errors import UpstreamUnreachable

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
    """``Upstream``. ``tls`` replaces the system's certificate authorities."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._given_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resolver = Resolver()
        self._pools: dict[Origin, Pool] = {}
        self._routes: dict[tuple[str, bool], tuple[Route, Pool]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        tls = self._given_tls
        if tls is None:
            tls = await asyncio.to_thread(ssl.create_default_context)
        tls.set_alpn_protocols(["http/1.1"])
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._sweeper = self._loop.call_later(_SWEEP_EVERY, self._sweep)

    async def stop(self) -> None:
        """Every connection is closed afterwards; answers under way end in ``StreamInterrupted``."""
        self._loop = None
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._routes.clear()
        for pool in list(self._pools.values()):
            await pool.close()
        self._pools.clear()

    async def send(self, request: UpstreamRequest) -> HttpAnswer:
        """The answer, once its head is there. Cancelled, it closes the connection.

        A connection from the pool that is closed before the first byte of an answer, at once, is replaced by a new
        one, once. Raises ``UpstreamUnreachable``, ``UpstreamTimeout``, ``UpstreamFailed`` (not HTTP) or
        ``StreamInterrupted`` (cut within the head).
        """
        loop = self._loop
        if loop is None:
            raise UpstreamUnreachable("the router is not started")
        known = self._routes.get((request.url, request.allow_private))
        route, pool = known if known is not None else self._route(request)
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

    def _route(self, request: UpstreamRequest) -> tuple[Route, Pool]:
        route = Route(request.url, allow_private=request.allow_private)
        pool = self._pools.get(route.origin)
        if pool is None:
            pool = Pool(route.origin, self._resolver, self._tls if route.origin.tls else None)
            self._pools[route.origin] = pool
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        self._routes[request.url, request.allow_private] = route, pool
        return route, pool

    def _sweep(self) -> None:
        if self._loop is None:
            return
        now = self._loop.time()
        for pool in self._pools.values():
            pool.sweep(now)
        self._sweeper = self._loop.call_later(_SWEEP_EVERY, self._sweep)
