"""The provider itself: which request gets which answer, and what is written into the books."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Coroutine
from copy import copy
from typing import Any

import msgspec
from omni_wire.errors import (
    BodyTooLarge,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    Unauthenticated,
    UpstreamRejected,
)
from omni_wire.usage import Usage

from omni_simulator.formats import BEDROCK, CURSOR, GEMINI, KIRO, MESSAGES, Format
from omni_simulator.formats.aws_frames import TYPE_HEADER, error_type
from omni_simulator.formats.cursor import check_client
from omni_simulator.http import Connection, Request, finish_head, head
from omni_simulator.meter import Meter, Seen, Totals
from omni_simulator.plans import ADDRESSES, Plans
from omni_simulator.plans import headers as plan_headers
from omni_simulator.play import Broken, Player
from omni_simulator.prepared import JSON, Kitchen, Prepared, seed_of
from omni_simulator.ration import Ration
from omni_simulator.routes import Route, find, format_of
from omni_simulator.script import Script, read_script, without_faults

_log = logging.getLogger("omniroute.simulator")

_BACKLOG = 4096
_MAX_GATES = 10_000


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """``script`` applies to every request first; ``keep_requests`` is how many of the latest requests stay whole."""

    models: tuple[str, ...] = ("sim", "sim+think", "sim+tools", "sim+agent", "sim+tps:30")
    script: str = ""
    require_key: str | None = None
    keep_requests: int = 64
    max_body: int = 64 * 1024 * 1024


class Simulator:
    """A provider on ``host:port``; port 0 takes a free one. Starts once, stops once.

    Raises ``OSError`` from ``start`` when the port is taken, ``InvalidRequest`` from the constructor when the options'
    script is outside the grammar.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, options: Options | None = None) -> None:
        self._host = host
        self._wanted_port = port
        self._options = options or Options()
        read_script(self._options.script, "", "")
        self._kitchen = Kitchen(self._options.script)
        self._gates: Counter[tuple[str, Script]] = Counter()
        self._ration = Ration()
        self.plans = Plans()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.meter = Meter(self._options.keep_requests)

    async def start(self) -> int:
        """Returns the bound port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, self._host, self._wanted_port, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        _log.info("the simulator listens", extra={"fields": {"host": self._host, "port": self.port}})
        return self.port

    async def stop(self) -> None:
        """Cut every connection and release the port. Safe after a failed start."""
        if self._server is None:
            return
        self._server.close()
        tasks = [connection.task for connection in self._connections if connection.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()
        self._server = None

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}"

    @property
    def requests(self) -> Counter[str]:
        return self.meter.requests

    @property
    def recent(self) -> list[Seen]:
        return list(self.meter.recent)

    @property
    def active(self) -> int:
        return self.meter.active

    @property
    def cancelled(self) -> int:
        return self.meter.cancelled

    @property
    def served(self) -> Totals:
        return self.meter.served

    def _connect(self) -> Connection:
        return Connection(self._handle, self._connections, self._options.max_body)

    # ---- one request ------------------------------------------------------------------------------------------------

    def _handle(self, request: Request, connection: Connection) -> bytes | Coroutine[Any, Any, None]:
        route = find(request.method, request.target)
        if route is None or route.action not in ("health", "stats"):
            name = "other" if route is None else route.name
            self.meter.saw(name, request.method, request.target, request.headers, request.body)
        try:
            if route is None:
                raise _nothing_there(request)
            if route.action in ("health", "stats", "models", "model", "upgrade"):
                return self._inform(route, request)
            if route.action == "usage":
                return self._usage(route, request)
            return self._answer(route, request, connection)
        except GatewayError as error:
            self.meter.refused += 1
            spoken = format_of(request.target) if route is None else route.format
            return _refusal(request, spoken, error)

    def _answer(self, route: Route, request: Request, connection: Connection) -> bytes | Coroutine[Any, Any, None]:
        self._check_key(request, self._options.require_key)
        if route.format is CURSOR:
            check_client(request.headers)
        prepared = self._kitchen.prepare(route, request.headers.get(b"x-sim-script", b""), request.body)
        script, whose = prepared.script, ("", "")
        if not script.calm:
            self._check_key(request, script.require_key)
            whose = (_key(request), prepared.ask.model)
            self._ration.take(script, whose, asyncio.get_running_loop().time())
            if script.selective and not self._gate(prepared, whose[0]):
                script = without_faults(script)
        if script.plan is not None:
            prepared = self._planned(prepared, request)
        large = len(prepared.body) > 1 << 18
        if prepared.usage is None or (script.calm and not large and (request.modern or prepared.frames is None)):
            if prepared.usage is not None:
                self.meter.serve(prepared.ask.model, prepared.usage)
            length = len(prepared.body) if prepared.frames is None else None
            return finish_head(prepared.opening, request, length) + prepared.body
        return self._perform(Player(request, connection, prepared, script), connection, prepared, whose)

    def _planned(self, prepared: Prepared, request: Request) -> Prepared:
        """With what is left of its key's plan; one of its own, as what is prepared is kept."""
        now = time.time()
        plan = self.plans.take(_key(request), prepared.script, now)
        prepared = copy(prepared)
        if plan is not None:
            prepared.opening += plan_headers(plan, prepared.format is MESSAGES, now)
        return prepared

    def _usage(self, route: Route, request: Request) -> bytes:
        """As the vendor whose address that is would tell of the plan of the simulator's own script."""
        self._check_key(request, self._options.require_key)
        if route.name in self.plans.said:
            return _json(request, *self.plans.said[route.name])
        plan = self.plans.of(_key(request), read_script(self._options.script, "", ""), time.time())
        if plan is None:
            raise ModelNotFound("this simulated provider sells no plan: give it a script such as plan:10")
        return _json(request, 200, msgspec.json.encode(ADDRESSES[route.name][1](plan)))

    async def _perform(
        self, player: Player, connection: Connection, prepared: Prepared, whose: tuple[str, str]
    ) -> None:
        meter = self.meter
        meter.active += 1
        self._ration.enter(whose)
        try:
            await player.play()
            meter.serve(prepared.ask.model, prepared.usage or _NOTHING)
        except UpstreamRejected:
            meter.refused += 1
        except Broken:
            if player.began:
                meter.interrupt(prepared.usage or _NOTHING, player.sent)
        except asyncio.CancelledError:
            meter.cancelled += connection.gone
            if player.began:
                meter.interrupt(prepared.usage or _NOTHING, player.sent)
            raise
        finally:
            meter.active -= 1
            self._ration.leave(whose)

    def _gate(self, prepared: Prepared, key: str) -> bool:
        """Whether this request is one that the faults hit; counts those that carry the right key."""
        script = prepared.script
        if script.only_key is not None and key != script.only_key:
            return False
        name = (prepared.ask.model, script)
        if len(self._gates) >= _MAX_GATES:
            self._gates.clear()
        self._gates[name] += 1
        number = self._gates[name]
        if script.fail_first is not None and number > script.fail_first:
            return False
        return script.fail_every is None or number % script.fail_every == 0

    @staticmethod
    def _check_key(request: Request, wanted: str | None) -> None:
        if wanted is not None and _key(request) != wanted:
            raise Unauthenticated("the API key is wrong: this simulated provider requires another")

    def _inform(self, route: Route, request: Request) -> bytes:
        if route.action == "upgrade":
            return _json(request, 426, b'{"error":{"message":"no WebSocket here: POST instead"}}')
        if route.action == "health":
            return _json(request, 200, b"" if request.method == b"HEAD" else b'{"status":"ok"}')
        if route.action == "stats":
            if request.method == b"DELETE":
                self.meter.clear()
                self._gates.clear()
                self._ration.clear()
                self.plans.clear()
            return _json(request, 200, msgspec.json.encode(self.meter.report()))
        self._check_key(request, self._options.require_key)
        spoken = _listing_format(route, request)
        listed = spoken.model(route.model) if route.action == "model" else spoken.models(self._options.models)
        return _json(request, 200, msgspec.json.encode(listed))


