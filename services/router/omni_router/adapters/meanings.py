"""``Meanings`` in Redis: ``cache:near:{<bucket>}``, and what ``meaning.lua`` says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from omni_router.adapters.scripts import ScriptQueue

SCRIPT: Final = Path(__file__).parent / "meaning.lua"
PREFIX: Final = "cache:near:"


class RedisMeanings:
    """On a connection of its own, which nobody opens who compares nothing by meaning."""

    def __init__(self, redis: "Redis") -> None:
        self._scripts = ScriptQueue(redis, SCRIPT.read_text(encoding="utf-8"))

    async def close(self) -> None:
        await self._scripts.close()

    async def sketches(self, bucket: str) -> list[tuple[str, bytes]]:
        reply = await self._scripts.call(_key(bucket), "sketches")
        half = len(reply) // 2
        return [(name.decode(), sketch) for name, sketch in zip(reply[:half], reply[half:], strict=True)]

    async def vectors(self, bucket: str, names: Sequence[str]) -> list[bytes]:
        return list(await self._scripts.call(_key(bucket), "vectors", *names)) if names else []

    async def add(self, bucket: str, name: str, sketch: bytes, vector: bytes, seconds: float, most: int) -> None:
        await self._scripts.call(_key(bucket), "add", name, int(seconds * 1000), most, sketch, vector)

    async def drop(self, bucket: str, name: str) -> None:
        await self._scripts.call(_key(bucket), "drop", name)


def _key(bucket: str) -> str:
    return f"{PREFIX}{{{bucket}}}"
