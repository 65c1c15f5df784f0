"""Whoever has no key cannot make the edge ask auth as often as they like, nor remember without bound."""

import random
from hashlib import sha256
from typing import Any

from omni_catalogue.snapshot import Routing, Server, Snapshot
from omni_core.ports.context import CallContext
from omni_core.telemetry import new_registry
from omni_edge.domain.keys import KeyCache
from omni_edge.service import EdgeService
from omni_edge.settings import EdgeSettings
from omni_wire.errors import Unauthenticated

from tests.security.auth import unknown
from tests.support.edge import KEY, ScriptedAuth, ScriptedRouter

CONTEXT = CallContext("r")


async def of_noise_and_guesses(count: int, seed: int) -> dict[str, Any]:
    """``count`` texts without a checksum, then a hundred guesses with one, repeated."""
    chance, auth = random.Random(seed), ScriptedAuth()
    settings = EdgeSettings(key_cache_size=1000, key_negative_ttl=3600)
    edge = EdgeService(ScriptedRouter(), auth, settings, new_registry(), clock=lambda: 0.0)
    edge.configure(
        Snapshot(
            revision=1, created=0, server=Server(), providers=(), combos=(), keys=(), routing=Routing(),
            checked_keys=True,
        )
    )  # fmt: skip

    async def refused(key: str) -> None:
        noise = edge.is_noise([(b"x-api-key", key.encode())], b"")
        try:
            await edge.identify(sha256(key.encode()).digest(), CONTEXT, noise)
        except Unauthenticated:
            return
        raise AssertionError("a key that is none was taken")

    for _ in range(count):
        await refused(f"or-{chance.randbytes(20).hex()}")
        await refused(unknown(chance)[:-1] + "-")
    noise = auth.asked
    guesses = [unknown(chance) for _ in range(100)]
    for number in range(count):
        await refused(guesses[number % len(guesses)])
    asked = auth.asked - noise
    await edge.identify(sha256(KEY.encode()).digest(), CONTEXT)
    for _ in range(3 * settings.key_cache_size):
        await refused(unknown(chance))
    before = auth.asked
    await edge.identify(sha256(KEY.encode()).digest(), CONTEXT)
    cache = KeyCache(settings.key_cache_size, 30, 3600, 0)
    for number in range(count):
        cache.refuse(number.to_bytes(32, "big"), 0, 0)
    figures = {
        "noise": 2 * count, "asked_for_noise": noise, "guesses": count, "asked_for_guesses": asked,
        "remembered_at_most": len(cache), "good_key_pushed_out": auth.asked != before,
    }  # fmt: skip
    figures["pass"] = (noise, asked, len(cache), auth.asked) == (0, 100, min(count, 1000), before)
    return figures
