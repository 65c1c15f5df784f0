"""``Probe`` by the plain client, with addresses and secrets as the router's own."""

import asyncio
from collections.abc import Mapping, Sequence

from omni_catalogue.proxies import DIRECT, Egress, Proxy
from omni_core.outbound import Outbound, Target
from omni_core.web import HttpWeb
from omni_wire.asked import Asked
from omni_wire.errors import ProxyFailed

from omni_router.ports import Probed


class OutboundProbe:
    """``outbound`` has a health of its own, so that nothing is left alone here."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._web = HttpWeb(outbound=outbound)

    async def get(
        self, url: str, headers: Mapping[str, str], ways: Sequence[Egress], *, allow_private: bool, within: float
    ) -> Probed:
        *others, last = ways or (DIRECT,)
        for way in others:
            try:
                return await self._get(url, headers, way, allow_private, within)
            except ProxyFailed:
                continue
        return await self._get(url, headers, last, allow_private, within)

    async def _get(
        self, url: str, headers: Mapping[str, str], way: Egress, allow_private: bool, within: float
    ) -> Probed:
        self._outbound.health.forget()
        try:
            found = await self._web.fetch(
                Asked("GET", url, headers), allow_private=allow_private, within=within, via=way.proxy, trust=way.trust
            )
        except ProxyFailed as error:
            error.level = way.level
            raise
        return Probed(found.status, found.headers, found.body, way)

    async def tunnel(self, proxy: Proxy, host: str, port: int, *, allow_private: bool, within: float) -> None:
        self._outbound.health.forget()
        target = Target(host, port, None, allow_private)
        transport, _ = await self._outbound.connect(asyncio.Protocol, target, within, proxy)
        transport.abort()
