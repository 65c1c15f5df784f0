"""People, as auth tells of them: who a session is of (remembered for seconds), and what may be done to it."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from omni_core.ports.people import Opened, PeoplePort, Who
from omni_wire.errors import DependencyUnavailable, Unauthenticated

from omni_dashboard.asking import within
from omni_dashboard.settings import DashboardSettings

T = TypeVar("T")

MAX_TOKEN = 200


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class People:
    """``clock`` is monotonic, in seconds. Every call raises ``DependencyUnavailable`` while auth is away."""

    def __init__(self, port: PeoplePort | None, settings: DashboardSettings, clock: Callable[[], float]) -> None:
        self._port, self._settings, self._clock = port, settings, clock
        self._known: dict[bytes, tuple[float, Who]] = {}
        self._ended = 0  # how often a session ended here: an answer that was under way then may be of before

    @property
    def port(self) -> PeoplePort:
        if self._port is None:
            raise DependencyUnavailable("nobody logs in here")
        return self._port

    async def who(self, token: str) -> Who:
        """Raises ``Unauthenticated``."""
        if len(token) > MAX_TOKEN:
            raise Unauthenticated("this is no session", code="session_ended")
        key, now = digest(token), self._clock()
        known = self._known.get(key)
        if known is not None and now < known[0]:
            return known[1]
        self._known.pop(key, None)
        ended = self._ended
        found = await self.ask(self.port.who(key))
        if ended == self._ended:
            while len(self._known) >= self._settings.identity_entries:
                del self._known[next(iter(self._known))]
            self._known[key] = (now + self._settings.identity_ttl, found)
        return found

    async def began(self, opening: Awaitable[Opened]) -> Opened:
        """A session that takes the place of others: they are asked about again."""
        try:
            return await self.ask(opening)
        finally:
            self.forget()

    async def changed(self, change: Awaitable[T]) -> T:
        """What may have ended sessions."""
        try:
            return await self.ask(change)
        finally:
            self.forget()

    async def ask_elsewhere(self, answer: Awaitable[T]) -> T:
        """As ``ask``, for what auth asks others about."""
        return await within(self._settings.provider_timeout, "auth", answer)

    async def ask(self, answer: Awaitable[T]) -> T:
        return await within(self._settings.login_timeout, "auth", answer)

    def forget(self) -> None:
        """Ask about every session again."""
        self._ended += 1
        self._known.clear()
