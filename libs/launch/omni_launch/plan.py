"""What a process is to run, and what then runs."""

import math
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec

from omni_launch.assembly import Assembly
from omni_launch.environment import Inherited, Listen
from omni_launch.problems import CannotStart
from omni_launch.targets import Target

# Things to do at the end, by the name of the part that they are of, in the order in which the parts began.
Steps = list[tuple[str, Callable[[], Awaitable[None]]]]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. ``env`` has the final ``DATA_DIR``; with ``demo`` the simulator stands in for a provider; with
    ``embedded`` Redis and NATS are started here unless the environment names others.

    ``workers`` processes run ``worker_target`` on this one's public port, where there are any; ``inherited`` is what
    such a worker was given.
    """

    target: Target
    listen: Listen
    env: Mapping[str, str]
    config_file: Path | None = None
    demo: bool = False
    embedded: bool = False
    workers: int = 0
    worker_target: Target | None = None
    inherited: Inherited | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """What now runs: HTTP ports by name ("admin" is a supervisor's own), the gRPC port, the embedded servers' versions
    and where they came from."""

    http: dict[str, int]
    grpc_port: int
    embedded: dict[str, str]
    demo_url: str
    assembly: Assembly


def seconds_of(env: Mapping[str, str], name: str, default: float) -> float:
    """Raises ``CannotStart`` for what is no time to wait."""
    text = env.get(name, "").strip()
    try:
        seconds = float(text) if text else default
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise CannotStart(f"{name} is '{text}', which is no number of seconds", "Give one such as 30")
    return seconds
