"""This process among the others: what it announces of its components, and where it can be reached."""

import asyncio
import logging
import socket
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from omni_core import clock
from omni_core.component import Component, FollowsConfig, UsesProxies
from omni_core.members import Announcer, Member
from omni_core.process_metrics import version
from omni_core.runtime import Runtime
from omni_core.settings import CoreSettings

log = logging.getLogger("omniroute.launch")

_WILDCARDS = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
_NATS_PORT = 4222
_LOOK_AGAIN = 1.0


class Membership:
    """``served`` are the components that answer gRPC on ``port``; the others are announced without an address."""

    def __init__(
        self, runtime: Runtime, components: Mapping[str, Component], served: Collection[str], port: int
    ) -> None:
        self._settings = runtime.settings
        self._instance = runtime.instance_id
        self._components = components
        self._served = served
        self._port = port
        self._started_ms = clock.now_ms()
        self._version = version()
        self._address = ""
        self._draining = False
        self._finding: asyncio.Task[None] | None = None
        self._announcer = Announcer(runtime.bus, self.members)

    async def start(self) -> None:
        """Returns at once: NATS may come later."""
        if self._served:
            self._address = known_address(self._settings, self._port)
            if not self._address:
                self._finding = asyncio.get_running_loop().create_task(self._find())
        await self._announcer.start()

    async def drain(self) -> None:
        """Tell the others before anything ends, so that they go elsewhere."""
        self._draining = True
        await self._announcer.now()

    async def stop(self) -> None:
        if self._finding is not None:
            self._finding.cancel()
        await self._announcer.stop()

    def members(self) -> list[Member]:
        return [self._member(name, component) for name, component in self._components.items()]

    def _member(self, name: str, component: Component) -> Member:
        config = component.config_state() if isinstance(component, FollowsConfig) else None
        usable = config is None or config.revision > 0  # without a configuration it could only refuse what it is sent
        return Member(
            service=name,
            instance=self._instance,
            address=self._address if usable and name in self._served else "",
            draining=self._draining,
            started_ms=self._started_ms,
            version=self._version,
            revision=config.revision if config is not None else 0,
            refused_revision=config.refused_revision if config is not None else 0,
            refused_reason=config.refused_reason if config is not None else "",
            broken_proxies=component.broken_proxies() if isinstance(component, UsesProxies) else (),
        )

    async def _find(self) -> None:
        """Which of this machine's addresses leads to NATS, where everybody else is too. The announcer takes it up."""
        while not self._address:
            try:
                self._address = joined(await own_address(self._settings.nats_url), self._port)
            except OSError as error:
                log.debug("cannot tell this machine's address yet: %s", error.strerror)
                await asyncio.sleep(_LOOK_AGAIN)
        log.info("others find this process at %s", self._address)


def known_address(settings: CoreSettings, port: int) -> str:
    """``OMNIROUTE_ADVERTISE`` (with ``port``, if it has none), else the host that is listened on; "" when that is all
    of them and another way must be found."""
    given = settings.advertise
    if given:
        has_port = "]:" in given if given.startswith("[") else given.count(":") == 1
        return given if has_port else joined(given, port)
    return "" if settings.grpc_host in _WILDCARDS else joined(settings.grpc_host, port)


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


async def own_address(nats_url: str) -> str:
    """The local address of a way to NATS; nothing is sent. Raises ``OSError`` when there is no way, or not yet."""
    parts = urlsplit(nats_url.split(",")[0].strip())
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(parts.hostname, parts.port or _NATS_PORT, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(address)
        return str(probe.getsockname()[0])