_NOTHING = Usage()


def _listing_format(route: Route, request: Request) -> Format:
    """Vendors share /v1/models; their SDKs tell themselves apart by headers."""
    if b"x-goog-api-key" in request.headers:
        return GEMINI
    if b"anthropic-version" in request.headers or b"x-api-key" in request.headers:
        return MESSAGES
    return route.format


def _key(request: Request) -> str:
    headers = request.headers
    bearer = headers.get(b"authorization", b"")
    if bearer[:7].lower() == b"bearer ":
        return bearer[7:].decode("latin-1")
    if bearer:  # GitHub's "token …", Z.AI's key by itself
        return bearer.removeprefix(b"token ").decode("latin-1")
    found = headers.get(b"x-api-key") or headers.get(b"x-goog-api-key")
    if found is None:
        query = request.target.partition(b"?")[2].split(b"&")
        found = next((part[4:] for part in query if part.startswith(b"key=")), b"")
    return found.decode("latin-1")


def _nothing_there(request: Request) -> GatewayError:
    if request.method == b"TOO-LARGE":
        return BodyTooLarge("the body is too large")
    path = request.target.partition(b"?")[0].decode("latin-1")
    if any(find(method, request.target) is not None for method in (b"GET", b"POST")):
        return InvalidRequest(f"{path} does not take this method", status=405)
    return ModelNotFound(f"there is nothing at {path}", code="not_found")


def _refusal(request: Request, spoken: Format, error: GatewayError) -> bytes:
    request_id = f"req_{seed_of(request.body)}"
    named = [(spoken.request_id_header, request_id.encode())]
    if spoken in (BEDROCK, KIRO):
        named.append((TYPE_HEADER, error_type(error).encode()))
    return _json(request, error.status, spoken.error(error, request_id), *named)


def _json(request: Request, status: int, body: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    return finish_head(head(status, JSON, *extra), request, len(body)) + body
