"""What of the gateway's security can be put into figures: ``python -m tests.security [WORD …]`` (``make security``).

SEED=1 N=10000 python -m tests.security timing     those with WORD in their name; N samples of each kind

A JSON line a test: ``{test, seed, figures, pass}``. Exit code 1 when one fails.
"""

import asyncio
import os
import sys

from tests.security import (
    access,
    bombs,
    canary,
    content,
    flood,
    listing,
    log_ins,
    logins,
    revocation,
    schema,
    siege,
    smuggling,
    ssrf,
    timing,
    vault,
)
from tests.support.figures import Test, told

TESTS: dict[str, Test] = {
    "timing of wrong and unknown keys in auth": lambda home, n, seed: asyncio.run(timing.in_auth(home, n, seed)),
    "timing of wrong and unknown keys at the edge": lambda home, n, seed: asyncio.run(
        timing.at_the_edge(home, n, seed)
    ),
    "timing of log-ins that are refused": lambda home, n, seed: asyncio.run(
        log_ins.of_every_kind(home, max(50, n // 20), seed)
    ),
    "flood of noise and guesses": lambda home, n, seed: asyncio.run(flood.of_noise_and_guesses(n, seed)),
    "flood of connections": lambda home, n, seed: asyncio.run(siege.of_connections(2_000, 50, quiet=5)),
    "flood of wrong keys over HTTP": lambda home, n, seed: asyncio.run(siege.of_requests(20, 100, seconds=10, quiet=5)),
    "slowloris: heads that never end": lambda home, n, seed: asyncio.run(siege.of_slow_heads(2_000, 15, quiet=5)),
    "bomb: 10 MB of gzip that become 10 GB": lambda home, n, seed: asyncio.run(bombs.of_gzip(10_240)),
    "depth: documents nested or repeated without end": lambda home, n, seed: asyncio.run(bombs.of_nested(home, seed)),
    "smuggling: requests that two readers cut differently": lambda home, n, seed: asyncio.run(
        smuggling.of_the_corpus(home, seed)
    ),
    "revocation on every edge": lambda home, n, seed: revocation.on_every_edge(home, 4, max(10, n // 200), seed),
    "vault: rotations under load": lambda home, n, seed: vault.under_load(
        home, "separate", credentials=200, rotations=max(4, n // 1000), kills=max(2, n // 3000), seed=seed
    ),
    "access: every route for every caller": lambda home, n, seed: asyncio.run(access.of_every_route(home, seed)),
    "listing: models shown are models that may be called": lambda home, n, seed: listing.of_random_catalogues(
        min(n, 2000), seed
    ),
    "oauth: every flow end to end": lambda home, n, seed: asyncio.run(logins.every_flow(home, seed)),
    "oauth: killed at each step": lambda home, n, seed: asyncio.run(
        logins.killed_at_each_step(home, max(1, n // 3000), seed)
    ),
    "oauth: ten who renew at once": lambda home, n, seed: asyncio.run(
        logins.ten_who_renew(home, max(5, n // 100), seed)
    ),
    "canary: secrets of one process": lambda home, n, seed: canary.of_a_whole_gateway(home, seed, "all"),
    "canary: secrets of a process a service": lambda home, n, seed: canary.of_a_whole_gateway(home, seed, "separate"),
    "ssrf: every spelling of an address": lambda home, n, seed: asyncio.run(ssrf.of_every_spelling(seed)),
    "ssrf: names that come to mean something else": lambda home, n, seed: asyncio.run(ssrf.of_rebinding(seed)),
    "ssrf: metadata for nobody": lambda home, n, seed: asyncio.run(ssrf.of_leave(seed)),
    "schema: whatever OpenAPI allows and forbids": lambda home, n, seed: schema.of_everything(
        home, n, seed, workers=os.cpu_count() or 1
    ),
    "pii: found in labelled texts, whole and cut everywhere": lambda home, n, seed: content.of_pii(),
    "injection: found in labelled requests": lambda home, n, seed: content.of_injection(),
}


if __name__ == "__main__":
    raise SystemExit(told(TESTS, sys.argv[1:], 10_000))
