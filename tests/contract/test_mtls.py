"""gRPC between services by certificates: who is refused, and how one is replaced while calls go on."""

import asyncio
import datetime as dt
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import omni_router.server
import pytest
from grpc import aio
from omni_core import tls as tls_module
from omni_core.clients.auth import AuthClient
from omni_core.clients.router import RouterClient
from omni_core.identity import Caller
from omni_core.ports.context import CallContext
from omni_core.ports.router import CompleteCall, Frame
from omni_core.rpc import RpcServer, open_channel, unary
from omni_core.tls import CannotUse, Tls
from omni_launch.cert_folder import LOCAL_HOSTS, CertFolder
from omni_wire.errors import DependencyUnavailable
from omni_wire.formats import WireFormat
from omniroute_proto.auth.v1 import auth_pb2

from tests.support.certificates import DAYS, certificates, files_of, now, tls_of
from tests.support.pools import HEAD, Router

TOKEN = "service-token-of-the-test"
CALL = CompleteCall(CallContext("req-1"), "key", WireFormat.OPENAI_CHAT, b"{}", "event-1")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> CertFolder:
    """For tests that change nothing in it."""
    return certificates(tmp_path_factory.mktemp("certs") / "tls")


async def configuration(_: auth_pb2.ConfigurationRequest) -> auth_pb2.ConfigurationResponse:
    return auth_pb2.ConfigurationResponse(revision=7)


async def auth(tls: Tls | None, port: int = 0) -> tuple[RpcServer, str]:
    server = RpcServer("127.0.0.1", port, TOKEN, tls=tls)
    server.add("omniroute.auth.v1.AuthPort", {"Configuration": unary(auth_pb2.ConfigurationRequest, configuration)})
    return server, f"127.0.0.1:{await server.start()}"


@pytest.fixture
async def secure(shared: CertFolder) -> AsyncIterator[str]:
    """The address of an auth that has a certificate."""
    server, address = await auth(tls_of(shared, "auth"))
    yield address
    await server.stop(0)


async def asked(address: str, tls: Tls | None, service: str = "auth") -> int:
    """The revision that an edge with this certificate is told."""
    async with open_channel(address, Caller(("edge",), TOKEN, tls), service) as channel:
        return (await AuthClient(channel).configuration()).revision


# ---- who is let in --------------------------------------------------------------------------------------------------


async def test_both_sides_prove_themselves_and_the_call_goes_through(secure: str, shared: CertFolder) -> None:
    assert await asked(secure, tls_of(shared, "edge")) == 7


async def test_a_caller_in_plaintext_is_refused(secure: str) -> None:
    with pytest.raises(DependencyUnavailable, match="auth is not reachable"):
        await asked(secure, None)


async def test_a_caller_of_an_unknown_ca_is_refused(secure: str, shared: CertFolder, tmp_path: Path) -> None:
    strangers = certificates(tmp_path / "other")
    stranger = files_of(strangers, "edge")
    # It trusts our CA, so that what refuses is the server.
    mixed = tls_module.TlsFiles(shared.certificate("ca"), stranger.certificate, stranger.key)
    with pytest.raises(DependencyUnavailable, match="auth is not reachable"):
        await asked(secure, Tls(mixed))


async def test_a_caller_with_an_expired_certificate_is_refused(secure: str, shared: CertFolder, tmp_path: Path) -> None:
    late = CertFolder(tmp_path / "late")
    late.folder.mkdir()
    for kind in ("crt", "key"):
        (late.folder / f"ca.{kind}").write_bytes((shared.folder / f"ca.{kind}").read_bytes())
    late.issue("edge", LOCAL_HOSTS, now() - dt.timedelta(days=90), DAYS)
    with pytest.raises(DependencyUnavailable, match="auth is not reachable"):
        await asked(secure, tls_of(late, "edge"))


def test_a_connection_without_a_certificate_does_not_get_through_the_handshake(secure: str, shared: CertFolder) -> None:
    host, _, port = secure.rpartition(":")
    context = ssl.create_default_context(cafile=shared.certificate("ca"))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), 5) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(raw, server_hostname="auth") as connection,
    ):
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        while connection.recv(4096):
            pass
        raise ConnectionError("closed")


