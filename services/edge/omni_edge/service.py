"""One request's story at the edge: may it come in, who is it, what does the router say.

Bytes and sockets are the server's; nothing here knows HTTP beyond what a head says.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable

from omni_catalogue.snapshot import Server, Snapshot
from omni_core.clock import monotonic
from omni_core.component import Check
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

from omni_edge.domain.keys import KeyCache, Verdict
from omni_edge.domain.request import Inbound, foreign_refusal, media_refusal, untyped_refusal
from omni_edge.settings import EdgeSettings

logger = logging.getLogger("omniroute.edge")

ANONYMOUS = "anonymous"
_NO_KEY = (
    "No API key was given. Send one as 'Authorization: Bearer <key>', 'x-api-key: <key>' or 'x-goog-api-key: <key>'."
)
_WRONG_KEY = "The API key is wrong: it is not a key of this gateway, or it was revoked."
_CACHE, _AUTH, _STALE = ("cache",), ("auth",), ("stale",)
_PROBE = CallContext(request_id="edge-probe")


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
        feed_alive: Callable[[], bool] = lambda: True,
    ) -> None:
        self._router = router
        self._auth = auth
        self._settings = settings
        self._clock = clock
        self._feed_alive = feed_alive
        self._keys = KeyCache(
            settings.key_cache_size, settings.key_ttl, settings.key_negative_ttl, settings.key_stale
        )  # fmt: skip
        self._asking: dict[bytes, asyncio.Task[str | GatewayError]] = {}
        self._reached: dict[str, Check] = {}
        self._met: set[str] = set()
        self._lookups = Meter(
            "omniroute_edge_key_lookups", "Where the answer to 'whose key is this' came from", ["source"], registry
        )  # fmt: skip
        for source in (_CACHE, _AUTH, _STALE):
            self._lookups.add(source, 0)
        self.policy = Server()
        self.revision = 0
        self.draining = False

    def configure(self, snapshot: Snapshot) -> None:
        """Take a new configuration: its server section holds from now on, and every cached key is asked about again."""
        self.policy = snapshot.server
        self.revision = snapshot.revision
        self._keys.clear()

    def recognise(self, digest: bytes | None) -> str | None:
        """The id of the key with this SHA-256, None when that takes asking: then ``identify``.

        Raises ``DependencyUnavailable`` (draining), ``Unauthenticated``.
        """
        if self.draining:
            raise DependencyUnavailable("This gateway is shutting down; try again.", retry_after=1)
        if digest is None:
            if self.policy.require_api_key:
                raise Unauthenticated(_NO_KEY)
            return ANONYMOUS
        found = self._keys.find(digest, self._clock())
        if isinstance(found, str):
            self._lookups.add(_CACHE)
            return found
        if found is Verdict.REFUSED:
            self._lookups.add(_CACHE)
            raise Unauthenticated(_WRONG_KEY)
        return None

    async def identify(self, digest: bytes | None, context: CallContext) -> str:
        """As ``recognise``, asking auth when it has to. Raises the same, and ``DependencyUnavailable`` without auth."""
        known = self.recognise(digest)
        if known is not None:
            return known
        assert digest is not None  # noqa: S101 - ``recognise`` knows what to say to those without a key
        return await self._ask_once(digest, context)

    def check(self, inbound: Inbound) -> None:
        """Whether a body of this kind and announced size may come in.

        Raises ``PermissionDenied``, ``UnsupportedMediaType``, ``BodyTooLarge``.
        """
        if inbound.key_digest is None:
            self.check_origin(inbound)
            if not inbound.content_type:
                raise untyped_refusal()
        refusal = media_refusal(inbound.content_type, inbound.content_encoding)
        if refusal is not None:
            raise refusal
        if inbound.length > self.policy.max_body_bytes:
            raise self.too_large()

    def check_origin(self, inbound: Inbound) -> None:
        """Where no key is needed, whoever reaches the gateway may use it, and any page that a user opens makes the
        browser reach it. Raises ``PermissionDenied`` for those pages."""
        if inbound.foreign:
            raise foreign_refusal()

    async def _ask_once(self, digest: bytes, context: CallContext) -> str:
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

    async def _ask(self, digest: bytes, context: CallContext) -> str | GatewayError:
        generation = self._keys.generation
        try:
            async with asyncio.timeout(self._settings.auth_timeout):
                identity = await self._auth.authenticate(context, digest)
        except Unauthenticated:
            self._lookups.add(_AUTH)
            self._keys.refuse(digest, self._clock(), generation)
            return Unauthenticated(_WRONG_KEY)
        except (ServiceError, TimeoutError):
            return self._without_auth(digest)
        except GatewayError as refusal:
            return refusal
        self._lookups.add(_AUTH)
        self._keys.accept(digest, identity.key_id, self._clock(), generation)
        return identity.key_id

    def _without_auth(self, digest: bytes) -> str | GatewayError:
        """While auth is away a known key goes on, as long as a revocation could still reach us."""
        now = self._clock()
        key_id = self._keys.find_stale(digest, now) if self._feed_alive() else None
        if key_id is None:
            return DependencyUnavailable("The API key cannot be checked at the moment; try again.", retry_after=1)
        self._lookups.add(_STALE)
        self._keys.extend(digest, now)
        return key_id

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
