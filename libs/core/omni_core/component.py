"""What the composition root starts, watches and stops."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One dependency as /readyz names it. ``detail`` says what is wrong, or which version is right."""

    ok: bool
    detail: str = ""


class Spare(Check, frozen=True):
    """One of several of which any will do: /readyz names it like any other, and is not 503 for the want of it alone."""


def well(checks: Mapping[str, Mapping[str, Check]]) -> bool:
    """Whether nothing that is needed is missing, of checks by component and name."""
    return all(check.ok or isinstance(check, Spare) for named in checks.values() for check in named.values())


class ConfigState(msgspec.Struct, frozen=True):
    """Which configuration a component works with: ``revision``, 0 before the first. ``refused_revision`` and
    ``refused_reason`` are of a newer one that it would not take; 0 and "" when there is none."""

    revision: int
    refused_revision: int = 0
    refused_reason: str = ""


class Component(Protocol):
    """A service in this process.

    Life: ``start`` (returns once it can serve; starting twice is an error) → ``drain`` (finish what is running, take
    nothing new) → ``stop`` (release everything; safe after a failed start). ``checks`` answers at once, from state it
    already has.
    """

    name: str

    async def start(self) -> None: ...

    async def drain(self) -> None: ...

    async def stop(self) -> None: ...

    def checks(self) -> dict[str, Check]: ...


@runtime_checkable
class UsesProxies(Protocol):
    """A component whose calls go out through proxies."""

    def broken_proxies(self) -> tuple[str, ...]:
        """Names of those that are left alone now. Answers at once."""
        ...


@runtime_checkable
class FollowsConfig(Protocol):
    """A component that works with the published configuration."""

    def config_state(self) -> ConfigState:
        """Answers at once."""
        ...
