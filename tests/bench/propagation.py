"""How long a new configuration takes to reach every router, and whether a bad one reaches none.

    python -m tests.bench.propagation                 ten routers, fifty revisions
    SEED=7 python -m tests.bench.propagation --routers 3 --revisions 5

Prints one JSON line a question: ``{test, seed, figures, pass}``. The time runs from the moment auth begins to put a
revision into the bucket to the moment a router has switched over, both by the clock of this one machine.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from omni_catalogue.snapshot import Combo, decode, encode
from omni_core.bus import Bus
from omni_core.config_feed import BUCKET, KEY
from omni_core.signatures import PublicKeys, SigningKey

from tests.support.fleet import Fleet, Replica, config, fleet

# Seconds after which something hangs, and milliseconds that are promised.
HANG, TARGET_MS = 30.0, 500.0
NOWHERE = Combo(name="best", strategy="fill-first", targets=("nobody/gpt-x",))


def text(revision: int) -> str:
    """A configuration that differs from revision to revision. No provider is called."""
    return config("http://127.0.0.1:9", wait=float(revision + 1))


def converge(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + HANG
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {HANG:g} s"
        time.sleep(0.1)


def revision_of(replica: Replica) -> int:
    return int(replica.metric(f"omniroute_{replica.service}_config_revision"))


def spread(made: Fleet, revisions: int, seed: int) -> dict[str, Any]:
    """Publish ``revisions`` and say how long each took to each router."""
    chance, auth, routers = random.Random(seed), made["auth"][0], made["router"]
    delays: list[float] = []
    for number in range(revisions):
        wanted = revision_of(auth) + 1
        made.file.write_text(text(number + 1))
        converge(lambda wanted=wanted: revision_of(auth) == wanted, "auth did not take the file")
        time.sleep(chance.uniform(0.1, 0.3))  # looking costs the routers time: let them finish first
        converge(lambda wanted=wanted: all(revision_of(one) == wanted for one in routers), "a router is behind")
        published = auth.metric("omniroute_auth_config_published_timestamp_seconds")
        delays += [
            (one.metric("omniroute_router_config_applied_timestamp_seconds") - published) * 1000 for one in routers
        ]
    delays.sort()
    p99 = delays[-1 - len(delays) // 100]
    return {
        "routers": len(routers),
        "revisions": revisions,
        "p50_ms": round(delays[len(delays) // 2], 1),
        "p99_ms": round(p99, 1),
        "max_ms": round(delays[-1], 1),
        "target_p99_ms": TARGET_MS,
        "within_target": p99 <= TARGET_MS,
    }


async def poison(nats_url: str, auths: SigningKey, signer: SigningKey) -> int:
    """Put a revision into the bucket that contradicts itself, numbered after the one that is there, and signed by
    ``signer``. Under which number it will be refused: its own, or the bucket's where auth has not signed it."""
    bus = Bus(nats_url, name="poison")
    try:
        held = await bus.kv_get(BUCKET, KEY)
        assert held is not None
        bad = decode(PublicKeys([auths.public]).opened(held))
        bad = msgspec.structs.replace(bad, revision=bad.revision + 1, combos=(NOWHERE,))
        number = await bus.kv_put(BUCKET, KEY, signer.seal(encode(bad)))
    finally:
        await bus.close()
    return bad.revision if signer is auths else number


def refuse(made: Fleet, says: str, stranger: SigningKey | None = None) -> dict[str, Any]:
    """Publish a bad revision past auth, which mends it within two seconds; until then all must name it, and what it
    ``says`` is why. It has auth's signature, or that of a ``stranger``."""
    named: set[str] = set()
    bad: set[int] = set()
    key = SigningKey.from_token(made.token)

    def all_name_it() -> bool:
        nonlocal named
        bad.add(asyncio.run(poison(made.nats.url, key, stranger or key)))
        looks = time.monotonic() + 1.0
        while time.monotonic() < looks:
            found = made.get("/api/system").json()["processes"]
            named = {
                one["instance"] for one in found
                if one["service"] == "router" and one["refused_revision"] in bad and says in one["refused_reason"]
            }  # fmt: skip
            assert not any(one["revision"] in bad for one in found if one["service"] == "router" and not one["in_step"])
            if len(named) == len(made["router"]):
                return True
        return False

    converge(all_name_it, "not every router named the bad revision")

    def mended() -> bool:
        found = made.get("/api/system").json()
        return bool(found["in_step"] and (stranger is not None or found["config"]["revision"] > max(bad)))

    converge(mended, "not in step with a good revision again")
    return {"routers": len(made["router"]), "refused_by": len(named), "tries": len(bad)}


def run(home: Path, routers: int, revisions: int, seed: int) -> Iterator[dict[str, Any]]:
    """All questions to a fleet of its own; what each line says."""
    with fleet(home, text(0), edges=0, translators=0, routers=0) as made:
        for _ in range(routers):  # one after the other: each start takes a core for a second
            made.start("router").ready()
        for name, question in (
            ("configuration reaches every router", lambda: spread(made, revisions, seed)),
            ("a bad configuration is refused by every router", lambda: refuse(made, "best")),
            (
                "one that auth has not signed is refused by every router",
                lambda: refuse(made, "is signed with the key", SigningKey.from_token("a stranger's")),
            ),
        ):
            try:
                figures, passed = question(), True  # how fast it converges is shown, that it does is asked for
            except AssertionError as error:
                figures, passed = {"why": str(error)}, False
            yield {"test": name, "seed": seed, "figures": figures, "pass": passed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--routers", type=int, default=10)
    parser.add_argument("--revisions", type=int, default=50)
    asked = parser.parse_args()
    seed = int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))
    with tempfile.TemporaryDirectory(prefix="omniroute-fleet-") as home:
        failed = False
        for line in run(Path(home), asked.routers, asked.revisions, seed):
            print(json.dumps(line), flush=True)
            failed |= not line["pass"]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
