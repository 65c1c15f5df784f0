"""Who may come to a listener at all."""

import contextlib
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.doorway import Doorway, Held, is_rebound
from omni_catalogue.guard import Addresses, Ban, Cors
from omni_catalogue.networks import address, counted_as, forwarded_hops, networks
from omni_catalogue.snapshot import Server
from omni_wire.errors import InvalidRequest, PermissionDenied

Head = list[tuple[bytes, bytes]]


def head(**lines: str) -> Head:
    return [(name.replace("_", "-").encode(), value.encode("latin-1", "replace")) for name, value in lines.items()]


def test_a_door_of_nothing_lets_everybody_in_and_need_not_be_asked() -> None:
    door = Doorway(Server())
    assert not door.active
    door.check("192.0.2.1", [], 0)
    assert Doorway(Server(bans=(Ban(network="192.0.2.1"),))).active
    assert Doorway(Server(cors=Cors(origins=("*",)))).active


def test_a_list_of_those_who_may_is_no_way_around_a_ban() -> None:
    addresses = Addresses(mode="allow", networks=("192.0.2.0/24", "::ffff:198.51.100.0/120"))
    door = Doorway(Server(addresses=addresses, bans=(Ban(network="192.0.2.7/32", until=100),)))
    door.check("192.0.2.8", [], 0)
    door.check("198.51.100.9", [], 0)
    door.check("192.0.2.7", [], 100)
    for peer, now in (("192.0.2.7", 99), ("203.0.113.1", 99), ("2001:db8::1", 99), ("", 99), ("unknown", 99)):
        with pytest.raises(PermissionDenied):
            door.check(peer, [], now)


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_written_in_a_head_is_let_in_or_refused(host: str, hop: str, peer: str) -> None:
    door = Doorway(
        Server(hosts=("a.example",), trusted_proxies=("0.0.0.0/0", "::/0"), bans=(Ban(network="10.0.0.0/8"),))
    )
    lines = head(host=host, x_forwarded_for=hop, forwarded=hop)
    is_rebound(lines, peer)
    for one in (peer, "127.0.0.1"):
        with contextlib.suppress(InvalidRequest, PermissionDenied):
            door.check(one, lines, 0)


@pytest.mark.parametrize(
    ("own", "host", "rebound"),
    [
        ("127.0.0.1", "evil.example.org", True),
        ("127.0.0.1", "EVIL.example.org.:20128", True),
        ("::1", "evil.example.org", True),
        ("::ffff:127.0.0.1", "evil.example.org", True),
        ("127.0.0.1", "127.0.0.1.nip.io", True),
        ("127.0.0.1", "localhost.evil.org", True),
        ("10.0.0.7", "evil.example.org", False),
        ("", "evil.example.org", False),
        ("127.0.0.1", "localhost:20128", False),
        ("127.0.0.1", "me.localhost", False),
        ("127.0.0.1", "127.0.0.1:20128", False),
        ("::1", "[::1]:20128", False),
        ("127.0.0.1", "host.docker.internal", False),
        ("127.0.0.1", "omniroute-edge", False),
        ("127.0.0.1", "", False),
    ],
)
def test_a_public_name_on_loopback_is_a_page_that_had_it_pointed_there(own: str, host: str, rebound: bool) -> None:
    assert is_rebound(head(host=host), own) is rebound


@pytest.mark.parametrize(
    ("values", "hops"),
    [
        ([], []),
        (["for=192.0.2.1"], ["192.0.2.1"]),
        (["For=192.0.2.1;proto=http, by=x; for=192.0.2.2"], ["192.0.2.1", "192.0.2.2"]),
        (['for="[2001:db8::1]:4711"'], ['"[2001:db8::1]:4711"']),
        (["for=192.0.2.1", "for=_hidden"], ["192.0.2.1", "_hidden"]),
        (["proto=https"], [""]),
    ],
)
def test_forwarded_is_read_as_its_standard_has_it(values: list[str], hops: list[str]) -> None:
    assert forwarded_hops(values) == hops


@given(st.ip_addresses())
def test_an_address_is_counted_with_its_network_and_no_other(found: object) -> None:
    seen = address(str(found))
    assert seen is not None
    assert seen in networks((counted_as(seen),))[0]


@given(
    st.lists(st.tuples(st.ip_addresses(), st.integers(0, 32), st.integers(0, 9)), max_size=30), st.ip_addresses(),
    st.integers(0, 29),
)  # fmt: skip
def test_networks_are_found_as_one_by_one(rows: list[tuple[object, int, int]], asked: object, near: int) -> None:
    held = [(networks((f"{ip_network((str(found), bits), strict=False)}",))[0], number) for found, bits, number in rows]
    some = address(str(rows[near][0] if near < len(rows) else asked))
    assert some is not None
    assert sorted(Held(held).of(some)) == sorted(number for network, number in held if some in network)


def test_what_a_client_writes_of_itself_is_remembered_of_nobody_but_a_proxy_and_never_at_length() -> None:
    """A header may have 64 KB: remembered for 16,384 requests that would be a gigabyte."""
    door = Doorway(Server(trusted_proxies=("10.0.0.0/8",)))
    for number in range(3):
        said = head(x_forwarded_for=f"{'203.0.113.1, ' * 100}198.51.100.{number}")
        assert str(door.client("192.0.2.1", said)) == "192.0.2.1"
        assert str(door.client("10.0.0.1", said)) == f"198.51.100.{number}"
    assert door._client_of.cache_info().currsize == 0
    assert str(door.client("10.0.0.1", head(x_forwarded_for="198.51.100.9"))) == "198.51.100.9"
    assert door._client_of.cache_info().currsize == 1
