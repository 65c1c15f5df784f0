"""One request's story at the edge: may it come in, who is it, what does the router say.

Bytes and sockets are the server's; nothing here knows HTTP beyond what a head says.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeAlias

from omni_catalogue.doorway import Doorway, is_rebound, wrong_host
from omni_catalogue.keyshape import is_wellformed
from omni_catalogue.networks import counted_as
from omni_catalogue.snapshot import Server, Snapshot
from omni_core.clock import monotonic, now_ms
from omni_core.component import Check
from omni_core.crowd import Crowd
from omni_core.meters import Meter
from omni_core.ports.auth import AuthPort
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Frame, ModelEntry, RouterPort
from omni_wire.errors import (
    BodyTooLarge,
    DependencyUnavailable,
    GatewayError,
    ModelNotFound,
    ServiceError,
    Unauthenticated,
)
from omni_wire.formats import WireFormat
from prometheus_client import CollectorRegistry

from omni_edge.domain.admission import WRONG_KEY, Holder, holder
from omni_edge.domain.keys import KeyCache, Verdict
from omni_edge.domain.limiter import Limiter
from omni_edge.domain.request import (
    Inbound,
    foreign_refusal,
    loop_refusal,
    media_refusal,
    presented_key,
    untyped_refusal,
)
from omni_edge.domain.shared import Decision
from omni_edge.domain.silence import Silence
from omni_edge.ports import NothingShared, SharedDecisions, SharedTallies
from omni_edge.settings import EdgeSettings

logger = logging.getLogger("omniroute.edge")

ANONYMOUS = "anonymous"
_NOBODY = Holder(ANONYMOUS)
_NO_KEY = (
    "No API key was given. Send one as 'Authorization: Bearer <key>', 'x-api-key: <key>' or 'x-goog-api-key: <key>'."
)
_CACHE, _AUTH, _STALE, _CHECKSUM = ("cache",), ("auth",), ("stale",), ("checksum",)
_SHARED = ("shared",)
_PROBE = CallContext(request_id="edge-probe")
_RENEWAL = CallContext(request_id="edge-renewal")

# Whose a key is, or why it is refused, None when nobody can say; and where that came from.
_Decided: TypeAlias = tuple[Holder | GatewayError | None, tuple[str] | None]


class EdgeService:
    """``feed_alive`` says whether the configuration feed, which carries revocations, is connected now."""

    def __init__(
        self,
        router: RouterPort,
        auth: AuthPort,
        settings: EdgeSettings,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], int] = lambda: now_ms() // 1000,
        feed_alive: Callable[[], bool] = lambda: True,
        shared: SharedDecisions = NothingShared(),  # noqa: B008 - holds nothing
    ) -> None:
        self._router = router
        self._auth = auth
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._checked = False
        self._feed_alive = feed_alive
        self._shared = shared
        self._keys = KeyCache(
            settings.key_cache_size, settings.key_ttl, settings.key_negative_ttl, settings.key_stale
        )  # fmt: skip
        self._asking: dict[bytes, asyncio.Task[Holder | GatewayError]] = {}
        self._renewing: dict[bytes, asyncio.Task[_Decided]] = {}
        self._reached: dict[str, Check] = {}
        self._met: set[str] = set()
        self._lookups = Meter(
            "omniroute_edge_key_lookups", "Where the answer to 'whose key is this' came from", ["source"], registry
        )  # fmt: skip
        for source in (_CACHE, _SHARED, _AUTH, _STALE, _CHECKSUM):
            self._lookups.add(source, 0)
        self.policy = Server()
        self.door = Doorway(self.policy)
        self.limiter = Limiter()
        self.crowd = Crowd()
        self.guards = False  # whether anybody may be refused before what they ask for is looked at
        self.silence = Silence(settings.keep_alive)
        self.revision = 0
        self.draining = False

    def configure(self, snapshot: Snapshot) -> None:
        """Take a new configuration: what it says of the edge holds from now on, and every cached key is asked about
        again."""
        self.door = Doorway(snapshot.server)
        self.limiter.configure(snapshot.server.guard)
        self.crowd.bound(snapshot.server.guard.connections, self._counted_connection)
        self.guards = self.door.active or self.limiter.by_address
        self._checked = snapshot.checked_keys
        self.policy = snapshot.server
        self.silence = Silence(self._settings.keep_alive, snapshot)
        self.revision = snapshot.revision
        self._keys.clear()

    def recognise(self, digest: bytes | None) -> Holder | None:
        """Who holds the key with this SHA-256, None when that takes asking: then ``identify``.

        Raises ``DependencyUnavailable`` (draining), ``Unauthenticated``.
        """
        if self.draining:
            raise DependencyUnavailable("This gateway is shutting down; try again.", retry_after=1)
        if digest is None:
            if self.policy.require_api_key:
                raise Unauthenticated(_NO_KEY)
            return _NOBODY
        now = self._clock()
        found = self._keys.find(digest, now)
        if isinstance(found, Holder):
            self._lookups.add(_CACHE)
            if self._keys.is_due(digest, now):
                self._renew(digest)
            return found
        if found is Verdict.REFUSED:
            self._lookups.add(_CACHE)
            raise Unauthenticated(WRONG_KEY)
        return None

    def is_noise(self, headers: Sequence[tuple[bytes, bytes]], query: bytes) -> bool:
        """Whether what is presented as a key can be none: all keys carry a checksum, and this does not."""
        return self._checked and not is_wellformed(presented_key(headers, query).decode("latin-1"))

    async def identify(
        self, digest: bytes | None, context: CallContext, noise: bool = False, client: str = ""
    ) -> Holder:
        """As ``recognise``, asking auth when it has to, and never about ``noise``. Raises the same, and
        ``DependencyUnavailable`` without auth; ``RateLimited`` where the address ``client`` (see ``counted``) has tried
        too many wrong ones, and this key was never a good one."""
        try:
            return await self._identify(digest, context, noise, client)
        except Unauthenticated as wrong:
            self.guessed(digest, client)
            raise wrong.with_traceback(None) from None

    def guessed(self, digest: bytes | None, client: str) -> None:
        """Count a wrong key. Raises ``RateLimited`` where that were too many before this one."""
        if digest is not None and client:
            self.limiter.check_guesses(client, self._wall())
            self.limiter.guessed(client, self._wall())

    async def _identify(self, digest: bytes | None, context: CallContext, noise: bool, client: str) -> Holder:
        known = self.recognise(digest)
        if known is not None:
            return known
        if noise:
            self._lookups.add(_CHECKSUM)
            raise Unauthenticated(WRONG_KEY)
        assert digest is not None  # noqa: S101 - ``recognise`` knows what to say to those without a key
        if client and not self._keys.has_met(digest):
            self.limiter.check_guesses(client, self._wall())
        return await self._ask_once(digest, context)

    def _counted_connection(self, peer: str) -> str:
        """Proxies of ours have those of all their clients."""
        found = self.door.client(peer, ())
        return counted_as(found) if found is not None and not self.door.is_proxy(peer) else ""

    async def share(self, shared: SharedTallies) -> None:
        """Tell the other edges what was counted here since the last time, and hear what they did."""
        for kind, told in self.limiter.take(self._wall()).items():
            heard = await shared.add(kind, told)
            if heard is None:
                self.limiter.give_back(kind, told)
            else:
                self.limiter.hear(kind, told, heard)

    def enter(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """Whether whoever sends this may come in, whatever it is. Where addresses are counted it is one more, which is
        to leave by ``limiter.leave`` under the name returned.

        Raises ``InvalidRequest``, ``PermissionDenied``, ``RateLimited``."""
        self.door.check(peer, headers, self._wall())
        if not self.limiter.by_address:
            return ""
        name = self.counted(peer, headers)
        self.limiter.enter(name, self._wall())
        return name

    def counted(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """Under which name the sender of a request is counted."""
        client = self.door.client(peer, headers)
        return counted_as(client) if client is not None else "unknown"

    def enter_key(self, key_id: str) -> None:
        """Count a request of a key, which is to leave by ``limiter.leave_key``. Raises ``RateLimited``."""
        self.limiter.enter_key(key_id, self._wall())

    def admit(self, who: Holder, endpoint: str, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Whether a key may be used for an endpoint, from where it comes, now. ``peer`` is the address at the other end
        of the connection, ``headers`` the request's.

        Raises ``PermissionDenied``, ``Unauthenticated``.
        """
        if not who.limited:
            return
        client = None
        if who.ips:
            client = self.door.client(peer, headers)
        refusal = who.refusal(endpoint, client, self._wall())
        if refusal is not None:
            raise refusal

    def check(
        self, inbound: Inbound, peer: str = "", own: str = "", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Whether a body of this kind and announced size may come in. ``peer`` and ``own`` are the addresses at the two
        ends of the connection.

        Raises ``PermissionDenied``, ``InvalidRequest``, ``UnsupportedMediaType``, ``BodyTooLarge``.
        """
        if inbound.key_digest is None:
            self.check_origin(inbound, peer, own, headers)
            if not inbound.content_type:
                raise untyped_refusal()
        refusal = media_refusal(inbound.content_type, inbound.content_encoding)
        if refusal is not None:
            raise refusal
        loop = loop_refusal(inbound.headers)
        if loop is not None:
            raise loop
        if inbound.length > self.policy.max_body_bytes:
            raise self.too_large()

    def check_origin(
        self, inbound: Inbound, peer: str = "", own: str = "", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Where no key is needed, whoever reaches the gateway may use it, and any page that a user opens makes the
        browser reach it. Raises ``PermissionDenied`` for those pages, ``InvalidRequest`` for one whose own name was
        pointed at this machine."""
        if inbound.key_digest is not None:
            return
        if inbound.foreign:
            raise foreign_refusal()
        if not self.door.names_hosts and is_rebound(headers, own) and not self.door.is_proxy(peer):
            raise wrong_host()

    async def _ask_once(self, digest: bytes, context: CallContext) -> Holder:
        """Requests that miss together ask auth together."""
        task = self._asking.get(digest)
        if task is None:
            task = asyncio.create_task(self._ask(digest, context))
            self._asking[digest] = task
            task.add_done_callback(lambda _: self._asking.pop(digest, None))
        verdict = await asyncio.shield(task)
        if isinstance(verdict, GatewayError):
            raise verdict.with_traceback(None)
        return verdict

    async def _ask(self, digest: bytes, context: CallContext) -> Holder | GatewayError:
        verdict, source = await self._decide(digest, context, self._settings.key_ttl)
        if verdict is None:
            return self._without_auth(digest)
        if source is not None:
            self._lookups.add(source)
        return verdict

    def _renew(self, digest: bytes) -> None:
        """Ask about a key beside the requests that it is good for; when that fails it is good for them still."""
        if digest not in self._renewing:
            due = self._settings.key_ttl / 2
            task = asyncio.create_task(self._decide(digest, _RENEWAL, due))
            self._renewing[digest] = task
            task.add_done_callback(lambda _: self._renewing.pop(digest, None))

    async def _decide(self, digest: bytes, context: CallContext, youth: float) -> _Decided:
        """What others were told less than ``youth`` seconds ago, else what auth says; None while that is away."""
        generation, revision = self._keys.generation, self.revision
        told = await self._shared.find(digest)
        age = told.age(revision, self._wall(), youth) if told is not None else None
        if told is not None and age is not None and generation == self._keys.generation:
            who = holder(told.key_id, told.scopes)
            self._keys.accept(digest, who, self._clock(), generation, age)
            return who, _SHARED
        asked, now = self._wall(), self._clock()  # what is said later may be true no longer when it arrives
        try:
            async with asyncio.timeout(self._settings.auth_timeout):
                identity = await self._auth.authenticate(context, digest)
        except Unauthenticated:
            self._keys.refuse(digest, self._clock(), generation)
            return Unauthenticated(WRONG_KEY), _AUTH
        except (ServiceError, TimeoutError):
            return None, None
        except GatewayError as refusal:
            return refusal, None
        who = holder(identity.key_id, identity.scopes)
        self._keys.accept(digest, who, now, generation)
        if generation == self._keys.generation:
            await self._shared.keep(digest, Decision(revision, asked, identity.key_id, identity.scopes))
        return who, _AUTH

    def _without_auth(self, digest: bytes) -> Holder | GatewayError:
        """While auth is away a known key goes on for its time; for ``key_stale`` longer, where that was asked for, as
        long as a revocation could still reach us."""
        now = self._clock()
        who = self._keys.find_stale(digest, now) if self._feed_alive() else None
        if who is None:
            return DependencyUnavailable("The API key cannot be checked at the moment; try again.", retry_after=1)
        self._lookups.add(_STALE)
        self._keys.extend(digest, now)
        return who

    def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        """The router's answer. See ``RouterPort.complete``."""
        return self._router.complete(call)

    async def count_tokens(
        self, context: CallContext, key_id: str, dialect: WireFormat, model: str, body: bytes, headers: dict[str, str]
    ) -> int:
        """Tokens of the input in ``body``. See ``RouterPort.count_tokens``."""
        return await self._router.count_tokens(context, key_id, dialect, model, body, headers)

    async def models(self, context: CallContext, key_id: str) -> list[ModelEntry]:
        """Raises ``DependencyUnavailable``."""
        try:
            async with asyncio.timeout(self._settings.models_timeout):
                return await self._router.models(context, key_id)
        except TimeoutError as error:
            raise DependencyUnavailable("The router did not answer in time.", retry_after=1) from error

    async def model(self, context: CallContext, key_id: str, model_id: str) -> ModelEntry:
        """Raises ``ModelNotFound``, ``DependencyUnavailable``."""
        for entry in await self.models(context, key_id):
            if entry.id == model_id:
                return entry
        raise ModelNotFound(f"The model '{model_id}' does not exist, or this key may not use it.", param="model")

    def too_large(self) -> BodyTooLarge:
        return BodyTooLarge(f"The request body is larger than this gateway takes ({self.policy.max_body_bytes} bytes).")

    async def probe(self) -> None:
        """Ask auth and router for something cheap, so that ``checks`` knows whether they are there.

        The question to a router has the time in which another one is asked when the first says nothing.
        """
        await asyncio.gather(
            self._reach("auth", self._settings.auth_timeout, self._auth.configuration),
            self._reach("router", self._settings.models_timeout, lambda: self._router.models(_PROBE, ANONYMOUS)),
        )

    async def _reach(self, name: str, timeout: float, call: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(timeout):
                await call()
            check = Check(ok=True)
        except TimeoutError:
            check = Check(ok=False, detail=f"no answer within {timeout:g} s")
        except DependencyUnavailable as error:
            check = Check(ok=False, detail=error.message)
        except GatewayError:
            check = Check(ok=True)  # it answered; that it refuses the probe says nothing against it
        except Exception:
            logger.exception("the probe of %s failed unexpectedly", name)
            check = Check(ok=False, detail="unexpected failure; see the log")
        before = self._reached.get(name)
        if before is not None and before.ok != check.ok:
            if check.ok:
                logger.info("%s is back", name)
            else:
                logger.warning("%s is away", name, extra={"fields": {"detail": check.detail}})
        if check.ok:
            self._met.add(name)
        self._reached[name] = check

    def checks(self) -> dict[str, Check]:
        """What the edge needs to serve. The feed's connection is the component's to add."""
        unknown = Check(ok=False, detail="not reached yet")
        configured = self.revision > 0
        auth = self._reached.get("auth", unknown)
        if not auth.ok and not self.policy.require_api_key:  # whoever shows none is served without it
            auth = Check(True, f"away, requests without a key go on; {auth.detail}")
        elif not auth.ok and "auth" in self._met:  # no reason to send those elsewhere whose keys are known here
            auth = Check(True, f"away, known keys go on; {auth.detail}")
        return {
            "configuration": Check(ok=configured, detail=f"revision {self.revision}" if configured else "none yet"),
            "auth": auth,
            "router": self._reached.get("router", unknown),
        }
