"""The processes that announce themselves over NATS, and their logs."""

from omni_core.bus import Bus
from omni_core.console import console_of
from omni_core.log_ring import LogLine
from omni_core.members import Member, MemberFeed

from omni_dashboard.domain.fleet import FOLLOWERS, Fleet, Process, ordered


class NatsFleet:
    """Satisfies ``omni_dashboard.ports.FleetView``."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._feed = MemberFeed(bus, None)

    async def start(self) -> None:
        """Returns at once: NATS may come later."""
        await self._feed.start()

    async def stop(self) -> None:
        await self._feed.stop()

    def now(self) -> Fleet:
        return Fleet(ordered(map(_process, self._feed.members.values())), self._bus.connected)


class NatsConsoles:
    """Satisfies ``omni_dashboard.ports.Consoles``."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def lines(self, instance: str, before: int, limit: int, text: str) -> list[LogLine]:
        return await console_of(self._bus, instance, before, limit, text)


def _process(member: Member) -> Process:
    return Process(
        service=member.service,
        instance=member.instance,
        address=member.address,
        draining=member.draining,
        started_ms=member.started_ms,
        version=member.version,
        revision=member.revision if member.service in FOLLOWERS else None,
        refused_revision=member.refused_revision,
        refused_reason=member.refused_reason,
        broken_proxies=member.broken_proxies,
    )
