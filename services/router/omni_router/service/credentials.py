"""Accounts' credentials, kept in memory for at most a minute and nowhere else.

One that is remembered is asked for again, beside the requests, when half its time is over: so auth may be away for the
other half before anybody notices. Requests that need one which is not remembered ask together, and when auth does not
answer, the next ones are told at once for a moment, so that they go on to another candidate without a wait.

One that came of a login may be renewed: whose was refused asks for another, all together and once a version.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Protocol

from omni_catalogue.proxies import Proxy
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.auth import AuthPort, Credential
from omni_core.ports.context import CallContext
from omni_core.redaction import keep_secret
from omni_wire.errors import CredentialUnavailable, GatewayError

log = logging.getLogger("omniroute.router")

MAX_TTL = 60.0
NONE = Credential("", "")


class Holder(Protocol):
    """Whose credential it is: an account, or a proxy."""

    @property
    def id(self) -> str: ...

    @property
    def secret_version(self) -> str: ...


class _Kept:
    """A credential: used without a thought until ``fresh_until``, and until ``until`` unless it is ``doubted``.
    ``version`` is what the snapshot says of the account's."""

    __slots__ = ("credential", "doubted", "fresh_until", "until", "version")

    def __init__(self, credential: Credential, version: str, fresh_until: float, until: float) -> None:
        self.credential, self.version = credential, version
        self.fresh_until, self.until = fresh_until, until
        self.doubted = False


class Credentials:
    """Asks auth, remembers the answer for ``ttl`` seconds (60 at most) or until the account's secret version changes.

    ``timeout`` bounds one question, ``renewal`` that for another credential, ``pause`` is between two while auth is
    away; seconds.
    """

    def __init__(
        self, auth: AuthPort, ttl: float, *, timeout: float = 2.0, pause: float = 0.5, renewal: float = 15.0
    ) -> None:
        self._auth = auth
        self._ttl, self._timeout, self._pause, self._renewal = min(ttl, MAX_TTL), timeout, pause, renewal
        self._kept: dict[str, _Kept] = {}
        self._asking: dict[str, asyncio.Task[Credential | GatewayError]] = {}
        self._away_until = 0.0

    async def have(self, context: CallContext, account: Holder) -> Credential:
        """Remembered or asked for. Raises ``CredentialUnavailable``."""
        known = self.known(account)
        return known if known.secret else await self.ask(context, account)

    def known(self, account: Holder) -> Credential:
        """The account's, if it is remembered; else ``NONE``, and ``ask`` has to be."""
        kept = self._kept.get(account.id)
        if kept is None or kept.version != account.secret_version:
            return NONE
        now = clock.monotonic()
        if now < kept.fresh_until:
            return kept.credential
        if kept.doubted or now >= kept.until:
            return NONE
        kept.fresh_until = now + self._pause  # not at every request, while auth is away
        self._task(account)
        return kept.credential

    async def ask(self, context: CallContext, account: Holder) -> Credential:
        """``NONE`` for an account that needs none. Raises ``CredentialUnavailable``."""
        if not account.secret_version:
            return NONE
        answer = await asyncio.shield(self._task(account, context))
        if isinstance(answer, GatewayError):
            raise answer.with_traceback(None)
        return answer

    async def renewed(self, context: CallContext, account: Holder, refused: Credential) -> Credential | None:
        """Another one for a credential that the provider refused; None where there is none to be had, and for one that
        did not come of a login."""
        if not refused.login:
            return None
        known = self.known(account)
        if known.secret and known.version != refused.version:  # another request was faster
            return known
        name = f"{account.id}\n{refused.version}\nrefused"
        task = self._asking.get(name)
        if task is None:
            task = self._begin(name, self._renew(context, account, refused))
        answer = await asyncio.shield(task)
        return None if isinstance(answer, GatewayError) or answer.version == refused.version else answer

    def forget(self, account_id: str) -> None:
        """The provider refused it: ask again next time, and use it only if auth cannot be asked."""
        kept = self._kept.get(account_id)
        if kept is not None:
            kept.doubted, kept.fresh_until = True, 0.0

    async def close(self) -> None:
        """End what is being asked, and forget everything."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._kept.clear()

    def _task(self, account: Holder, context: CallContext | None = None) -> "asyncio.Task[Credential | GatewayError]":
        """Those who need the same one wait for the same answer."""
        name = f"{account.id}\n{account.secret_version}"
        task = self._asking.get(name)
        if task is None:
            task = self._begin(name, self._fetch(context or CallContext(new_id()), account))
        return task

    def _begin(
        self, name: str, asking: Coroutine[None, None, Credential | GatewayError]
    ) -> "asyncio.Task[Credential | GatewayError]":
        task = self._asking[name] = asyncio.create_task(asking, name="credential")
        task.add_done_callback(lambda task: self._asked(name, task))
        return task

    def _asked(self, name: str, task: "asyncio.Task[Credential | GatewayError]") -> None:
        self._asking.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("asking for a credential failed unexpectedly", exc_info=error)

    async def _renew(self, context: CallContext, account: Holder, refused: Credential) -> Credential | GatewayError:
        try:
            async with asyncio.timeout(self._renewal):
                credential = await self._auth.refresh_credential(context, account.id, refused.version)
        except CredentialUnavailable as refusal:
            log.info("no other credential", extra={"fields": {"account": account.id, "reason": refusal.message}})
            return refusal
        except (GatewayError, TimeoutError):
            return self._without_auth(account, clock.monotonic())
        self._keep(account, credential, clock.monotonic())
        return credential

    async def _fetch(self, context: CallContext, account: Holder) -> Credential | GatewayError:
        now = clock.monotonic()
        if now < self._away_until:
            return self._without_auth(account, now)
        try:
            async with asyncio.timeout(self._timeout):
                credential = await self._auth.credential(context, account.id)
        except CredentialUnavailable as refusal:
            self._kept.pop(account.id, None)  # auth knows better than we remember
            return refusal
        except (GatewayError, TimeoutError):
            self._away_until = clock.monotonic() + self._pause
            return self._without_auth(account, clock.monotonic())
        self._keep(account, credential, now)
        return credential

    def _keep(self, account: Holder, credential: Credential, now: float) -> None:
        ttl = self._ttl
        if credential.expires:  # one of a login may be over sooner
            ttl = min(ttl, max(0.0, (credential.expires - clock.now_ms()) / 1000))
        self._kept[account.id] = _Kept(credential, account.secret_version, now + ttl / 2, now + ttl)
        for secret in (credential.secret, credential.usage_secret):
            if secret:
                keep_secret(secret)
        asyncio.get_running_loop().call_later(ttl, self._expire, account.id)

    def _expire(self, account_id: str) -> None:
        kept = self._kept.get(account_id)
        if kept is not None and kept.until <= clock.monotonic():
            del self._kept[account_id]

    def _without_auth(self, account: Holder, now: float) -> Credential | GatewayError:
        kept = self._kept.get(account.id)
        if kept is not None and kept.version == account.secret_version and now < kept.until:
            return kept.credential
        return CredentialUnavailable(
            f"the credential for {account.id.partition('/')[0]} cannot be had at the moment; try again", retry_after=1.0
        )


class ProxySecrets:
    """Users and passwords of proxies, as the credentials of accounts: ``omni_core.outbound.Secrets``."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def secret(self, proxy: Proxy) -> str:
        return (await self._credentials.have(CallContext(new_id()), proxy)).secret

    def refused(self, proxy: Proxy) -> None:
        self._credentials.forget(proxy.id)
