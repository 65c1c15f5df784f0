"""What the dashboard needs: the ports of auth, quota and analytics (``omni_core.ports``), the processes, a page."""

from collections.abc import Mapping
from typing import Protocol

import msgspec
from omni_core.component import Check
from omni_core.log_ring import LogLine
from omni_core.ports.audit import AuditPort
from omni_core.ports.auth import AuthPort
from omni_core.ports.configuration import ConfigurationPort
from omni_core.ports.logins import LoginPort

from omni_dashboard.domain.fleet import Fleet


class ControlPort(AuthPort, ConfigurationPort, AuditPort, LoginPort, Protocol):
    """All that auth answers."""


class ProcessChecks(Protocol):
    def __call__(self) -> Mapping[str, Mapping[str, Check]]:
        """What every component of this process says of its dependencies. Answers at once."""
        ...


class Consoles(Protocol):
    """Logs of other processes."""

    async def lines(self, instance: str, before: int, limit: int, text: str) -> list[LogLine]:
        """See ``omni_core.console.console_of``."""
        ...


class FleetView(Protocol):
    """Who runs."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def now(self) -> Fleet:
        """Answers at once, with what was heard so far."""
        ...


class Asset(msgspec.Struct, frozen=True):
    """One file of the web page. ``etag`` is quoted, and changes with the body."""

    body: bytes
    media_type: str
    etag: str
