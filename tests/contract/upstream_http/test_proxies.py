"""Calls to providers through proxies: pooled by the way they take, failed by the proxy's name, never direct unasked."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from omni_catalogue.proxies import Egress, Proxy, Trust
from omni_core.outbound import Outbound
from omni_core.outbound_health import FAILURES, ProxyHealth
from omni_router.adapters.http import HttpUpstream
from omni_wire.errors import ProxyFailed, UpstreamUnreachable

from tests.support.provider_calls import CHUNKED, OK, ask, post, stream, until
from tests.support.proxies import ConnectProxy, SocksProxy
from tests.support.scripted import answering, scripted


def way(kind: str, port: int, level: str = "account", name: str = "office", **more: Any) -> Egress:
    proxy = Proxy(name=name, kind=kind, host="127.0.0.1", port=port, allow_private=True, **more)
    return Egress(proxy=proxy, level=level)


@pytest.mark.parametrize(("opens", "kind"), [(ConnectProxy, "http"), (SocksProxy, "socks5")])
async def test_a_tunnel_is_kept_for_the_next_request(
    upstream: HttpUpstream, opens: type[ConnectProxy | SocksProxy], kind: str
) -> None:
    async with scripted(answering(OK)) as server, opens() as proxy:
        egress = (way(kind, proxy.port),)
        for _ in range(3):
            assert await ask(upstream, server.url, egress=egress) == (200, b"ok")
        assert (proxy.accepted, server.peak) == (1, 1)
        assert await ask(upstream, server.url) == (200, b"ok")
        assert server.peak == 2  # who goes direct never rides on a tunnel, nor the other way round
        answer = await upstream.send(post(server.url, egress=egress))
        assert answer.way == egress[0]
        answer.close()


async def test_streams_come_through_as_they_are_and_a_cancelled_one_closes_the_tunnel(upstream: HttpUpstream) -> None:
    play = answering(CHUNKED, b"3\r\none\r\n", b"3\r\ntwo\r\n", b"0\r\n\r\n", pause=0.01)
    async with scripted(play) as server, ConnectProxy() as proxy:
        chunks, error = await stream(upstream, server.url, egress=(way("http", proxy.port),))
        assert (b"".join(chunks), error) == (b"onetwo", None)
        answer = await upstream.send(post(server.url, egress=(way("http", proxy.port),)))
        answer.close()
        assert await until(lambda: server.open == 0)


async def test_a_broken_proxy_fails_the_call_and_nobody_goes_direct(upstream: HttpUpstream) -> None:
    async with scripted(answering(OK)) as server, ConnectProxy() as proxy:
        proxy.manner = "html"
        with pytest.raises(ProxyFailed, match="the proxy office") as raised:
            await ask(upstream, server.url, egress=(way("http", proxy.port, level="provider"),))
        assert (raised.value.proxy, raised.value.level) == ("office", "provider")
        assert server.peak == 0


async def test_a_way_that_is_said_for_then_is_taken_then(upstream: HttpUpstream) -> None:
    async with scripted(answering(OK)) as server, ConnectProxy() as broken, SocksProxy() as good:
        broken.manner = "cuts"
        ways = (way("http", broken.port), way("socks5", good.port, "global", "spare"), Egress(level="global"))
        answer = await upstream.send(post(server.url, egress=ways))
        answer.close()
        assert answer.way == ways[1]
        good.manner = "cuts"
        answer = await upstream.send(post(server.url, egress=(ways[0], ways[2])))
        answer.close()
        assert answer.way == ways[2]


async def test_one_that_keeps_failing_is_left_alone_and_tried_again_by_one_call() -> None:
    health = ProxyHealth()
    upstream = HttpUpstream(outbound=Outbound(health=health))
    await upstream.start()
    try:
        async with scripted(answering(OK)) as server, ConnectProxy() as proxy:
            proxy.manner = "cuts"
            egress = (way("http", proxy.port),)
            for number in range(FAILURES + 2):
                with pytest.raises(ProxyFailed) as raised:
                    await ask(upstream, server.url, egress=egress)
                assert raised.value.code == ("proxy_cut" if number < FAILURES else "proxy_left_alone")
            assert (proxy.accepted, health.broken()) == (FAILURES, ("office",))
    finally:
        await upstream.stop()


async def test_authorities_and_a_certificate_of_ones_own_are_read_again_when_they_change(tmp_path: Path) -> None:
    first, second, clients = trustme.CA(), trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    second.issue_cert("localhost").configure_cert(tls)
    clients.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    bundle, shown, key = tmp_path / "ca.pem", tmp_path / "own.pem", tmp_path / "own.key"
    first.cert_pem.write_to_path(str(bundle))
    mine = clients.issue_cert("the-gateway")
    shown.write_bytes(b"".join(blob.bytes() for blob in mine.cert_chain_pems))
    mine.private_key_pem.write_to_path(str(key))
    trust = Trust(ca_files=(str(bundle),), client_certificate=str(shown), client_key=str(key))
    upstream = HttpUpstream()
    await upstream.start()
    try:
        async with scripted(answering(OK), tls=tls) as server:
            url = server.url.replace("127.0.0.1", "localhost")
            egress = (Egress(trust=trust),)
            with pytest.raises(UpstreamUnreachable, match="SSLCertVerificationError"):
                await ask(upstream, url, egress=egress)
            bundle.write_bytes(first.cert_pem.bytes() + second.cert_pem.bytes())
            assert await ask(upstream, url, egress=egress) == (200, b"ok")
            with pytest.raises(UpstreamUnreachable) as raised:
                await ask(upstream, url, egress=(Egress(trust=Trust(ca_files=(str(tmp_path / "none"),))),))
            assert raised.value.code == "tls_files"
    finally:
        await upstream.stop()
