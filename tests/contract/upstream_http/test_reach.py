"""Which addresses are connected to, and whom a certificate convinces."""

import socket
import ssl
from pathlib import Path

import pytest
from omni_router.adapters.http import HttpUpstream
from omni_wire.errors import StreamInterrupted, UpstreamUnreachable

from tests.support.provider_calls import CHUNKED, OK, ask, started, stream
from tests.support.scripted import Authority, Peer, answering, once, scripted

# ---- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "localhost."])
async def test_a_loopback_provider_is_refused_unless_allowed(upstream: HttpUpstream, host: str) -> None:
    async with scripted(answering(OK)) as server:
        with pytest.raises(UpstreamUnreachable):
            await ask(upstream, f"http://{host}:{server.port}", allow_private=False)
        assert server.peak == 0


async def test_a_guarded_request_never_rides_on_an_unguarded_connection(upstream: HttpUpstream) -> None:
    async with scripted(answering(OK)) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        await ask(upstream, url)
        with pytest.raises(UpstreamUnreachable, match="allow_private_address"):
            await ask(upstream, url, allow_private=False)


async def test_an_address_that_does_not_answer_is_followed_by_the_next(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted(answering(OK)) as server:

        async def resolve(host: str, port: int, *, allow_private: bool) -> list[str]:
            return ["127.0.0.2", "127.0.0.1"]

        monkeypatch.setattr(upstream._outbound.resolver, "resolve", resolve)
        assert await ask(upstream, f"http://two.example.com:{server.port}") == (200, b"ok")


async def test_ipv6_literals_are_addresses(upstream: HttpUpstream) -> None:
    if not socket.has_ipv6 or not _has_ipv6_loopback():
        with pytest.raises(UpstreamUnreachable):  # without it, the failure is at least the right one
            await ask(upstream, "http://[::1]:9/")
        return
    seen = []

    async def play(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(OK)

    async with scripted(play, host="::1") as server:
        assert await ask(upstream, server.url) == (200, b"ok")
    assert f"host: [::1]:{server.port}\r\n".encode() in seen[0]


def _has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


# ---- TLS ------------------------------------------------------------------------------------------------------------


async def test_https_verifies_names_itself_and_speaks_http_1_1(authority: Authority) -> None:
    seen = []

    async def play(peer: Peer) -> None:
        seen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answering(CHUNKED + b"2\r\nok\r\n", b"0\r\n\r\n", pause=0.01)(peer)

    async with started(authority.client()) as upstream, scripted(play, tls=authority.server("localhost")) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        assert [await ask(upstream, url) for _ in range(3)] == [(200, b"ok")] * 3
        assert await stream(upstream, url) == ([b"ok"], None)
        assert server.peak == 1
    assert seen == ["http/1.1"]


async def test_the_name_is_told_before_the_handshake(authority: Authority) -> None:
    names = []
    tls = authority.server("localhost")
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    async with started(authority.client()) as upstream, scripted(answering(OK), tls=tls) as server:
        await ask(upstream, server.url.replace("127.0.0.1", "localhost"))
    assert names == ["localhost"]


async def test_a_certificate_for_an_address_is_good_for_it(authority: Authority) -> None:
    tls = authority.server("127.0.0.1")
    async with started(authority.client()) as upstream, scripted(answering(OK), tls=tls) as server:
        assert await ask(upstream, server.url) == (200, b"ok")


async def test_a_certificate_for_another_name_or_by_a_stranger_is_refused(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority()
    for tls, trusted in [
        (authority.server("elsewhere.example.com"), authority.client()),
        (stranger.server("localhost"), authority.client()),
        (authority.server("localhost"), ssl.create_default_context()),
    ]:
        async with started(trusted) as upstream, scripted(answering(OK), tls=tls) as server:
            with pytest.raises(UpstreamUnreachable, match="SSLCertVerificationError"):
                await ask(upstream, server.url.replace("127.0.0.1", "localhost"))


async def test_certificates_are_verified_by_default(authority: Authority) -> None:
    upstream = HttpUpstream()
    await upstream.start()
    try:
        async with scripted(answering(OK), tls=authority.server("localhost")) as server:
            with pytest.raises(UpstreamUnreachable, match="SSLCertVerificationError"):
                await ask(upstream, server.url.replace("127.0.0.1", "localhost"))
    finally:
        await upstream.stop()


async def test_a_server_without_tls_is_unreachable_over_https(authority: Authority) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with started(authority.client()) as upstream, scripted(play) as server:
        with pytest.raises(UpstreamUnreachable):
            await ask(upstream, server.url.replace("http:", "https:"))


async def test_a_body_cut_under_tls_is_interrupted(authority: Authority) -> None:
    play = once(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello", pause=0.02)
    async with (
        started(authority.client()) as upstream,
        scripted(play, tls=authority.server("127.0.0.1")) as server,
    ):
        chunks, error = await stream(upstream, server.url)
        assert chunks == [b"hello"]
        assert isinstance(error, StreamInterrupted)
