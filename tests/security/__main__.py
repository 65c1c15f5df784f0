"""What of the gateway's security can be put into figures: ``python -m tests.security [WORD …]`` (``make security``).

SEED=1 N=10000 python -m tests.security timing     those with WORD in their name; N samples of each kind

A JSON line a test: ``{test, seed, figures, pass}``. Exit code 1 when one fails.
"""

import asyncio
import os
import sys

from tests.security import access, canary, content, flood, listing, revocation, schema, timing, vault
from tests.support.figures import Test, told

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
    "pii: found in labelled texts, whole and cut everywhere": lambda home, n, seed: content.of_pii(),
    "injection: found in labelled requests": lambda home, n, seed: content.of_injection(),
}


if __name__ == "__main__":
    raise SystemExit(told(TESTS, sys.argv[1:], 10_000))
