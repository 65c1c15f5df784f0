"""What of the accounts can be put into figures: ``python -m tests.money [WORD …]`` (``make money``).

SEED=1 N=1000000 python -m tests.money reserve     those with WORD in their name; N reservations

A JSON line a test: ``{test, seed, figures, pass}``; how far it is, on stderr. Exit code 1 when one fails.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.money import breaking, model
from tests.money.breaking import Scene
from tests.money.reserve import reserve

Test = Callable[[Path, int, int], dict[str, Any]]


def _broken(how: Callable[[Scene, int], dict[str, Any]]) -> Test:
    def test(home: Path, _: int, seed: int) -> dict[str, Any]:
        with breaking.running(home) as scene:
            return how(scene, seed)

    return test


def _reserved(home: Path, n: int, seed: int, leased: bool) -> dict[str, Any]:
    kills, restarts = max(3, n // 20_000), max(1, n // 100_000)
    return asyncio.run(reserve(home, n, seed, kills=kills, restarts=restarts, leased=leased))


# Each is given an empty folder, N and a seed, and returns its figures, "pass" among them.
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


def main(words: list[str]) -> int:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    count = int(os.environ.get("N") or "1000000")
    chosen = {name: test for name, test in TESTS.items() if not words or any(word in name for word in words)}
    if not chosen:
        print(f"no test has such a name; there are: {', '.join(TESTS)}", file=sys.stderr)
        return 2
    failed = False
    for name, test in chosen.items():
        with tempfile.TemporaryDirectory(prefix="omniroute-money-") as home:
            try:
                figures = test(Path(home), count, seed)
            except AssertionError as error:
                figures = {"why": str(error), "pass": False}
        passed = figures.pop("pass")
        print(json.dumps({"test": name, "seed": seed, "figures": figures, "pass": passed}), flush=True)
        failed |= not passed
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
