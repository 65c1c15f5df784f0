"""Tells the person at the log what a process still waits for, and where it looks: once, and again every ten seconds."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from omni_core.clock import monotonic
from omni_core.component import Check, Spare
from omni_core.settings import DISCOVER, CoreSettings

# Seconds.
PATIENCE = 3.0  # what comes within this is not worth a line
AGAIN = 10.0
LOOK = 0.25

Checks = Callable[[], dict[str, dict[str, Check]]]

_log = logging.getLogger("omniroute.launch")


class Waiting:
    """``checks`` is what /readyz names; ``places`` says where a dependency is looked for."""

    def __init__(self, checks: Checks, places: Mapping[str, str], *, clock: Callable[[], float] = monotonic) -> None:
        self._checks = checks
        self._places = places
        self._clock = clock
        self._since: float | None = None
        self._told: float | None = None

    async def run(self) -> None:
        """For as long as the process serves."""
        while True:
            self.look()
            await asyncio.sleep(LOOK)

    def look(self) -> None:
        """One look; a line when it is time for one."""
        now, lacking = self._clock(), missing(self._checks(), self._places)
        if not lacking:
            if self._told is not None and self._since is not None:
                _log.info("ready: what was missing is there, after %.0f s", now - self._since)
            self._since = self._told = None
            return
        if self._since is None:
            self._since = now
        last = self._told
        if now - self._since >= PATIENCE if last is None else now - last >= AGAIN:
            self._told = now
            _log.warning("not ready, waiting for %s", "; ".join(lacking))


def missing(checks: Mapping[str, Mapping[str, Check]], places: Mapping[str, str]) -> list[str]:
    """What is not well, each thing once, with its place ("at …") and what is wrong with it."""
    found: dict[str, str] = {}
    for part, named in checks.items():
        if part == "process":
            continue  # itself
        for name, check in named.items():
            if check.ok or isinstance(check, Spare):
                continue
            place = places.get(name)
            subject = f"{name} {place}" if place else name if name == part else f"{part}'s {name}"
            found.setdefault(subject, f"{subject} ({check.detail})" if check.detail else subject)
    return list(found.values())


def places(settings: CoreSettings) -> dict[str, str]:
    """Where Redis, NATS and the other services are looked for, without any password: "at 127.0.0.1:20144"."""
    servers = {name: without_secret(url) for name, url in (("redis", settings.redis_url), ("nats", settings.nats_url))}
    peers = {
        name: f"announced at {servers['nats']}" if address == DISCOVER else f"at {address}"
        for name, address in settings.peers.items()
    }
    return peers | {name: f"at {url}" for name, url in servers.items()}


def without_secret(url: str) -> str:
    """A URL, or several with commas between them, without user and password."""
    shown = []
    for one in url.split(","):
        parts = urlsplit(one.strip())
        shown.append(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")
    return ",".join(shown)
