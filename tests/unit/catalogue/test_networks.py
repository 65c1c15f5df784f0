"""Where a request comes from, and whose word on it counts."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.networks import address, client_address, networks, within

TRUSTED = networks(("10.0.0.0/8", "2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ('"[2001:db8::7]"', "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        ("0x7f000001", None),
        ("127.1", None),
        ("192.0.2.7/24", None),
    ],
)
def test_an_address_is_read_as_proxies_write_it(text: str, found: str | None) -> None:
    assert address(text) == (ip_address(found) if found else None)


@given(st.text())
def test_any_text_can_be_asked_about(text: str) -> None:
    address(text)
    client_address(text, [text], TRUSTED)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.9"], "192.0.2.1"),  # not a proxy of ours: what it says of others is nothing
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["198.51.100.9"], "198.51.100.9"),
        ("10.1.1.1", ["203.0.113.5, 198.51.100.9"], "198.51.100.9"),  # the client's own invention comes first
        ("10.1.1.1", ["203.0.113.5", "198.51.100.9, 10.2.2.2"], "198.51.100.9"),
        ("10.1.1.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.1.1.1", ["198.51.100.9, unknown"], None),
        ("10.1.1.1", ["198.51.100.9,"], None),
        ("::ffff:10.1.1.1", ["2001:db8:2::7"], "2001:db8:2::7"),
        ("", ["198.51.100.9"], None),
    ],
)
def test_only_proxies_of_ours_are_believed(peer: str, forwarded: list[str], client: str | None) -> None:
    assert client_address(peer, forwarded, TRUSTED) == (ip_address(client) if client else None)


def test_without_a_setting_nobody_is_believed() -> None:
    assert client_address("127.0.0.1", ["10.0.0.1"], ()) == ip_address("127.0.0.1")


def test_an_address_is_in_no_network_of_the_other_family() -> None:
    assert not within(ip_address("2001:db8::1"), networks(("0.0.0.0/0",)))
    assert within(ip_address("2001:db8:1::1"), TRUSTED)


def test_bits_of_a_host_in_a_network_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="host bits"):
        networks(("10.0.0.1/8",))