async def test_a_service_that_is_another_one_than_was_called_is_left_alone(
    shared: CertFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """A dashboard's certificate, though of the same CA, must not pass for auth's."""
    server, address = await auth(tls_of(shared, "dashboard"))
    try:
        with pytest.raises(DependencyUnavailable, match="auth is not reachable"):
            await asked(address, tls_of(shared, "edge"))
        assert "Hostname Verification Check failed" in caplog.text, "the log says why"
    finally:
        await server.stop(0)


async def test_a_service_of_an_unknown_ca_is_left_alone(shared: CertFolder, tmp_path: Path) -> None:
    strangers = certificates(tmp_path / "other")
    stranger = files_of(strangers, "auth")
    trusting = tls_module.TlsFiles(shared.certificate("ca"), stranger.certificate, stranger.key)
    server, address = await auth(Tls(trusting))
    try:
        with pytest.raises(DependencyUnavailable, match="auth is not reachable"):
            await asked(address, tls_of(shared, "edge"))
    finally:
        await server.stop(0)


async def test_a_service_in_plaintext_is_left_alone(shared: CertFolder) -> None:
    server, address = await auth(None)
    try:
        with pytest.raises(DependencyUnavailable, match="auth is not reachable"):
            await asked(address, tls_of(shared, "edge"))
    finally:
        await server.stop(0)


# ---- replaced while it runs -----------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are looked at whenever they are needed."""
    monkeypatch.setattr(tls_module, "LOOK", 0.0)


class Streaming(Router):
    """A router whose stream waits for the test before its last frame."""

    def __init__(self) -> None:
        super().__init__("one")
        self.last = asyncio.Event()

    async def complete(self, call: CompleteCall) -> AsyncGenerator[Frame, None]:
        yield HEAD
        await self.last.wait()
        yield b"end"


@pytest.mark.usefixtures("at_once")
async def test_a_new_certificate_is_taken_by_both_sides_and_streams_go_on(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "tls")
    port = Streaming()
    server = RpcServer("127.0.0.1", 0, TOKEN, tls=tls_of(folder, "router"))
    omni_router.server.register(server, port)
    address = f"127.0.0.1:{await server.start()}"
    try:
        async with open_channel(address, Caller(("edge",), TOKEN, tls_of(folder, "edge")), "router") as channel:
            client = RouterClient(channel)
            stream = client.complete(CALL)
            assert await anext(stream) == HEAD
            before = channel.latest()
            first = served_certificate(address, folder)
            # Another CA altogether, as nobody would do it in one step: proof that both read everything anew.
            for path in folder.folder.iterdir():
                path.unlink()
            certificates(folder.folder)
            assert channel.latest() is not before
            assert served_certificate(address, folder) != first
            assert [entry.id for entry in await client.models(CallContext("r"), "key")] == ["one"]
            port.last.set()
            assert [frame async for frame in stream] == [b"end"], "what was under way stayed where it was"
    finally:
        await server.stop(0)


def served_certificate(address: str, folder: CertFolder) -> bytes:
    """What a listener shows to a new connection."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=folder.certificate("ca"))
    context.load_cert_chain(folder.certificate("edge"), folder.key("edge"))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), 5) as raw,
        context.wrap_socket(raw, server_hostname="router") as connection,
    ):
        shown = connection.getpeercert(binary_form=True)
    assert shown is not None
    return shown


@pytest.mark.usefixtures("at_once")
def test_half_a_new_certificate_leaves_the_old_one_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = certificates(tmp_path / "tls")
    tls = tls_of(folder, "edge")
    old = tls.current()
    certificate = folder.certificate("edge").read_bytes()
    folder.renew("edge", now(), DAYS)
    new = folder.certificate("edge").read_bytes()
    folder.certificate("edge").write_bytes(certificate)  # the key is there, its certificate is not yet
    assert tls.current() is old
    assert "the certificate in force stays" in caplog.text
    assert "PRIVATE KEY" not in caplog.text
    folder.certificate("edge").unlink()
    assert tls.current() is old
    folder.certificate("edge").write_bytes(new)
    assert tls.current().certificate == new
    assert tls.current().number == 1


def test_files_are_looked_at_once_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(tls_module, "monotonic", lambda: clock[0])
    folder = certificates(tmp_path / "tls")
    tls = tls_of(folder, "edge")
    folder.renew("edge", now(), DAYS)
    clock[0] = 100.5
    assert tls.current().number == 0
    clock[0] = 101.0
    assert tls.current().number == 1


@pytest.mark.parametrize("broken", ["missing", "another's key", "no certificate", "no CA"])
def test_files_that_cannot_be_used_are_named_at_the_start(tmp_path: Path, broken: str) -> None:
    folder = certificates(tmp_path / "tls")
    files = files_of(folder, "edge")
    if broken == "missing":
        files.key.unlink()
    elif broken == "another's key":
        os.replace(folder.key("auth"), files.key)
    elif broken == "no certificate":
        files.certificate.write_text("hello")
    else:
        files.ca.write_text("hello")
    with pytest.raises(CannotUse) as raised:
        Tls(files)
    said = str(raised.value)
    assert str(files.key if broken in ("missing", "another's key") else tmp_path) in said
    assert "PRIVATE" not in said


@pytest.mark.usefixtures("at_once")
async def test_an_idle_channel_that_was_replaced_is_closed_with_the_new_one(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "tls")
    tls = tls_of(folder, "edge")
    channel = open_channel("127.0.0.1:1", Caller(("edge",), TOKEN, tls), "auth")
    old = channel.latest()
    folder.renew("edge", now(), DAYS)
    assert channel.latest() is not old
    await asyncio.sleep(0)
    await channel.close()
    with pytest.raises(aio.UsageError):
        await old.channel_ready()
