"""Many seeds: ``make simulate N=20000 SEED=1``. A JSON line a law, and one of what the runs were made of.

SEED=123 N=1 replays one; a failure says which. Exit code 1 where a law does not hold in all of them.
"""

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.simulate import Report, replay, simulate
from tests.simulation.verdicts import LAWS

FAILURES_SHOWN = 20


def main() -> int:
    seed, count = int(os.environ.get("SEED", "1")), int(os.environ.get("N", "500"))
    start = time.perf_counter()
    reports = list(_reports(range(seed, seed + count)))
    passed = True
    for law, says in LAWS.items():
        failures = [
            {"seed": report.seed, "error": said, "replay": replay(report.seed)}
            for report in reports
            for broken, said in report.broken
            if broken == law
        ]
        checked = sum(report.checked.get(law, 0) for report in reports)
        figures = {"law": says, "seeds": count, "checked": checked, "broken": len(failures)}
        figures |= {"failures": failures[:FAILURES_SHOWN]}
        print(json.dumps({"test": f"simulation {law}", "seed": seed, "figures": figures, "pass": not failures}))
        passed = passed and not failures
    print(json.dumps(_summary(reports, seed, time.perf_counter() - start)))
    return 0 if passed else 1


def _reports(seeds: range) -> Iterable[Report]:
    if len(seeds) == 1:
        return [simulate(seeds[0])]
    with ProcessPoolExecutor() as pool:
        return list(pool.map(simulate, seeds, chunksize=10))


def _summary(reports: list[Report], seed: int, seconds: float) -> dict[str, object]:
    """``digest`` is the same each time for the same seeds."""
    total: Counter[str] = Counter()
    for report in reports:
        total.update(report.figures)
    digest = hashlib.sha256("".join(report.digest for report in reports).encode()).hexdigest()
    figures = {**total, "seconds": round(seconds, 1), "digest": digest}
    return {"test": "simulation runs", "seed": seed, "figures": figures, "pass": total["answered"] > 0}


if __name__ == "__main__":
    raise SystemExit(main())
