"""What of the gateway's security can be put into figures: ``python -m tests.security [WORD …]`` (``make security``).

SEED=1 N=10000 python -m tests.security timing     those with WORD in their name; N samples of each kind

A JSON line a test: ``{test, seed, figures, pass}``. Exit code 1 when one fails.
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

from tests.security import access, canary, flood, listing, revocation, schema, timing, vault

Test = Callable[[Path, int, int], dict[str, Any]]

# Each is given an empty folder, N and a seed, and returns its figures, "pass" among them.
TESTS: dict[str, Test] = {
    "timing of wrong and unknown keys in auth": lambda home, n, seed: asyncio.run(timing.in_auth(home, n, seed)),
    "timing of wrong and unknown keys at the edge": lambda home, n, seed: asyncio.run(
        timing.at_the_edge(home, n, seed)
    ),
    "flood of noise and guesses": lambda home, n, seed: asyncio.run(flood.of_noise_and_guesses(n, seed)),
    "revocation on every edge": lambda home, n, seed: revocation.on_every_edge(home, 4, max(10, n // 200), seed),
    "vault: rotations under load": lambda home, n, seed: vault.under_load(
        home, "separate", credentials=200, rotations=max(4, n // 1000), kills=max(2, n // 3000), seed=seed
    ),
    "access: every route for every caller": lambda home, n, seed: asyncio.run(access.of_every_route(home, seed)),
    "listing: models shown are models that may be called": lambda home, n, seed: listing.of_random_catalogues(
        min(n, 2000), seed
    ),
    "canary: secrets of one process": lambda home, n, seed: canary.of_a_whole_gateway(home, seed, "all"),
    "canary: secrets of a process a service": lambda home, n, seed: canary.of_a_whole_gateway(home, seed, "separate"),
    "schema: whatever OpenAPI allows and forbids": lambda home, n, seed: schema.of_everything(
        home, n, seed, workers=os.cpu_count() or 1
    ),
}


def main(words: list[str]) -> int:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    count = int(os.environ.get("N", "10000"))
    chosen = {name: test for name, test in TESTS.items() if not words or any(word in name for word in words)}
    if not chosen:
        print(f"no test has such a name; there are: {', '.join(TESTS)}", file=sys.stderr)
        return 2
    failed = False
    for name, test in chosen.items():
        with tempfile.TemporaryDirectory(prefix="omniroute-security-") as home:
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
