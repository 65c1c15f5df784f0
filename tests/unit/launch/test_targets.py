"""Targets are data: order, callees, needs."""

import pytest
from omni_core.settings import GRPC_PORTS, HTTP_PORTS
from omni_launch.problems import CannotStart
from omni_launch.targets import IN_WORKERS, PARTS, TARGETS, target


def test_every_service_is_a_target_and_all_is_all_of_them() -> None:
    services = {"edge", "router", "translator", "quota", "auth", "analytics", "dashboard"}
    assert set(TARGETS) == {"all", "gateway", "control", *services}
    assert set(target("all").parts) == services
    assert services == set(HTTP_PORTS)


def test_callees_start_before_their_callers_and_the_edge_last() -> None:
    order = list(PARTS)
    for name, part in PARTS.items():
        assert all(order.index(callee) < order.index(name) for callee in part.calls), name
    assert order[-1] == "edge"


def test_everything_that_is_called_is_served_over_grpc() -> None:
    called = {callee for part in PARTS.values() for callee in part.calls}
    served = {name for name, part in PARTS.items() if part.serves == "grpc"}
    assert called == served == set(GRPC_PORTS)


def test_one_process_calls_nobody_outside_and_serves_nobody() -> None:
    assert target("all").remote == ()
    assert target("all").over_grpc == ()
    assert (target("all").redis, target("all").nats) == (True, True)


def test_a_separate_router_calls_its_callees_elsewhere() -> None:
    router = target("router")
    assert router.remote == ("translator", "auth")
    assert router.over_grpc == ("router",)
    assert router.over_http == ()


def test_the_gateway_is_the_way_of_a_request_and_the_control_plane_what_is_beside_it() -> None:
    gateway, control = target("gateway"), target("control")
    assert gateway.parts == ("translator", "router", "edge")
    assert (gateway.remote, gateway.over_grpc, gateway.over_http) == (("auth",), (), ("edge",))
    assert (gateway.redis, gateway.nats) == (True, True)
    assert set(gateway.parts) | set(control.parts) == set(PARTS)
    assert control.over_grpc == ("auth",), "the others of it are called by none but its dashboard"
    assert control.remote == ("router",), "which a gateway does not serve, and its dashboard can do without"


def test_workers_share_nothing_but_their_http_port() -> None:
    for name in IN_WORKERS:
        assert target(name).over_grpc == ()
        assert target(name).over_http == ("edge",)
        assert not any(PARTS[part].owns_files for part in target(name).parts)


def test_everybody_is_announced_over_nats_and_only_whoever_keeps_something_there_has_redis() -> None:
    assert all(target(name).nats for name in TARGETS)
    assert {name for name, part in PARTS.items() if part.redis} == {"translator", "quota", "router"}


def test_an_unknown_target_names_those_there_are() -> None:
    with pytest.raises(CannotStart, match=r"no target 'gatway'.*Choose one of all, gateway, control, auth"):
        target("gatway")
