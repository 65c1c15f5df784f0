"""A real Redis and a real NATS JetStream for one machine: found, configured, started, watched, stopped.

Each has its folder under the data directory (``redis/``, ``nats/``: data, configuration, password, pid) and its log
under ``logs/``. They listen on free loopback ports and ask for a password that only the owner of the data directory can
read, so other users of the machine cannot talk to them. The same files serve the next start.

What survives: Redis keeps an append-only file synced every second, so a power cut may cost the last second of what it
counted; a crash of any process costs nothing, because the kernel has the bytes. It never evicts. NATS syncs every
write (``sync_interval: always``) before it acknowledges: an event that was acknowledged is on the disk.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from omni_core.component import Check

from omni_launch.binaries import NATS, REDIS, Binary, find
from omni_launch.child import Child, end_stale
from omni_launch.data_dir import kept_secret, write_private
from omni_launch.probes import probe_nats, probe_redis
from omni_launch.problems import CannotStart

NATS_MAX_PAYLOAD = 8 * 1024 * 1024
_TRIES = 4

_log = logging.getLogger("omniroute.launch")


class EmbeddedServers:
    """Starts what is asked for. ``redis_url`` and ``nats_url`` are known after ``start``; they hold the passwords.

    The caller holds the lock of the data directory.
    """

    def __init__(self, data_dir: Path, *, redis: bool, nats: bool, env: Mapping[str, str]) -> None:
        self.redis_url = ""
        self.nats_url = ""
        self.found: dict[str, Binary] = {}
        self._data_dir = data_dir
        self._wanted = (redis, nats)
        self._env = env
        self._children: dict[str, Child] = {}

    async def start(self) -> None:
        """Raises ``CannotStart``; then nothing of it is left running."""
        redis, nats = self._wanted
        try:
            async with asyncio.TaskGroup() as group:
                if redis:
                    group.create_task(self._start_redis())
                if nats:
                    group.create_task(self._start_nats())
        except* CannotStart as errors:
            await self.stop()
            first = errors.exceptions[0]
            while isinstance(first, ExceptionGroup):
                first = first.exceptions[0]
            raise first from None

    async def stop(self) -> None:
        """NATS first, then Redis: what the relay could not publish any more stays in Redis' outbox."""
        for name in ("nats", "redis"):
            if (child := self._children.pop(name, None)) is not None:
                await child.stop()

    def kill(self) -> None:
        """End the children without waiting, when a second signal says that nobody waits."""
        for child in self._children.values():
            child.kill()

    def environment(self) -> dict[str, str]:
        """For another process to find them: URLs without passwords, and the files that hold those."""
        given: dict[str, str] = {}
        for name, url in (("redis", self.redis_url), ("nats", self.nats_url)):
            if name in self._children:
                user, _, rest = url.partition("://")[2].rpartition("@")
                start = f"{name}://{user.partition(':')[0]}"
                given[f"OMNIROUTE_{name.upper()}_URL"] = f"{start}@{rest}" if user else f"{name}://{rest}"
                given[f"OMNIROUTE_{name.upper()}_PASSWORD_FILE"] = str(self._data_dir / name / "password")
        return given

    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self._children.items() if child.pid is not None}

    def checks(self) -> dict[str, Check]:
        return {name: Check(child.up, "" if child.up else "being restarted") for name, child in self._children.items()}

    async def _start_redis(self) -> None:
        binary = find(REDIS, self._env)
        folder = self._folder("redis")
        if binary.version < (7, 0, 0) and (folder / "appendonlydir").exists():
            # 6.2 does not know Redis 7's layout and would start empty: every budget would be whole again.
            raise CannotStart(
                f"{folder} was written by Redis 7 or newer, and {binary.path} is {binary.version_text}",
                "Put the newer redis-server on PATH again",
            )
        password = kept_secret(folder / "password")

        def configure(port: int) -> tuple[list[str], str]:
            config = folder / "redis.conf"
            write_private(config, redis_config(folder, port, password))
            return [str(binary.path), str(config)], f"redis://:{password}@127.0.0.1:{port}/0"

        self.redis_url = await self._start("redis", binary, folder, configure, probe_redis)

    async def _start_nats(self) -> None:
        binary = find(NATS, self._env)
        folder = self._folder("nats")
        password = kept_secret(folder / "password")

        def configure(port: int) -> tuple[list[str], str]:
            config = folder / "nats.conf"
            write_private(config, nats_config(folder, port, password))
            return [str(binary.path), "--config", str(config)], f"nats://omniroute:{password}@127.0.0.1:{port}"

        self.nats_url = await self._start("nats", binary, folder, configure, probe_nats)

    def _folder(self, name: str) -> Path:
        folder = self._data_dir / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if end_stale(folder / "pid", str(folder)):
            _log.warning("ended a %s that an earlier run had left behind", name)
        return folder

    async def _start(
        self,
        name: str,
        binary: Binary,
        folder: Path,
        configure: Callable[[int], tuple[list[str], str]],
        probe: Callable[[str], Awaitable[str]],
    ) -> str:
        tries = 0
        while name not in self._children:
            tries += 1
            command, url = configure(free_port())
            child = Child(
                name,
                command,
                folder=folder,
                log_file=self._data_dir / "logs" / f"{name}.log",
                ready=partial(probe, url),
            )
            try:
                await child.start()
            except CannotStart as error:
                if tries == _TRIES or "in use" not in str(error).lower():
                    raise
                continue  # somebody took the port between our look and the server's bind
            self._children[name] = child
        self.found[name] = binary
        return url


def redis_config(folder: Path, port: int, password: str) -> str:
    """Only what differs from the defaults, or must never follow them."""
    return "\n".join(
        (
            "bind 127.0.0.1",
            f"port {port}",
            "protected-mode yes",
            f"requirepass {password}",
            f"dir {json.dumps(str(folder), ensure_ascii=False)}",
            "daemonize no",
            "set-proc-title no",  # the next start finds a left-over by its command line
            "appendonly yes",
            "appendfsync everysec",
            'save ""',  # the append-only file is the one copy; snapshots beside it would be stale
            "maxmemory-policy noeviction",  # a reservation that vanishes is money that vanishes
            "",
        )
    )


def nats_config(folder: Path, port: int, password: str) -> str:
    return "\n".join(
        (
            "server_name: omniroute",
            "host: 127.0.0.1",
            f"port: {port}",
            f"max_payload: {NATS_MAX_PAYLOAD}",
            f'authorization {{ user: omniroute, password: "{password}" }}',
            "jetstream {",
            f"  store_dir: {json.dumps(str(folder / 'jetstream'), ensure_ascii=False)}",
            "  sync_interval: always",
            "}",
            "",
        )
    )


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
