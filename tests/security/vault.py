"""Credentials brought under one key of the vault after another while requests are served with them, some rotations
killed in their middle.

Every account has a credential of its own, sealed through the management API, and the provider answers 401 to whoever
comes with another's. The router asks for each of them again about once a second.
"""

import asyncio
import fcntl
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from omni_auth.adapters.vault_keys import open_vault

from tests.support.fleet import ADMIN, KEY, config
from tests.support.stack import Stack, omniroute, running, simulator

CLIENTS, PAUSE = 4, 0.01
AT_ONCE = 15
HANG = 60.0
# Seconds after its start in which an interrupted rotation is killed, wherever it is; the first one waits half done.
MOMENTS = (0.3, 1.5)
FRESH = {"OMNIROUTE_ROUTER_CREDENTIAL_TTL": "2"}


class Load:
    """Requests until it is told to stop, each for one account."""

    def __init__(self, edge: str, secrets: dict[str, str], chance: random.Random) -> None:
        self._edge, self.secrets, self._chance = edge, secrets, chance
        self.statuses: Counter[str] = Counter()
        self.longest = 0.0
        self.going = True

    @property
    def failed(self) -> int:
        return self.statuses.total() - self.statuses["200"]

    async def run(self) -> None:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=self._edge, headers=headers, trust_env=False, timeout=HANG) as client:
            await asyncio.gather(*(self._one(client) for _ in range(CLIENTS)))

    async def _one(self, client: httpx.AsyncClient) -> None:
        while self.going:
            name, secret = self._chance.choice(list(self.secrets.items()))
            model = f"{name}/sim+say:hello+require-key:{secret}"
            began = time.monotonic()
            try:
                answer = await client.post("/v1/chat/completions", json={"model": model, "messages": [_HELLO]})
                self.statuses[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                self.statuses[type(error).__name__] += 1
            self.longest = max(self.longest, time.monotonic() - began)
            await asyncio.sleep(PAUSE)


_HELLO = {"role": "user", "content": "hi"}


class Owner:
    """Who configures and rotates: the management API, and the command line beside the running gateway."""

    def __init__(self, stack: Stack, provider: str, env: dict[str, str]) -> None:
        self._api = httpx.AsyncClient(
            base_url=stack.dashboard, headers={"authorization": f"Bearer {ADMIN}"}, trust_env=False, timeout=HANG
        )
        self._data_dir, self._provider, self._env = stack.data_dir, provider, {**os.environ, **env}
        self._rotate = omniroute("vault", "rotate", "--data-dir", str(stack.data_dir))

    async def close(self) -> None:
        await self._api.aclose()

    async def seal(self, secrets: dict[str, str]) -> None:
        """Many at once, as files that are imported: few enough for a busy machine to do in the time for one call."""
        providers = [
            {**self._document(), "id": name, "accounts": [{"name": "main", "api_key": {"value": secret}}]}
            for name, secret in secrets.items()
        ]
        for begin in range(0, len(providers), AT_ONCE):
            text = json.dumps({"providers": providers[begin : begin + AT_ONCE]})
            headers = {"content-type": "application/json"}
            answer = await self._api.post("/api/config/apply?mode=import", content=text, headers=headers)
            assert answer.status_code == 200, answer.text

    async def add(self, name: str, secret: str) -> None:
        for path, document in (
            (f"/api/providers/{name}", self._document()),
            (f"/api/accounts/{name}/main", {"api_key": {"value": secret}}),
        ):
            answer = await self._api.put(path, json=document)
            assert answer.status_code == 201, answer.text

    def _document(self) -> dict[str, Any]:
        return {
            "format": "openai.chat", "base_url": f"{self._provider}/v1", "allow_private_address": True,
            "models": [{"id": "*"}],
        }  # fmt: skip

    async def used(self) -> dict[str, int]:
        """How many credentials each key in the vault wraps, the primary first."""

        def asked() -> dict[str, int]:
            with open_vault(self._data_dir, self._env) as vault:
                return {key.id: key.credentials for key in vault.status()}

        return await asyncio.to_thread(asked)

    async def retire(self, kek: str) -> None:
        def retired() -> None:
            with open_vault(self._data_dir, self._env) as vault:
                vault.retire(kek)

        await asyncio.to_thread(retired)

    async def rotate(self) -> None:
        child = await self._rotating(subprocess.PIPE)
        async with asyncio.timeout(HANG):
            _, told = await child.communicate()
        assert child.returncode == 0, told.decode()

    async def kill_half_done(self, old: str) -> int:
        """SIGKILL for a rotation that has brought some credentials under the new key and waits to say so; how many it
        left."""
        with _full_pipe() as stderr:
            child = await self._rotating(stderr)
            try:
                async with asyncio.timeout(HANG):
                    while not any(count for kek, count in (await self.used()).items() if kek != old):
                        assert child.returncode is None, "the rotation ended by itself"
                        await asyncio.sleep(0.02)
            finally:
                child.kill()
                code = await child.wait()
        assert code == -signal.SIGKILL, code
        return (await self.used())[old]

    async def kill_after(self, seconds: float) -> bool:
        """Whether a rotation was still under way then."""
        child = await self._rotating(subprocess.DEVNULL)
        await asyncio.sleep(seconds)
        with suppress(ProcessLookupError):
            child.kill()
        return await child.wait() == -signal.SIGKILL

    async def _rotating(self, stderr: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._rotate, env=self._env, stdout=subprocess.DEVNULL, stderr=stderr
        )


@contextmanager
def _full_pipe() -> Iterator[int]:
    """Whoever writes to it waits."""
    read, write = os.pipe()
    try:
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(write, False)
        with suppress(BlockingIOError):
            while True:
                os.write(write, b"\n")
        os.set_blocking(write, True)
        yield write
    finally:
        os.close(read)
        os.close(write)


async def _rotations(owner: Owner, load: Load, rotations: int, kills: int, chance: random.Random) -> dict[str, Any]:
    found = {"killed": 0, "left_half_done": 0}
    for number in range(rotations):
        (old,) = await owner.used()
        name, secret = f"late{number}", chance.randbytes(16).hex()
        if number == 0 and kills:
            found["left_half_done"] = await owner.kill_half_done(old)
            found["killed"] += 1
        elif number < kills:
            found["killed"] += await owner.kill_after(chance.uniform(*MOMENTS))
        await asyncio.gather(owner.rotate(), owner.add(name, secret))
        load.secrets[name] = secret
        for kek in list(await owner.used())[1:]:
            await owner.retire(kek)
    return found


def under_load(home: Path, shape: str, credentials: int, rotations: int, kills: int, seed: int) -> dict[str, Any]:
    """``kills`` of the ``rotations`` are killed and run again. ``shape`` as in ``tests.support.stack.running``."""
    chance = random.Random(seed)
    secrets = {f"p{number}": chance.randbytes(16).hex() for number in range(credentials)}

    async def run(stack: Stack, provider: str) -> tuple[Load, dict[str, Any], dict[str, int]]:
        owner, load = Owner(stack, provider, FRESH), Load(stack.edge, dict(secrets), random.Random(seed))
        try:
            await owner.seal(secrets)
            async with asyncio.TaskGroup() as group:
                group.create_task(load.run())
                try:
                    found = await _rotations(owner, load, rotations, kills, chance)
                finally:
                    load.going = False
            return load, found, await owner.used()
        finally:
            await owner.close()

    with simulator() as provider, running(shape, home, config(provider.url), FRESH) as stack:
        load, found, used = asyncio.run(run(stack, provider.url))
        answered, refused = provider.meter.served.answers, provider.meter.refused
    figures = {
        "requests": load.statuses.total(), "failed": load.failed, "statuses": dict(load.statuses),
        "answered_upstream": answered, "refused_upstream": refused, "rotations": rotations,
        "rows": sum(used.values()), "keys_left": len(used), **found, "longest_ms": round(load.longest * 1000),
    }  # fmt: skip
    whole = list(used.values()) == [credentials + rotations]
    half_done = bool(found["left_half_done"]) or not kills
    figures["pass"] = not load.failed and not refused and answered == load.statuses.total() and whole and half_done
    return figures
