"""No URL that somebody configures leads to loopback, to a private network, or to a cloud's metadata, however it is
spelt and whatever its name comes to mean; and ordinary hosts are reached.

``ssrf_hosts.txt`` has the hosts. Nothing is connected to in earnest: every connection that would be opened is noted.
"""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from omni_catalogue.proxies import Proxy
from omni_catalogue.snapshot import Timeouts
from omni_core.addresses import is_metadata
from omni_core.outbound import Outbound
from omni_core.web import HttpWeb
from omni_router.adapters.http import HttpUpstream
from omni_router.ports import UpstreamRequest
from omni_wire.errors import GatewayError

_HOSTS = Path(__file__).with_name("ssrf_hosts.txt")
_SOON = Timeouts(connect=5.0, first_byte=5.0, idle=5.0, total=5.0)
# A rule that reads a URL otherwise than who connects would be none: what stands around the host changes nothing.
_AROUND = ("http://{}/v1", "https://{}/v1", "http://{}:80/v1", "HTTP://{}:8080/", "https://{}/?q=@8.8.8.8")


class Call(msgspec.Struct, frozen=True):
    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    body: bytes = b""


def hosts(part: str) -> dict[str, tuple[str, ...]]:
    """The hosts of one part of the file; those that are names with their addresses."""
    found: dict[str, tuple[str, ...]] = {}
    _, _, rest = _HOSTS.read_text("utf-8").partition(f"\n[{part}]\n")
    for line in rest.partition("\n\n")[0].splitlines():
        host, _, addresses = line.partition(" ")
        found[host] = tuple(filter(None, addresses.split(",")))
    return found


class Network:
    """What the loop is told instead of looking anything up or connecting. ``asked`` are the names that were looked up,
    ``reached`` what would have been connected to."""

    def __init__(self, names: dict[str, list[tuple[str, ...]]]) -> None:
        self.names = names
        self.asked: list[str] = []
        self.reached: list[str] = []

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[Any]:
        self.asked.append(host)
        known = self.names.get(host)
        if known is None:  # a literal, in a spelling of the C library's
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        addresses = known.pop(0) if len(known) > 1 else known[0]
        return [(0, 0, 0, "", (each, port)) for each in addresses]

    async def create_connection(self, make: object, host: str, port: int, **_: object) -> Any:
        self.reached.append(host)
        raise ConnectionRefusedError


@contextmanager
def network(names: dict[str, list[tuple[str, ...]]]) -> Iterator[Network]:
    made, loop = Network(names), asyncio.get_running_loop()
    with (
        patch.object(loop, "getaddrinfo", made.getaddrinfo),
        patch.object(loop, "create_connection", made.create_connection),
    ):
        yield made


async def of_every_spelling(seed: int) -> dict[str, Any]:
    """Each host by both clients, straight, and through a proxy that is told the address or the name."""
    chance = random.Random(seed)
    refused, passed = hosts("refused"), hosts("passed")
    through: list[str] = []
    stopped: list[str] = []
    calls = 0
    names = {host: [found] for host, found in {**refused, **passed}.items() if found}
    names["proxy.example"] = [("9.9.9.10",)]
    with network(names) as made:
        upstream, web = HttpUpstream(), HttpWeb(outbound=Outbound())
        await upstream.start()
        for host, addresses in refused.items():
            for way in (None, _proxy("here"), *([] if addresses else [_proxy("remote")])):
                calls += 1
                before = len(made.reached)
                await _both(upstream, web, chance.choice(_AROUND).format(_bracketed(host)), way)
                if len(made.reached) > before:
                    through.append(host)
        for host in passed:
            calls += 1
            before = len(made.reached)
            await _both(upstream, web, f"http://{_bracketed(host)}:8080/v1", None)
            if len(made.reached) < before + 2:
                stopped.append(host)
        await upstream.stop()
    figures = {
        "refused": len(refused), "let_through": len(through), "ordinary": len(passed), "stopped": len(stopped),
        "calls": 2 * calls, "first": [*through, *stopped][:5],
    }  # fmt: skip
    figures["pass"] = len(refused) >= 200 and len(passed) >= 50 and not through and not stopped
    return figures


async def of_rebinding(seed: int) -> dict[str, Any]:
    """A name that means an ordinary address when it is looked up, and something else at every later look."""
    chance, faults, rounds = random.Random(seed), list[str](), 50
    for _ in range(rounds):
        inside = chance.choice(["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00:ec2::254"])
        with network({"rebound.example": [("8.8.8.8",), (inside,)]}) as made:
            outbound = Outbound()
            web = HttpWeb(outbound=outbound)
            for _ in range(3):
                await _ask(web, "http://rebound.example/", None)
                outbound.resolver.forget("rebound.example", 80)
            if made.reached != ["8.8.8.8"] or len(made.asked) != 3:
                faults.append(f"{inside}: {made.reached}")
    return {"rounds": rounds, "faults": len(faults), "first": faults[:3], "pass": not faults}


async def of_leave(seed: int) -> dict[str, Any]:
    """Who may go to private addresses may not go to a cloud's metadata all the same."""
    hosts_ = {host: found for host, found in hosts("refused").items() if _tells_secrets(host, found)}
    through = []
    with network({host: [found] for host, found in hosts_.items() if found}) as made:
        web = HttpWeb(outbound=Outbound())
        for host in hosts_:
            await _ask(web, f"http://{_bracketed(host)}/latest/meta-data", None, allow_private=True)
            if made.reached:
                through.append(host)
                made.reached.clear()
    return {"hosts": len(hosts_), "let_through": len(through), "first": through[:5], "pass": not through}


def _tells_secrets(host: str, addresses: tuple[str, ...]) -> bool:
    try:
        return any(map(is_metadata, addresses or (host.strip("[]"),)))
    except ValueError:
        return False


def _proxy(resolves: str) -> Proxy:
    return Proxy(name="office", kind="http", host="proxy.example", port=3128, resolves=resolves)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


async def _both(upstream: HttpUpstream, web: HttpWeb, url: str, way: Proxy | None) -> None:
    await _ask(web, url, way)
    if way is not None:
        return
    try:
        await upstream.send(UpstreamRequest(url, {}, b"", False, _SOON))
    except GatewayError:
        return
    raise AssertionError(f"{url} was answered")


async def _ask(web: HttpWeb, url: str, way: Proxy | None, *, allow_private: bool = False) -> None:
    try:
        await web.fetch(Call(url), allow_private=allow_private, within=5.0, via=way)
    except GatewayError:
        return
    raise AssertionError(f"{url} was answered")
