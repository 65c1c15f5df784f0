"""What of the accounts can be put into figures: ``python -m tests.money [WORD …]`` (``make money``).

SEED=1 N=1000000 python -m tests.money reserve     those with WORD in their name; N reservations

A JSON line a test: ``{test, seed, figures, pass}``; how far it is, on stderr. Exit code 1 when one fails.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.money import breaking, model
from tests.money.breaking import Scene
from tests.money.reserve import reserve
from tests.support.figures import Test, told


def _broken(how: Callable[[Scene, int], dict[str, Any]]) -> Test:
    def test(home: Path, _: int, seed: int) -> dict[str, Any]:
        with breaking.running(home) as scene:
            return how(scene, seed)

    return test


def _reserved(home: Path, n: int, seed: int, leased: bool) -> dict[str, Any]:
    kills, restarts = max(3, n // 20_000), max(1, n // 100_000)
    return asyncio.run(reserve(home, n, seed, kills=kills, restarts=restarts, leased=leased))


TESTS: dict[str, Test] = {
    "reserve: routers and Redis are killed amid reservations": lambda home, n, seed: _reserved(home, n, seed, False),
    "reserve: the same from leased slices": lambda home, n, seed: _reserved(home, n, seed, True),
    "model: the whole ledger against plain Python": lambda home, n, seed: model.machine(max(20, n // 2_000), seed),
    "model: its parts over long histories": lambda home, n, seed: asyncio.run(
        model.histories(max(1, n // 50_000), seed)
    ),
    "kill: each service in turn": _broken(breaking.kill),
    "nats: away under load": _broken(breaking.nats),
    "redis: away under load": _broken(breaking.redis),
}


if __name__ == "__main__":
    raise SystemExit(told(TESTS, sys.argv[1:], 1_000_000))
