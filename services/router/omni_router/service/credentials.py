"""Accounts' credentials, kept in memory for at most a minute and nowhere else.

One that is remembered is asked for again, beside the requests, when half its time is over: so auth may be away for the
other half before anybody notices. Requests that need one which is not remembered ask together, and when auth does not
answer, the next ones are told at once for a moment, so that they go on to another candidate without a wait.
"""

import asyncio
import logging
from typing import Protocol

from omni_catalogue.proxies import Proxy
from omni_core import clock
from omni_core.ids import new_id
from omni_core.ports.auth import AuthPort
from omni_core.ports.context import CallContext
from omni_core.redaction import keep_secret
from omni_wire.errors import CredentialUnavailable, GatewayError

log = logging.getLogger("omniroute.router")

MAX_TTL = 60.0


class Holder(Protocol):
    """Whose credential it is: an account, or a proxy."""

    @property
    def id(self) -> str: ...

    @property
    def secret_version(self) -> str: ...


class _Kept:
    """A secret: used without a thought until ``fresh_until``, and until ``until`` unless it is ``doubted``."""

    __slots__ = ("doubted", "fresh_until", "secret", "until", "version")

    def __init__(self, secret: str, version: str, fresh_until: float, until: float) -> None:
        self.secret, self.version = secret, version
        self.fresh_until, self.until = fresh_until, until
        self.doubted = False


class Credentials:
    """Asks auth, remembers the answer for ``ttl`` seconds (60 at most) or until the account's secret version changes.

    ``timeout`` bounds one question, ``pause`` is between two while auth is away; seconds.
    """

    def __init__(self, auth: AuthPort, ttl: float, *, timeout: float = 2.0, pause: float = 0.5) -> None:
        self._auth = auth
        self._ttl, self._timeout, self._pause = min(ttl, MAX_TTL), timeout, pause
        self._kept: dict[str, _Kept] = {}
        self._asking: dict[str, asyncio.Task[str | GatewayError]] = {}
        self._away_until = 0.0

    def known(self, account: Holder) -> str:
        """The account's secret, if it is remembered; else empty, and ``ask`` has to be."""
        kept = self._kept.get(account.id)
        if kept is None or kept.version != account.secret_version:
            return ""
        now = clock.monotonic()
        if now < kept.fresh_until:
            return kept.secret
        if kept.doubted or now >= kept.until:
            return ""
        kept.fresh_until = now + self._pause  # not at every request, while auth is away
        self._task(account)
        return kept.secret

    async def ask(self, context: CallContext, account: Holder) -> str:
        """The secret; empty for an account that needs none. Raises ``CredentialUnavailable``."""
        if not account.secret_version:
            return ""
        answer = await asyncio.shield(self._task(account, context))
        if isinstance(answer, GatewayError):
            raise answer.with_traceback(None)
        return answer

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

    def _task(self, account: Holder, context: CallContext | None = None) -> "asyncio.Task[str | GatewayError]":
        """Those who need the same one wait for the same answer."""
        name = f"{account.id}\n{account.secret_version}"
        task = self._asking.get(name)
        if task is None:
            task = asyncio.create_task(self._fetch(context or CallContext(new_id()), account), name="credential")
            self._asking[name] = task
            task.add_done_callback(lambda task: self._asked(name, task))
        return task

    def _asked(self, name: str, task: "asyncio.Task[str | GatewayError]") -> None:
        self._asking.pop(name, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("asking for a credential failed unexpectedly", exc_info=error)

    async def _fetch(self, context: CallContext, account: Holder) -> str | GatewayError:
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
        self._kept[account.id] = _Kept(
            credential.secret, account.secret_version, now + self._ttl / 2, now + self._ttl
        )  # fmt: skip
        keep_secret(credential.secret)
        asyncio.get_running_loop().call_later(self._ttl, self._expire, account.id)
        return credential.secret

    def _expire(self, account_id: str) -> None:
        kept = self._kept.get(account_id)
        if kept is not None and kept.until <= clock.monotonic():
            del self._kept[account_id]

    def _without_auth(self, account: Holder, now: float) -> str | GatewayError:
        kept = self._kept.get(account.id)
        if kept is not None and kept.version == account.secret_version and now < kept.until:
            return kept.secret
        return CredentialUnavailable(
            f"the credential for {account.id.partition('/')[0]} cannot be had at the moment; try again", retry_after=1.0
        )


class ProxySecrets:
    """Users and passwords of proxies, as the credentials of accounts: ``omni_core.outbound.Secrets``."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def secret(self, proxy: Proxy) -> str:
        return self._credentials.known(proxy) or await self._credentials.ask(CallContext(new_id()), proxy)

    def refused(self, proxy: Proxy) -> None:
        self._credentials.forget(proxy.id)
