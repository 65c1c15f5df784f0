"""How authorization servers are asked: the ``LoginWeb`` port over the HTTP client that every service has."""

from typing import Protocol

from omni_core.web import WebAnswer, WebCall

from omni_auth.domain.logins.calls import Asked
from omni_auth.domain.logins.steps import Answered


class Web(Protocol):
    async def fetch(self, asked: WebCall, *, allow_private: bool, within: float) -> WebAnswer: ...


class AuthorizationServers:
    def __init__(self, web: Web) -> None:
        self._web = web

    async def fetch(self, asked: Asked, *, allow_private: bool, within: float) -> Answered:
        found = await self._web.fetch(asked, allow_private=allow_private, within=within)
        return Answered(found.status, found.headers, found.body)
