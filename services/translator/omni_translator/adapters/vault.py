"""The reasoning vault in Redis: ``vault:{<principal>}:<call>``, and ``vault:{<principal>}:index`` of what there is.

Principal and call stand in the keys as digests: both are somebody else's text, of any length. The hash tag keeps all
of a principal on one node of a Redis Cluster.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from omni_translator.ports import Metrics
from omni_translator.settings import TranslatorSettings

_LUA: Final = (Path(__file__).parent / "vault.lua").read_text()
_FAILURES: Final = (RedisError, OSError, TimeoutError)


def _named(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class RedisVault:
    """Satisfies ``omni_translator.ports.Vault``."""

    def __init__(self, redis: "Redis", settings: TranslatorSettings, metrics: Metrics) -> None:
        self._redis = redis
        self._settings = settings
        self._metrics = metrics
        self._put = redis.register_script(_LUA)

    async def get(self, principal: str, call_ids: Iterable[str]) -> dict[str, bytes]:
        ids = list(call_ids)
        if not ids:
            return {}
        prefix = _prefix(principal)
        try:
            async with asyncio.timeout(self._settings.vault_deadline):
                found = await self._redis.mget([prefix + _named(call_id) for call_id in ids])
        except _FAILURES:
            self._metrics.vault("failed")
            return {}
        entries = {call_id: entry for call_id, entry in zip(ids, found, strict=True) if isinstance(entry, bytes)}
        self._metrics.vault("missing", len(ids) - len(entries))
        return entries

    async def put(self, principal: str, call_id: str, entry: bytes) -> None:
        settings = self._settings
        if len(entry) > settings.vault_entry_bytes:
            self._metrics.vault("refused")
            return
        prefix, name = _prefix(principal), _named(call_id)
        bounds = (settings.vault_principal_entries, settings.vault_principal_bytes, settings.vault_full_at)
        try:
            async with asyncio.timeout(settings.vault_deadline):
                kept = await self._put(
                    keys=[prefix + name, prefix + "index"],
                    args=[entry, name, settings.vault_ttl, *bounds, prefix],
                )
        except _FAILURES:
            self._metrics.vault("failed")
            return
        self._metrics.vault("kept" if kept else "refused")


def _prefix(principal: str) -> str:
    return f"vault:{{{_named(principal)}}}:"
