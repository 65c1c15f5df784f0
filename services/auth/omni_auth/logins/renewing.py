"""Keeping logins alive: their tokens are renewed before they end, by one holder at a time.

    lease (committed: the right to it, the mark that it began) → ask → keep (committed) → what follows → keep → give out

Killed anywhere, the next holder finds either the old refresh token or the new one, and never gives out an access token
whose refresh token it has not kept. Between the answer and its commit the provider alone knows the new one: then the
next holder asks with the old one, which servers take again for a while; where one does not, the login is closed and
says so.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from omni_catalogue.logins import Login
from omni_core import clock
from omni_core.ports.auth import Credential
from omni_core.redaction import keep_secret, redact_shapes
from omni_wire.errors import CredentialUnavailable, DependencyUnavailable, GatewayError, InvalidRequest

from omni_auth.domain.logins.steps import followed, refreshed
from omni_auth.domain.logins.stored import Leased, StoredLogin, again
from omni_auth.domain.logins.tokens import LoginRefused, LoginUnreadable, Tokens, carried
from omni_auth.logins.driving import drive
from omni_auth.ports import LoginCatalogue, LoginMetrics, LoginStore, LoginWeb
from omni_auth.settings import AuthSettings

log = logging.getLogger("omniroute.auth")

_LOOK_AGAIN = 0.1
_INSIST = 300.0  # seconds for which a store that is away is asked to keep tokens; their fence says if they are too late
_AT_ONCE = 4


class Renewing:
    """See the module's docstring. ``now`` gives epoch ms."""

    def __init__(
        self,
        store: LoginStore,
        web: LoginWeb,
        catalogue: LoginCatalogue,
        metrics: LoginMetrics,
        settings: AuthSettings,
        now: Callable[[], int],
    ) -> None:
        self._store, self._web, self._catalogue, self._metrics = store, web, catalogue, metrics
        self._settings, self._now = settings, now
        self._known: dict[str, StoredLogin] = {}
        self._renewing: dict[str, asyncio.Task[StoredLogin | GatewayError]] = {}
        self._not_before: dict[str, tuple[float, GatewayError]] = {}
        self._forced: dict[str, float] = {}
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._closed: Mapping[str, str] = {}

    # ---- what is asked for ------------------------------------------------------------------------------------------

    async def credential(self, login_id: str) -> Credential:
        """Raises ``CredentialUnavailable``."""
        found = await self._found(login_id)
        login = self._login(found)
        if self._is_usable(found, login):
            if found.is_due(login, self._now()) and not self._pauses(login_id):
                self._task(found)
            return self._given(found, login)
        return await self._renewed(found, self._settings.login_patience)

    async def refused(self, login_id: str, version_seen: str) -> Credential:
        """The provider refused what had that version. Raises ``CredentialUnavailable``."""
        found = await self._found(login_id)
        login = self._login(found)
        if str(found.version) != version_seen and self._is_usable(found, login):
            return self._given(found, login)
        if login.renewal == "never":
            told = f"{login_id}: the provider refuses its token, which cannot be renewed; {self._again(found)}"
            raise CredentialUnavailable(told)
        forced = self._forced.get(login_id, 0.0)
        if forced > clock.monotonic() and self._is_usable(found, login) and login_id not in self._renewing:
            raise CredentialUnavailable(f"{login_id}: the provider refuses tokens that it gave only just now")
        self._forced[login_id] = clock.monotonic() + self._settings.login_gap
        return await self._renewed(found, self._settings.login_refused_patience)

    async def renew(self, login_id: str) -> StoredLogin:
        """Now, because somebody wants it. Raises ``InvalidRequest``, ``CredentialUnavailable``."""
        found = await asyncio.to_thread(self._store.get, login_id)
        if found is None:
            raise InvalidRequest(f"there is no login '{login_id}'", status=404, code="not_found", param="login")
        if not found.is_good:
            raise CredentialUnavailable(f"{login_id}: {found.reason}")
        if self._login(found).renewal == "never":
            raise InvalidRequest(f"{self._login(found).title} gives tokens that cannot be renewed", param="login")
        self._not_before.pop(login_id, None)
        answer = await asyncio.shield(self._task(found))
        if isinstance(answer, GatewayError):
            raise answer.with_traceback(None)
        return answer

    def notices(self) -> tuple[str, ...]:
        """A line for each login that is closed."""
        return tuple(f"{login_id}: {reason}" for login_id, reason in sorted(self._closed.items()))

    def forget(self, login_id: str) -> None:
        """It is another one now, or none."""
        self._known.pop(login_id, None)
        self._forced.pop(login_id, None)
        self._not_before.pop(login_id, None)

    async def look(self) -> None:
        """Renew what is due, and see what is closed. Raises ``DependencyUnavailable``."""
        rows = await asyncio.to_thread(self._store.all)
        self._closed = {row.id: row.reason for row in rows if not row.is_good}
        states = [row.state for row in rows]
        self._metrics.states({state: states.count(state) for state in ("good", "closed")})
        for row in rows:
            login = self._catalogue.logins.get(row.kind)
            if login is not None and row.is_good and row.is_due(login, self._now()) and not self._pauses(row.id):
                self._task(row)
        await asyncio.to_thread(self._store.sweep, self._now())

    async def close(self) -> None:
        """What is being kept is kept: a renewal that has been answered is not broken off here."""
        tasks = list(self._renewing.values())
        if tasks:
            await asyncio.wait(tasks, timeout=self._settings.login_ask)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._known.clear()

    # ---- how --------------------------------------------------------------------------------------------------------

    async def _found(self, login_id: str) -> StoredLogin:
        try:
            found = await asyncio.to_thread(self._store.get, login_id)
        except DependencyUnavailable:
            known = self._known.get(login_id)
            if known is None or known.is_over(self._now()):
                raise
            return known
        if found is None:
            told = f"nobody is logged in as {login_id}: run `{again(login_id)}`"
            raise CredentialUnavailable(told, code="login_missing")
        if not found.is_good:
            raise CredentialUnavailable(f"{login_id}: {found.reason}", code="login_closed")
        self._known[login_id] = found
        return found

    def _login(self, found: StoredLogin) -> Login:
        login = self._catalogue.logins.get(found.kind)
        if login is None:
            raise CredentialUnavailable(f"{found.id} is of a login that this version does not know")
        return login

    def _is_usable(self, found: StoredLogin, login: Login) -> bool:
        tokens = found.tokens
        return tokens is not None and not found.is_over(self._now()) and (tokens.followed or not login.follow)

    def _given(self, found: StoredLogin, login: Login) -> Credential:
        tokens = found.tokens
        if tokens is None:
            raise CredentialUnavailable(f"{found.id} has no tokens: run `{again(found.id)}`")
        try:
            use = carried(login, tokens)
        except LoginRefused as error:
            raise CredentialUnavailable(f"{found.id}: {error}") from None
        _hide(tokens)
        return Credential(
            use.secret, str(found.version), found.id, use.headers, found.ends, use.project, use.base_url,
            use.usage_secret,
        )  # fmt: skip

    async def _renewed(self, found: StoredLogin, patience: float) -> Credential:
        """After a renewal. Raises ``CredentialUnavailable``, also when it takes longer than ``patience``."""
        pause = self._not_before.get(found.id)
        if pause is not None and pause[0] > clock.monotonic():
            raise pause[1].with_traceback(None)
        try:
            async with asyncio.timeout(patience):
                answer = await asyncio.shield(self._task(found))
        except TimeoutError:
            raise CredentialUnavailable(
                f"the tokens of {found.id} are being renewed; try again", retry_after=1.0
            ) from None
        if isinstance(answer, GatewayError):
            raise answer.with_traceback(None)
        return self._given(answer, self._login(answer))

    def _pauses(self, login_id: str) -> bool:
        pause = self._not_before.get(login_id)
        return pause is not None and pause[0] > clock.monotonic()

    def _task(self, found: StoredLogin) -> "asyncio.Task[StoredLogin | GatewayError]":
        """Those who need the same one wait for the same renewal."""
        task = self._renewing.get(found.id)
        if task is None:
            task = asyncio.create_task(self._renewal(found), name="renew a login")
            self._renewing[found.id] = task
            task.add_done_callback(lambda done: self._renewing.pop(found.id, None))
        return task

    async def _renewal(self, found: StoredLogin) -> StoredLogin | GatewayError:
        try:
            async with self._at_once:
                return await self._by_one(found)
        except GatewayError as error:
            return error
        except Exception as error:
            log.error("a login cannot be renewed", exc_info=error)
            return CredentialUnavailable(f"the tokens of {found.id} cannot be renewed ({type(error).__name__})")

    async def _by_one(self, found: StoredLogin) -> StoredLogin:
        """Take the lease, here or once another holder lets it go, and renew, unless that has done it."""
        lasts = int(self._settings.login_lease * 1000)
        while True:
            leased = await asyncio.to_thread(self._store.lease, found.id, found.version, lasts)
            if leased is None:
                raise CredentialUnavailable(f"nobody is logged in as {found.id} any more")
            if leased.fence:
                fresh = await self._under_lease(leased)
                if fresh is not None:
                    return fresh
                self._metrics.renewed("overtaken")
            elif not leased.wait:
                found = leased.login
                if not found.is_good:
                    raise CredentialUnavailable(f"{found.id}: {found.reason}", code="login_closed")
                if self._is_usable(found, self._login(found)):
                    return found
            else:
                await asyncio.sleep(min(leased.wait / 1000, _LOOK_AGAIN))

    async def _under_lease(self, leased: Leased) -> StoredLogin | None:
        """None where another holder was faster, after all."""
        found, fence = leased.login, leased.fence
        login, tokens = self._login(found), found.tokens
        if tokens is None:
            raise CredentialUnavailable(f"{found.id} has no tokens: run `{again(found.id)}`")
        _hide(tokens)
        try:
            if not login.follow or (login.renews is not None and (tokens.followed or found.is_over(self._now()))):
                steps = refreshed(login, self._catalogue.client(login), tokens, self._now())
                tokens = await drive(self._web, login, steps, self._settings.login_ask, found.id)
                _hide(tokens)
                kept = await self._keep(found, fence, tokens, done=not login.follow)
                if kept is None or not login.follow:
                    return self._won(kept)
            following = followed(login, tokens, self._now())
            tokens = await drive(self._web, login, following, self._settings.login_ask, found.id)
            _hide(tokens)
            return self._won(await self._keep(found, fence, tokens, done=True))
        except LoginRefused as error:
            await self._close(found, self._reason(error, leased), fence)
            raise CredentialUnavailable(f"{found.id}: {self._reason(error, leased)}", code="login_closed") from None
        except (LoginUnreadable, GatewayError) as error:
            raise await self._failed(found, fence, error) from None

    async def _keep(self, found: StoredLogin, fence: int, tokens: Tokens, *, done: bool) -> StoredLogin | None:
        def keep() -> StoredLogin | None:
            return self._store.keep(found.id, fence, tokens, ends=tokens.ends, now=self._now(), done=done)

        # Not to be broken off: what is not kept is lost for good.
        return await asyncio.shield(asyncio.create_task(_insisting(keep)))

    def _won(self, kept: StoredLogin | None) -> StoredLogin | None:
        if kept is not None:
            self._known[kept.id] = kept
            self._not_before.pop(kept.id, None)
            self._metrics.renewed("renewed")
            log.info("a login was renewed", extra={"fields": {"login": kept.id}})
        return kept

    async def _failed(self, found: StoredLogin, fence: int, error: Exception) -> CredentialUnavailable:
        """Nothing was won this time; it is tried again after a while."""
        reason = redact_shapes(getattr(error, "message", "") or str(error))
        wait = max(self._settings.login_retry, getattr(error, "wait", 0.0))
        told = CredentialUnavailable(f"the tokens of {found.id} cannot be renewed now: {reason}", retry_after=wait)
        self._not_before[found.id] = (clock.monotonic() + wait, told)
        self._metrics.renewed("failed")
        log.warning("a login could not be renewed", extra={"fields": {"login": found.id, "reason": reason}})
        await asyncio.to_thread(self._store.give_back, found.id, fence)
        return told

    async def _close(self, found: StoredLogin, reason: str, fence: int) -> None:
        if await asyncio.to_thread(self._store.close_login, found.id, fence, reason, self._now()):
            self._closed = {**self._closed, found.id: reason}
            self._metrics.renewed("closed")
            log.warning("a login is closed", extra={"fields": {"login": found.id, "reason": reason}})
        self._known.pop(found.id, None)

    def _reason(self, error: LoginRefused, leased: Leased) -> str:
        why = redact_shapes(str(error))
        if leased.broken_off:
            why += "; an earlier renewal was broken off, and this provider takes each refresh token once"
        return f"the provider does not renew its tokens ({why}); {self._again(leased.login)}"

    @staticmethod
    def _again(found: StoredLogin) -> str:
        return f"log in again: run `{again(found.id, found.tokens.parameters if found.tokens else None)}`"


async def _insisting(keep: Callable[[], StoredLogin | None]) -> StoredLogin | None:
    """Raises ``DependencyUnavailable`` once nothing is left to be hoped for."""
    until = clock.monotonic() + _INSIST
    while True:
        try:
            return await asyncio.to_thread(keep)
        except DependencyUnavailable:
            if clock.monotonic() > until:
                raise
            await asyncio.sleep(_LOOK_AGAIN)


def _hide(tokens: Tokens) -> None:
    """No line of this process shows them."""
    facts: dict[str, Any] = dict(tokens.facts)
    for secret in (
        tokens.access,
        tokens.refresh,
        facts.get("copilot_token"),
        facts.get("api_key"),
        facts.get("client_secret"),
    ):
        if secret:
            keep_secret(secret)
