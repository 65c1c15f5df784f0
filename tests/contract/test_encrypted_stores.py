"""Redis and NATS over TLS with certificates on both sides. NATS is the real server's own TLS; the redis-server of the
wheel has none, so a proxy that asks for client certificates stands in front of it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from omni_core import tls as tls_module
from omni_core.bus import Bus
from omni_core.redis import open_redis
from omni_core.tls import Contexts, TlsFiles
from omni_launch.cert_folder import CertFolder
from omni_ledger import Outbox
from omni_wire.errors import DependencyUnavailable
from redis.exceptions import RedisError

from tests.support.certificates import DAYS, certificates, files_of, now, tls_of
from tests.support.servers import NatsServer, RedisServer
from tests.support.tls_proxy import TlsProxy, server_context, tls_proxy


class TlsNats(NatsServer):
    """Takes only who has a certificate of the CA."""

    def __init__(self, files: TlsFiles) -> None:
        super().__init__()
        self._files = files

    def _command(self) -> list[str]:
        files = self._files
        config = self.dir / "tls.conf"
        config.write_text(
            f'tls {{ cert_file: "{files.certificate}", key_file: "{files.key}", ca_file: "{files.ca}", verify: true }}'
        )
        return [*super()._command(), "--config", str(config)]


@pytest.fixture
def folder(tmp_path: Path) -> CertFolder:
    return certificates(tmp_path / "tls")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are looked at whenever they are needed."""
    monkeypatch.setattr(tls_module, "LOOK", 0.0)


# ---- NATS -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def nats(folder: CertFolder) -> Iterator[TlsNats]:
    server = TlsNats(files_of(folder, "nats"))
    try:
        server.start()
        yield server
    finally:
        server.close()


async def test_what_goes_to_nats_is_encrypted_and_both_prove_themselves(nats: TlsNats, folder: CertFolder) -> None:
    bus = Bus(f"tls://localhost:{nats.port}", name="router", contexts=Contexts(tls_of(folder, "router")))
    try:
        await bus.kv_put("bucket", "key", b"value")
        assert await bus.kv_get("bucket", "key") == b"value"
        nats.kill()
        nats.start()
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await bus.kv_get("bucket", "key") == b"value", "over the next connection, too"
                    break
                except DependencyUnavailable:
                    continue
    finally:
        await bus.close()


@pytest.mark.parametrize("who", ["nobody", "a stranger", "one that trusts another CA"])
async def test_nats_and_we_refuse_those_of_another_ca(
    nats: TlsNats, folder: CertFolder, tmp_path: Path, who: str
) -> None:
    other = files_of(certificates(tmp_path / "other"), "router")
    if who == "nobody":
        contexts = Contexts(None, str(folder.certificate("ca")))
    elif who == "a stranger":
        contexts = Contexts(tls_module.Tls(TlsFiles(folder.certificate("ca"), other.certificate, other.key)))
    else:
        contexts = Contexts(tls_of(folder, "router"), str(other.ca))
    bus = Bus(f"tls://localhost:{nats.port}", name="router", contexts=contexts)
    try:
        with pytest.raises(DependencyUnavailable):
            await bus.connect(timeout=2.0)
    finally:
        await bus.close()


async def test_a_nats_without_tls_is_told_nothing_by_who_wants_tls(
    folder: CertFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """Or whoever takes its place would be given the password."""
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.12.0","auth_required":true,"max_payload":1048576}\r\n')
        heard.extend(await reader.read())
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    bus = Bus(f"tls://router:hush@localhost:{port}", name="r", contexts=Contexts(tls_of(folder, "router")))
    try:
        with pytest.raises(DependencyUnavailable):
            await bus.connect(timeout=1.0)
    finally:
        await bus.close()
        server.close()
    assert heard == b""
    assert "offers no TLS" in caplog.text


# ---- Redis ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
async def proxy(redis: RedisServer, folder: CertFolder) -> AsyncIterator[TlsProxy]:
    async with tls_proxy(redis.port, server_context(files_of(folder, "redis"))) as made:
        yield made


async def test_what_goes_to_redis_is_encrypted_whoever_of_us_talks(proxy: TlsProxy, folder: CertFolder) -> None:
    async with open_redis(f"rediss://localhost:{proxy.port}/0", Contexts(tls_of(folder, "router"))) as client:
        assert await client.set("key", "value")
        outbox = Outbox(client)  # the ledger keeps connections of its own
        assert (await outbox.turn("router-1")).waiting == 0
        await outbox.close()
    assert len(proxy.shown) == 2


@pytest.mark.parametrize("who", ["nobody", "a stranger", "one that trusts another CA"])
async def test_redis_and_we_refuse_those_of_another_ca(
    proxy: TlsProxy, folder: CertFolder, tmp_path: Path, who: str
) -> None:
    other = files_of(certificates(tmp_path / "other"), "router")
    if who == "nobody":
        contexts = Contexts(None, str(folder.certificate("ca")))
    elif who == "a stranger":
        contexts = Contexts(tls_module.Tls(TlsFiles(folder.certificate("ca"), other.certificate, other.key)))
    else:
        contexts = Contexts(tls_of(folder, "router"), str(other.ca))
    async with open_redis(f"rediss://localhost:{proxy.port}/0", contexts) as client:
        with pytest.raises((RedisError, OSError)):
            await client.ping()
    assert proxy.shown == []


@pytest.mark.usefixtures("at_once")
async def test_a_new_certificate_is_shown_by_connections_that_are_made_again(
    proxy: TlsProxy, folder: CertFolder
) -> None:
    async with open_redis(f"rediss://localhost:{proxy.port}/0", Contexts(tls_of(folder, "router"))) as client:
        await client.ping()
        folder.renew("router", now(), DAYS)
        await client.ping()
        assert len(proxy.shown) == 1, "the connection that stands goes on"
        proxy.cut()
        for _ in range(3):
            try:
                await client.ping()
                break
            except (RedisError, OSError):
                continue
    renewed = x509.load_pem_x509_certificate(folder.certificate("router").read_bytes())
    assert int(proxy.shown[-1], 16) == renewed.serial_number
    assert len(set(proxy.shown)) == 2


def test_a_redis_of_others_is_trusted_as_this_machine_trusts() -> None:
    """A managed one has a certificate of a public CA and asks for none."""
    context = Contexts(None, "system")()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert Contexts(None)() is not None


async def test_a_url_without_tls_stays_without(redis: RedisServer, folder: CertFolder) -> None:
    async with open_redis(redis.url, Contexts(tls_of(folder, "router"))) as client:
        assert await client.ping()
    with socket.create_connection(("127.0.0.1", redis.port), 5) as raw:
        raw.sendall(b"PING\r\n")
        assert raw.recv(16) == b"+PONG\r\n"
