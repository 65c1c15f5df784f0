"""Calls through proxies that run in the test, and what is told of those that are broken."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import python_socks.async_.asyncio as independent
import trustme
import uvloop
from omni_catalogue.proxies import SYSTEM, Egress, Proxy, Trust
from omni_core.outbound import Outbound
from omni_core.outbound_health import FAILURES, ProxyHealth
from omni_core.web import HttpWeb
from omni_quota.domain.usage import Asked
from omni_wire.errors import GatewayError, ProxyFailed, UpstreamTimeout, UpstreamUnreachable

from tests.support.proxies import ConnectProxy, Manner, SocksProxy

USER, PASSWORD = "ann", "correct:horse"
SECRET = f"{USER}:{PASSWORD}"
BODY = b"it went through"


class Known:
    """Gives the same secret for each proxy."""

    def __init__(self, secret: str = SECRET) -> None:
        self.said = secret
        self.refusals: list[str] = []

    async def secret(self, proxy: Proxy) -> str:
        return self.said

    def refused(self, proxy: Proxy) -> None:
        self.refusals.append(proxy.name)


@asynccontextmanager
async def provider(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY))
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield made.sockets[0].getsockname()[1]
    finally:
        made.close()
        await made.wait_closed()


def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


def a_proxy(kind: str, port: int, **more: Any) -> Proxy:
    host = "localhost" if kind == "https" else "127.0.0.1"
    return Proxy(name="office", kind=kind, host=host, port=port, allow_private=True, **more)


async def fetch(web: HttpWeb, url: str, via: Proxy | None, trust: Trust = SYSTEM, within: float = 20.0) -> bytes:
    found = await web.fetch(Asked("GET", url, {}), allow_private=True, within=within, via=via, trust=trust)
    return found.body


def on_uvloop(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_call_goes_through_each_kind_of_proxy_to_each_kind_of_provider(
    kind: str, scheme: str, loop: str, tmp_path: Path
) -> None:
    async def main() -> None:
        authority = trustme.CA()
        bundle = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        trust = Trust(ca_files=(str(bundle),))
        tls = server_tls(authority)
        opens = SocksProxy if kind == "socks5" else ConnectProxy
        async with (
            provider(tls if scheme == "https" else None) as port,
            opens(USER, PASSWORD, tls=tls if kind == "https" else None) as running,
        ):
            via = a_proxy(kind, running.port, secret_version="1", trust=trust)
            web = HttpWeb(outbound=Outbound(secrets=Known()))
            assert await fetch(web, f"{scheme}://localhost:{port}/", via, trust) == BODY
            assert running.asked in ([f"127.0.0.1:{port}"], [f"0000:{'0000:' * 6}0001:{port}"])  # never the name

    on_uvloop(main) if loop == "uvloop" else asyncio.run(main())


@pytest.mark.parametrize("opens", [ConnectProxy, SocksProxy])
async def test_the_proxies_of_these_tests_are_such_to_another_client(opens: type[ConnectProxy | SocksProxy]) -> None:
    scheme = "socks5" if opens is SocksProxy else "http"
    async with provider() as port, opens("ann", "secret") as running:
        theirs = independent.Proxy.from_url(f"{scheme}://ann:secret@127.0.0.1:{running.port}")
        connected = await theirs.connect(dest_host="127.0.0.1", dest_port=port)
        connected.close()
        assert running.asked == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize(("opens", "kind"), [(ConnectProxy, "http"), (SocksProxy, "socks5")])
async def test_a_proxy_that_resolves_itself_is_told_the_name(
    opens: type[ConnectProxy | SocksProxy], kind: str
) -> None:  # fmt: skip
    async with provider() as port, opens() as running:
        running.names["models.internal.invalid"] = "127.0.0.1"
        via = a_proxy(kind, running.port, resolves="remote")
        assert await fetch(HttpWeb(), f"http://models.internal.invalid:{port}/", via) == BODY
        assert running.asked == [f"models.internal.invalid:{port}"]


MANNERS: list[tuple[Manner, str, str]] = [
    ("html", "proxy_not_http", "proxy_not_socks"),
    ("garbage", "proxy_not_http", "proxy_not_socks"),
    ("hangs", "proxy_timeout", "proxy_timeout"),
    ("cuts", "proxy_cut", "proxy_cut"),
    ("says 403", "proxy_refused", "proxy_refused"),
    ("says 502", "upstream_unreachable", "upstream_unreachable"),
    ("chatters", "proxy_not_http", "proxy_not_socks"),
]


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize(("manner", "of_http", "of_socks"), MANNERS, ids=[manner for manner, _, _ in MANNERS])
async def test_a_broken_proxy_fails_the_call_by_its_name(
    kind: str, manner: Manner, of_http: str, of_socks: str
) -> None:  # fmt: skip
    async with provider() as port, (SocksProxy if kind == "socks5" else ConnectProxy)() as running:
        running.manner = manner
        within = 0.5 if manner == "hangs" else 20.0
        with pytest.raises(GatewayError) as raised:
            await fetch(HttpWeb(), f"http://127.0.0.1:{port}/", a_proxy(kind, running.port), within=within)
    assert raised.value.code == (of_socks if kind == "socks5" else of_http)
    assert isinstance(raised.value, UpstreamUnreachable if manner == "says 502" else ProxyFailed)
    assert "the proxy office" in raised.value.message


@pytest.mark.parametrize(("opens", "kind"), [(ConnectProxy, "http"), (SocksProxy, "socks5")])
@pytest.mark.parametrize("secret", ["ann:wrong", ""])
async def test_a_proxy_that_does_not_take_the_password_is_told_without_it(
    opens: type[ConnectProxy | SocksProxy], kind: str, secret: str
) -> None:
    known = Known(secret)
    async with opens(USER, PASSWORD) as running:
        via = a_proxy(kind, running.port, secret_version="1" if secret else "")
        with pytest.raises(ProxyFailed) as raised:
            await fetch(HttpWeb(outbound=Outbound(secrets=known)), "http://127.0.0.1:9/", via)
    assert raised.value.code == "proxy_authentication"
    assert "wrong" not in raised.value.message
    assert known.refusals == ["office"]  # so that a new one is asked for


async def test_who_nobody_listens_for_is_unreachable_and_so_is_a_proxy_that_needs_leave() -> None:
    async with ConnectProxy() as running:
        port = running.port
    with pytest.raises(ProxyFailed, match="cannot be reached") as raised:
        await fetch(HttpWeb(), "http://127.0.0.1:9/", a_proxy("http", port))
    assert raised.value.code == "proxy_unreachable"
    refused = Proxy(name="office", kind="http", host="127.0.0.1", port=port)
    with pytest.raises(ProxyFailed, match="allow_private_address") as raised:
        await fetch(HttpWeb(), "http://127.0.0.1:9/", refused)
    assert raised.value.code == "proxy_unusable"


async def test_tls_with_the_proxy_is_looked_at() -> None:
    async with ConnectProxy(tls=server_tls(trustme.CA())) as running:
        with pytest.raises(ProxyFailed) as raised:
            await fetch(HttpWeb(), "http://127.0.0.1:9/", a_proxy("https", running.port))
    assert raised.value.code == "proxy_tls"


async def test_a_provider_that_says_nothing_is_no_evidence_against_the_proxy() -> None:
    health = ProxyHealth()
    async with ConnectProxy() as silent, ConnectProxy() as running:
        web = HttpWeb(outbound=Outbound(health=health))
        for _ in range(FAILURES + 1):
            with pytest.raises(UpstreamTimeout):
                await fetch(web, f"https://127.0.0.1:{silent.port}/", a_proxy("http", running.port), within=0.3)
    assert health.broken() == ()


async def test_the_target_of_a_proxy_is_checked_here() -> None:
    async with ConnectProxy() as running:
        call = Asked("GET", "http://localhost:9/", {})
        with pytest.raises(UpstreamUnreachable) as raised:
            await HttpWeb().fetch(call, allow_private=False, within=5.0, via=a_proxy("http", running.port))
        assert raised.value.code == "address_refused"
        literal = Asked("GET", "http://0x7f.1:9/", {})
        told_names = a_proxy("http", running.port, resolves="remote")
        with pytest.raises(UpstreamUnreachable) as raised:
            await HttpWeb().fetch(literal, allow_private=False, within=5.0, via=told_names)
        assert running.accepted == 0


async def test_a_broken_proxy_is_passed_over_only_where_that_is_said() -> None:
    async with provider() as port, ConnectProxy() as broken, ConnectProxy() as good:
        broken.manner = "cuts"
        first = Egress(proxy=a_proxy("http", broken.port), level="account")
        second = Egress(proxy=a_proxy("http", good.port), level="global")
        call = Asked("GET", f"http://127.0.0.1:{port}/", {})
        with pytest.raises(ProxyFailed):
            await HttpWeb().fetch_for([first], call, allow_private=True, within=20.0)
        found = await HttpWeb().fetch_for([first, second], call, allow_private=True, within=20.0)
        assert (found.body, len(good.asked)) == (BODY, 1)
