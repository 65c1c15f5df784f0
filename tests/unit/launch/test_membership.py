"""What a process announces of itself, and at which address."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from omni_core.component import Check, ConfigState
from omni_core.runtime import Runtime, close_runtime, open_runtime
from omni_core.settings import CoreSettings
from omni_launch.assembly import Assembly, Inputs, ProcessState
from omni_launch.membership import Membership, joined, known_address, own_address
from omni_launch.problems import CannotStart
from omni_launch.targets import target

from tests.support.pools import until
from tests.support.servers import free_port


def settings(**given: object) -> CoreSettings:
    made = CoreSettings(
        data_dir=Path("unused"), redis_url="redis://127.0.0.1:1", nats_url=f"nats://127.0.0.1:{free_port()}",
        token="t", peers={},
    )  # fmt: skip
    return msgspec.structs.replace(made, **given)


class Part:
    """A component; ``Following`` is one that works with the configuration."""

    name = "router"

    async def start(self) -> None: ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...

    def checks(self) -> dict[str, Check]:
        return {}


class Following(Part):
    state = ConfigState(0)

    def config_state(self) -> ConfigState:
        return self.state


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"grpc_host": "10.0.0.9"}, "10.0.0.9:7"),
        ({"grpc_host": "0.0.0.0"}, ""),
        ({"grpc_host": "::"}, ""),
        ({"grpc_host": "fd00::9"}, "[fd00::9]:7"),
        ({"grpc_host": "0.0.0.0", "advertise": "router.example"}, "router.example:7"),
        ({"advertise": "router.example:99"}, "router.example:99"),
        ({"advertise": "fd00::9"}, "[fd00::9]:7"),
        ({"advertise": "[fd00::9]"}, "[fd00::9]:7"),
        ({"advertise": "[fd00::9]:99"}, "[fd00::9]:99"),
    ],
)
def test_the_advertised_address_is_the_given_one_else_the_host_that_is_listened_on(
    given: dict[str, str], address: str
) -> None:
    assert known_address(settings(**given), 7) == address


async def test_of_a_wildcard_it_is_this_machines_own_address_towards_nats() -> None:
    assert await own_address("nats://user:hush@127.0.0.1:4222, nats://elsewhere:1") == "127.0.0.1"
    assert joined(await own_address("nats://[::1]:4222"), 5) == "[::1]:5"
    with pytest.raises(OSError):
        await own_address("nats://no-such-host.invalid:4222")


def opened(made: CoreSettings) -> Runtime:
    return open_runtime(made, instance_id="router-1", target="router")


async def test_every_component_is_announced_and_only_those_that_serve_grpc_with_an_address() -> None:
    runtime = opened(settings())
    membership = Membership(runtime, {"router": Part(), "edge": Part()}, ("router",), 7)
    await membership.start()
    router, edge = membership.members()
    assert (router.key, router.address) == ("router.router-1", "127.0.0.1:7")
    assert (edge.key, edge.address) == ("edge.router-1", "")
    assert router.started_ms == edge.started_ms > 0
    assert not router.draining
    async with asyncio.timeout(3):
        await membership.drain()
        assert all(member.draining for member in membership.members())
        await membership.stop()
        await close_runtime(runtime)


async def test_one_without_a_configuration_is_not_to_be_called_yet_and_a_refused_one_is_told() -> None:
    runtime = opened(settings())
    part = Following()
    membership = Membership(runtime, {"router": part}, ("router",), 7)
    await membership.start()
    assert membership.members()[0].address == ""
    part.state = ConfigState(3, 4, "no such provider")
    (member,) = membership.members()
    assert member.address == "127.0.0.1:7"
    assert (member.revision, member.refused_revision, member.refused_reason) == (3, 4, "no such provider")
    await membership.stop()
    await close_runtime(runtime)


async def test_an_address_that_must_be_found_is_announced_as_soon_as_it_is() -> None:
    runtime = opened(settings(grpc_host="0.0.0.0"))
    membership = Membership(runtime, {"router": Part()}, ("router",), 7)
    await membership.start()
    await until(lambda: membership.members()[0].address == "127.0.0.1:7")
    await membership.stop()
    await close_runtime(runtime)


async def test_an_address_setting_that_is_none_keeps_the_process_from_starting_and_is_named() -> None:
    runtime = opened(settings(peers={"router": "router", "auth": "127.0.0.1:1"}))
    with pytest.raises(CannotStart, match="OMNIROUTE_ROUTER_ADDR: 'router' is no host:port"):
        Assembly(target("edge"), runtime, Inputs(env={}, config_file=None), ProcessState())
    await close_runtime(runtime)
