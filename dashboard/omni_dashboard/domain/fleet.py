"""Every process of the gateway, and whether all of them work with the configuration that is published."""

from collections.abc import Iterable

import msgspec

# Those that follow the configuration, and auth, which publishes it. The others work the same under any.
FOLLOWERS = frozenset({"auth", "edge", "router", "quota"})
_ORDER = ("edge", "router", "translator", "quota", "auth", "analytics", "dashboard")


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One component of one process, as it announced itself. ``revision`` is None where it follows no configuration;
    ``broken_proxies`` are those that it leaves alone now."""

    service: str
    instance: str
    address: str
    draining: bool
    started_ms: int
    version: str
    revision: int | None
    refused_revision: int
    refused_reason: str
    broken_proxies: tuple[str, ...] = ()

    def in_step(self, published: int) -> bool:
        return self.revision is None or self.revision == published


class Fleet(msgspec.Struct, frozen=True):
    """``live`` says whether the list is of now; else it is as last heard."""

    processes: tuple[Process, ...]
    live: bool

    def in_step(self, published: int) -> bool:
        """Whether all that follow the configuration work with revision ``published``."""
        return all(process.in_step(published) for process in self.processes)


def ordered(processes: Iterable[Process]) -> tuple[Process, ...]:
    """In the order a request meets them."""
    places = {service: place for place, service in enumerate(_ORDER)}
    return tuple(sorted(processes, key=lambda one: (places.get(one.service, len(places)), one.service, one.instance)))
