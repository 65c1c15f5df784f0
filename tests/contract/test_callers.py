"""Who may call what: every method of every service, tried by every service, with certificates and without.

The methods are those of the stubs, so that one that is added and not in the table fails here.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc import aio
from omni_auth import server as auth_server
from omni_core.callers import CALLERS
from omni_core.clients.auth import AuthClient
from omni_core.identity import SERVICES, TOKEN_METADATA, Caller, Proofs, proof
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.rpc import RpcServer, ServiceChannel, open_channel
from omni_wire.errors import GatewayError
from omniroute_proto.analytics.v1 import analytics_pb2
from omniroute_proto.auth.v1 import auth_pb2, people_pb2
from omniroute_proto.quota.v1 import quota_pb2
from omniroute_proto.router.v1 import router_pb2
from omniroute_proto.translator.v1 import translator_pb2

from tests.support.certificates import certificates, tls_of

TOKEN = "service-token-of-the-test"
STUBS = (router_pb2, translator_pb2, auth_pb2, people_pb2, quota_pb2, analytics_pb2)
PORTS = {
    service.full_name: [method.name for method in service.methods]
    for module in STUBS
    for service in module.DESCRIPTOR.services_by_name.values()
}
METHODS = sorted(f"/{port}/{method}" for port, methods in PORTS.items() for method in methods)
SERVER = "auth"
_PACKAGES = {"people": "auth"}  # of ports that stand in another's
OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations.md"


async def _answer(_requests: AsyncIterator[bytes], context: Any) -> None:
    await context.write(b"served")


async def served(token: str, **more: Any) -> tuple[RpcServer, str]:
    """All ports at once, each method of which answers whoever gets so far."""
    server = RpcServer("127.0.0.1", 0, token, **more)
    for port, methods in PORTS.items():
        server.add(port, {name: grpc.stream_stream_rpc_method_handler(_answer) for name in methods})
    return server, f"127.0.0.1:{await server.start()}"


async def outcome(channel: ServiceChannel, method: str, metadata: Any = None) -> str:
    """ "served", or the name of the status that it ended with."""
    given = channel.metadata if metadata is None else metadata
    try:
        call: Any = channel.latest().unary_stream(method)
        async for _ in call(b"", metadata=given, timeout=10):
            return "served"
    except aio.AioRpcError as error:
        return error.code().name
    return "nothing"


async def matrix(address: str, callers: dict[str, Caller]) -> dict[tuple[str, str], str]:
    """What becomes of each method, called by each."""
    found: dict[tuple[str, str], str] = {}
    for name, caller in callers.items():
        async with open_channel(address, caller, SERVER) as channel:
            outcomes = await asyncio.gather(*(outcome(channel, method) for method in METHODS))
            found |= {(name, method): outcome for method, outcome in zip(METHODS, outcomes, strict=True)}
    return found


def declared(allowed: Mapping[str, tuple[str, ...]]) -> dict[tuple[str, str], str]:
    return {
        (name, method): "served" if CALLERS[method] & set(services) else "PERMISSION_DENIED"
        for name, services in allowed.items()
        for method in METHODS
    }


ALONE = {service: (service,) for service in SERVICES}


def test_every_method_is_in_the_table_and_nothing_else_is() -> None:
    assert sorted(CALLERS) == METHODS
    assert all(callers and callers <= set(SERVICES) for callers in CALLERS.values())


def test_credentials_go_to_those_that_call_providers_and_keys_are_made_by_the_dashboard() -> None:
    """Not only what the table says, but what it must never say."""
    assert CALLERS["/omniroute.auth.v1.AuthPort/Credential"] == {"router", "quota", "analytics"}
    assert CALLERS["/omniroute.auth.v1.AuthPort/RefreshCredential"] == {"router", "quota"}
    for method in ("BeginLogin", "FinishLogin", "ImportLogin", "ForgetLogin"):
        assert CALLERS[f"/omniroute.auth.v1.AuthPort/{method}"] == {"dashboard"}
    for method in ("CreateKey", "ListKeys", "RotateKey", "RevokeKey"):
        assert CALLERS[f"/omniroute.auth.v1.AuthPort/{method}"] == {"dashboard"}
    assert not any("auth" in callers for callers in CALLERS.values()), "it calls nobody"
    assert [method for method, callers in CALLERS.items() if "analytics" in callers] == [
        "/omniroute.auth.v1.AuthPort/Credential"
    ]


async def test_each_service_may_call_what_the_table_says_by_its_token() -> None:
    server, address = await served(TOKEN)
    try:
        callers = {name: Caller(services, TOKEN) for name, services in ALONE.items()}
        assert await matrix(address, callers) == declared(ALONE)
    finally:
        await server.stop(0)


async def test_each_service_may_call_what_the_table_says_by_its_certificate(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "tls")
    server, address = await served(TOKEN, tls=tls_of(folder, SERVER))
    try:
        # The token alone would let them do everything.
        callers = {name: Caller(SERVICES, TOKEN, tls_of(folder, name)) for name in SERVICES}
        assert await matrix(address, callers) == declared(ALONE)
    finally:
        await server.stop(0)


async def test_a_gateway_may_do_what_its_services_may_and_a_store_nothing(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "tls")
    server, address = await served(TOKEN, tls=tls_of(folder, SERVER))
    parts = {"gateway": ("edge", "router", "translator"), "redis": ()}
    try:
        callers = {name: Caller(SERVICES, TOKEN, tls_of(folder, name)) for name in parts}
        assert await matrix(address, callers) == declared(parts)
    finally:
        await server.stop(0)


async def test_a_certificate_does_not_do_without_the_token_nor_widen_what_it_allows(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "tls")
    server, address = await served(TOKEN, tls=tls_of(folder, SERVER))
    method = "/omniroute.auth.v1.AuthPort/Credential"
    try:
        for caller, expected in (
            (Caller(("router",), "another token", tls_of(folder, "router")), "UNAUTHENTICATED"),
            (Caller(("edge",), TOKEN, tls_of(folder, "router")), "PERMISSION_DENIED"),
            (Caller(("router",), TOKEN, tls_of(folder, "router")), "served"),
        ):
            async with open_channel(address, caller, SERVER) as channel:
                assert await outcome(channel, method) == expected
    finally:
        await server.stop(0)


@pytest.mark.parametrize(
    "presented",
    [
        "",
        TOKEN,
        proof(TOKEN, ("edge",)).replace("edge", "router"),
        proof(TOKEN, ("edge",)).replace("edge", "edge+router"),
        proof("another", ("router",)),
        proof(TOKEN, ("router",))[:-1],
        proof(TOKEN, ("nobody",)),
        "router.",
        "router",
        ".",
        "\u00e9.x",
    ],
)
def test_a_token_that_was_not_made_for_these_names_is_none(presented: str) -> None:
    assert Proofs(TOKEN).services(presented) is None
    assert Proofs(TOKEN).services(presented.encode()) is None


def test_a_token_names_services_in_one_spelling() -> None:
    proofs = Proofs(TOKEN)
    both = proof(TOKEN, ("router", "edge"))
    assert proofs.services(both) == frozenset(("edge", "router"))
    names, _, code = both.partition(".")
    assert names == "edge+router"
    assert proofs.services(f"router+edge.{code}") is None
    assert proofs.services(f"edge+edge+router.{code}") is None
    assert proofs.services(proof(TOKEN, ())) == frozenset(), (
        "a process that runs none of ours is known, and may nothing"
    )


async def test_the_shared_token_itself_is_never_sent() -> None:
    for _, value in Caller(("edge",), TOKEN).metadata():
        assert TOKEN not in value
    server, address = await served(TOKEN)
    try:
        async with open_channel(address, Caller(("edge",), TOKEN)) as channel:
            raw = ((TOKEN_METADATA, TOKEN),)
            assert await outcome(channel, "/omniroute.router.v1.RouterPort/Models", raw) == "UNAUTHENTICATED"
    finally:
        await server.stop(0)


async def test_a_method_that_is_in_no_table_is_for_nobody() -> None:
    server = RpcServer("127.0.0.1", 0, TOKEN)
    server.add("omniroute.new.v1.NewPort", {"Do": grpc.stream_stream_rpc_method_handler(_answer)})
    address = f"127.0.0.1:{await server.start()}"
    try:
        async with open_channel(address, Caller(SERVICES, TOKEN)) as channel:
            assert await outcome(channel, "/omniroute.new.v1.NewPort/Do") == "PERMISSION_DENIED"
    finally:
        await server.stop(0)


def test_the_documented_table_is_the_one_in_force() -> None:
    rows = re.findall(r"^\| (\w+) \| (`[\w`, ]+`) \| ([\w, ]+) \|$", OPERATIONS.read_text(), re.MULTILINE)
    documented = {
        f"/omniroute.{_PACKAGES.get(port, port)}.v1.{port.title()}Port/{method}": frozenset(callers.split(", "))
        for port, methods, callers in rows
        for method in re.findall(r"\w+", methods)
    }
    assert documented == CALLERS


class _Secrets:
    """As much of auth as gives secrets."""

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        return Credential(f"secret of {account_id}", "1")

    async def refresh_credential(self, context: CallContext, account_id: str, version_seen: str) -> Credential:
        return Credential(f"secret of {account_id}", "2")


async def secrets_for(address: str, caller: Caller) -> dict[str, str]:
    """What becomes of a question for each kind of secret: "had", or the error's kind; first asked, then refreshed."""
    found = {}
    async with open_channel(address, caller, SERVER) as channel:
        client = AuthClient(channel)
        for id_ in ("acme/first", "proxy:office", "notify:pager"):
            for way, call in (
                ("", client.credential(CallContext("r1"), id_)),
                ("refresh ", client.refresh_credential(CallContext("r1"), id_, "0")),
            ):
                try:
                    found[way + id_] = "had" if (await call).secret == f"secret of {id_}" else "another"
                except GatewayError as error:
                    found[way + id_] = error.kind
    return found


@pytest.mark.parametrize("certified", [False, True])
async def test_secrets_of_webhooks_are_for_analytics_alone_and_no_others(tmp_path: Path, certified: bool) -> None:
    folder = certificates(tmp_path / "tls")
    server = RpcServer("127.0.0.1", 0, TOKEN, tls=tls_of(folder, SERVER) if certified else None)
    auth_server.register(server, cast(Any, _Secrets()))
    address = f"127.0.0.1:{await server.start()}"
    try:
        for name in ("router", "quota", "analytics", "gateway"):
            services = ("edge", "router", "translator") if name == "gateway" else (name,)
            # The token alone would let them have everything.
            caller = Caller(SERVICES, TOKEN, tls_of(folder, name)) if certified else Caller(services, TOKEN)
            found = await secrets_for(address, caller)
            had = {id_ for id_, outcome in found.items() if outcome == "had"}
            if name == "analytics":
                assert had == {"notify:pager"}, found
            else:
                assert had == {way + id_ for way in ("", "refresh ") for id_ in ("acme/first", "proxy:office")}, found
    finally:
        await server.stop(0)
