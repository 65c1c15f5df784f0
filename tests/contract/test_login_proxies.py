"""Logins and renewals go out as the accounts do that use them."""

import asyncio

from omni_auth.adapters.login_web import AuthorizationServers, HeldSecrets
from omni_auth.domain.logins.calls import Asked
from omni_catalogue.proxies import Egress, Proxy
from omni_core.outbound import Outbound
from omni_core.web import HttpWeb

from tests.support.proxies import SocksProxy


async def test_a_login_takes_the_ways_of_its_id_with_the_password_that_auth_holds() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/token"
    asked_for: list[str] = []

    def secret_of(proxy_id: str) -> str:
        asked_for.append(proxy_id)
        return "ann:secret"

    async with server, SocksProxy("ann", "secret") as proxy:
        office = Proxy(
            name="office", kind="socks5", host="127.0.0.1", port=proxy.port, secret_version="1", allow_private=True
        )
        ways = {"claude/main": (Egress(proxy=office, level="account"),)}
        web = HttpWeb(outbound=Outbound(secrets=HeldSecrets(secret_of)))
        servers = AuthorizationServers(web, lambda login_id: ways.get(login_id, ()))
        for login_id in ("claude/main", "claude/other"):
            answer = await servers.fetch(Asked("POST", url, {}), allow_private=True, within=20.0, login_id=login_id)
            assert answer.status == 200
        assert (len(proxy.asked), asked_for) == (1, ["proxy:office"])
