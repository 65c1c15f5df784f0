"""Loopback and private addresses are refused, however they are spelt."""

import asyncio
import socket

import pytest
from omni_core.addresses import Resolver, is_public
from omni_wire.errors import UpstreamUnreachable

SPECIAL = [
    "127.0.0.1", "127.1", "0x7f000001", "0x7f.1", "2130706433", "017700000001", "0177.0.0.1", "0.0.0.0", "0",
    "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.1", "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1",
    "ff02::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe",
    "::127.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::",
    "2002:a00:1::",
]  # fmt: skip
PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "104.18.7.192",
    "2606:4700::6810:7c0",
    "172.15.0.1",
    "172.32.0.1",
    "192.167.1.1",
    "11.0.0.1",
]


@pytest.mark.parametrize("host", SPECIAL)
def test_a_special_address_is_refused(host: str) -> None:
    with pytest.raises(UpstreamUnreachable, match=r"allow_private_address|cloud"):
        Resolver().check_literal(host, allow_private=False)


@pytest.mark.parametrize("host", PUBLIC)
def test_an_ordinary_address_passes(host: str) -> None:
    Resolver().check_literal(host, allow_private=False)
    assert is_public(host)


def test_a_name_is_left_to_the_resolver() -> None:
    Resolver().check_literal("api.example.com", allow_private=False)


async def test_a_name_that_stands_for_a_private_address_is_refused() -> None:
    with pytest.raises(UpstreamUnreachable, match="localhost"):
        await Resolver().resolve("localhost", 80, allow_private=False)


async def test_a_name_looked_up_for_one_who_may_is_still_refused_to_one_who_may_not() -> None:
    resolver = Resolver()
    assert await resolver.resolve("localhost", 80, allow_private=True)
    with pytest.raises(UpstreamUnreachable, match="localhost"):
        await resolver.resolve("localhost", 80, allow_private=False)


async def test_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(UpstreamUnreachable, match="allow_private_address"):
        await Resolver().resolve("mixed.example.com", 443, allow_private=False)


async def test_a_name_is_looked_up_once_a_minute_until_it_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, "8.8.8.8", "2606:4700::6810:7c0")
    resolver = Resolver()
    for _ in range(3):
        found = await resolver.resolve("api.example.com", 443, allow_private=False)
    assert found == ["8.8.8.8", "2606:4700::6810:7c0"]
    assert len(asked) == 1
    resolver.forget("api.example.com", 443)
    await resolver.resolve("api.example.com", 443, allow_private=False)
    assert len(asked) == 2


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example.com", "a..b"])
async def test_a_name_without_an_address_is_unreachable(host: str) -> None:
    with pytest.raises(UpstreamUnreachable, match="no address"):
        await Resolver().resolve(host, 80, allow_private=False)


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name stands for ``addresses``; what was asked is noted in the list."""
    asked: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (a, port, 0, 0))
            if ":" in a
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port))
            for a in addresses
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked
