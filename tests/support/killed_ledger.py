"""A process that leases, settles some and leaves some under way, says so, and waits to be killed:
``python -m tests.support.killed_ledger URL FOLDER NAME``."""

import asyncio
import sys
from pathlib import Path

from omni_ledger import Grant, Hold

from tests.support.leasing import leaser, told
from tests.support.ledger import budget, hold, settlement

CAP, SETTLED, OPEN, COST = 10**6, 300, 20, 40


def asked(name: str) -> Hold:
    return hold(name, budget=budget(CAP), router_id=name.split("-")[0], abort_events=(told(name, outcome="aborted"),))


async def main(url: str, folder: str, name: str) -> None:
    async with leaser(url, name, Path(folder) if folder else None) as one:
        for i in range(SETTLED):
            attempt = f"{name}-{i}"
            answer = await one.ledger.admit(asked(attempt))
            assert isinstance(answer, Grant)
            done = settlement(attempt, COST, evidence=(), router_id=name, events=(told(attempt, COST),))
            one.ledger.settle_soon(done)
            if i % 10 == 0:
                await asyncio.sleep(0.005)
        for i in range(OPEN):
            answer = await one.ledger.admit(asked(f"{name}-open-{i}"))
            assert isinstance(answer, Grant)
        print(f"leased {one.leased:.0f}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
