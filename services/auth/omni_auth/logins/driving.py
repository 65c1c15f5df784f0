"""Drive a flow of ``domain.logins.steps``: do the talking that it asks for."""

from collections.abc import Generator
from typing import TypeVar

from omni_catalogue.logins import Login
from omni_wire.errors import InvalidRequest, UpstreamFailed

from omni_auth.domain.logins.calls import Asked
from omni_auth.domain.logins.steps import Answered
from omni_auth.domain.logins.tokens import LoginRefused, LoginUnreadable
from omni_auth.ports import LoginWeb

_T = TypeVar("_T")


async def drive(
    web: LoginWeb, login: Login, steps: Generator[Asked, Answered, _T], within: float, login_id: str = ""
) -> _T:
    """Each call at most ``within`` seconds, by the ways out of ``login_id``. Raises what the steps raise, and an
    ``UpstreamError``."""
    try:
        asked = next(steps)
        while True:
            answer = await web.fetch(asked, allow_private=login.allow_private_address, within=within, login_id=login_id)
            asked = steps.send(answer)
    except StopIteration as ended:
        found: _T = ended.value
        return found


async def told(
    web: LoginWeb, login: Login, steps: Generator[Asked, Answered, _T], within: float, login_id: str = ""
) -> _T:
    """As ``drive``, for a person who waits for it: raises ``InvalidRequest`` where the provider says no, and
    ``UpstreamFailed`` where it says nothing that can be understood."""
    try:
        return await drive(web, login, steps, within, login_id)
    except LoginRefused as error:
        raise InvalidRequest(f"{login.title}: {error}", code=error.code or "login_refused") from None
    except LoginUnreadable as error:
        raise UpstreamFailed(f"{login.title}: {error}") from None
