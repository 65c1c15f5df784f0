"""LoginPort, answered by what begins logins and what renews them."""

from omni_core.ports.configuration import Caller
from omni_core.ports.logins import LoginInfo, LoginPoll, Logins, LoginStart, NewLogin

from omni_auth.logins.flows import Flows
from omni_auth.logins.renewing import Renewing


class LoggingIn:
    """``_flows`` begins and ends logins, ``_renewing`` keeps them alive."""

    _flows: Flows
    _renewing: Renewing

    async def begin_login(self, caller: Caller, new: NewLogin) -> LoginStart:
        return await self._flows.begin(caller, new)

    async def finish_login(self, caller: Caller, callback: str) -> LoginInfo:
        return await self._flows.finish(caller, callback)

    async def poll_login(self, caller: Caller, flow: str) -> LoginPoll:
        return await self._flows.poll(caller, flow)

    async def import_login(self, caller: Caller, new: NewLogin, tokens: str) -> LoginInfo:
        return await self._flows.take_in(caller, new, tokens)

    async def list_logins(self, caller: Caller) -> Logins:
        return await self._flows.list(caller)

    async def forget_login(self, caller: Caller, login: str) -> None:
        await self._flows.forget(caller, login)

    async def refresh_login(self, caller: Caller, login: str) -> LoginInfo:
        return await self._flows.renew(caller, login)
