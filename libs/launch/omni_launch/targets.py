"""What each target starts, as data: which components, in which order, what they call, what they need, how they serve.

A component whose callee runs in the same process gets the service object itself (its in-process twin); any other callee
is reached over gRPC at ``OMNIROUTE_<NAME>_ADDR``. A new grouping is one more row of ``TARGETS``.

    omniroute up                 all of them in one process
    omniroute run router         one of them; the others over gRPC
    omniroute run gateway        the way of a request, edge to provider, in one process; the rest over gRPC
"""

import msgspec

from omni_launch.problems import CannotStart


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A component. ``calls`` are the ports it is given, ``asks`` those that it can do without: nobody has to serve
    them over gRPC for its sake. ``serves`` is "http" (an ASGI app of its own) or "grpc";
    ``owns_files`` says that two processes must not run it on one data directory."""

    calls: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    serves: str = "grpc"
    redis: bool = False
    nats: bool = False
    owns_files: bool = False


# In the order they start: callees before callers, and the edge, which lets requests in, last. They stop in reverse.
PARTS: dict[str, Part] = {
    "auth": Part(nats=True, owns_files=True),
    "analytics": Part(asks=("auth",), nats=True, owns_files=True),
    "translator": Part(redis=True, nats=True),
    "quota": Part(asks=("auth",), redis=True, nats=True),
    "router": Part(calls=("translator", "auth"), redis=True, nats=True),
    "dashboard": Part(calls=("auth", "quota", "analytics"), asks=("router",), serves="http", nats=True),
    "edge": Part(calls=("router", "auth"), serves="http", nats=True),
}

TARGETS: dict[str, tuple[str, ...]] = {
    "all": tuple(PARTS),
    "gateway": ("translator", "router", "edge"),  # the data plane, as one unit to scale
    "control": ("auth", "analytics", "quota", "dashboard"),  # the rest: what ``up --workers`` runs beside its gateways
    **{name: (name,) for name in PARTS},
}

# Those of which several processes may share one port (``--workers``): they answer nothing but HTTP.
IN_WORKERS = ("gateway", "edge")


class Target(msgspec.Struct, frozen=True):
    """A row of ``TARGETS`` with what follows from it."""

    name: str
    parts: tuple[str, ...]

    @property
    def redis(self) -> bool:
        return any(PARTS[name].redis for name in self.parts)

    @property
    def nats(self) -> bool:
        return any(PARTS[name].nats for name in self.parts)

    @property
    def remote(self) -> tuple[str, ...]:
        """The services it calls in other processes."""
        called = dict.fromkeys(callee for name in self.parts for callee in PARTS[name].calls + PARTS[name].asks)
        return tuple(name for name in called if name not in self.parts)

    @property
    def over_grpc(self) -> tuple[str, ...]:
        """The services it offers to other processes: those that some caller has in another one."""
        elsewhere = [part for name, part in PARTS.items() if name not in self.parts]
        return tuple(
            name
            for name in self.parts
            if PARTS[name].serves == "grpc" and any(name in part.calls for part in elsewhere)
        )

    @property
    def over_http(self) -> tuple[str, ...]:
        return tuple(name for name in self.parts if PARTS[name].serves == "http")


def target(name: str) -> Target:
    """Raises ``CannotStart`` with the names there are."""
    if name not in TARGETS:
        raise CannotStart(f"there is no target '{name}'", f"Choose one of {', '.join(TARGETS)}")
    return Target(name, TARGETS[name])
