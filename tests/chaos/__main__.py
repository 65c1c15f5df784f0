"""Every fault before every client dialect, in every way: ``python -m tests.chaos [WORD …]`` (``make chaos``).

SEED=1 python -m tests.chaos cut     the faults with WORD in their name

A JSON line a fault: ``{test, seed, figures, pass}``; ``seconds`` is what its requests took together, many of them at
once. Exit code 1 when one fails.
"""

import json
import os
import random
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.chaos.cells import cells
from tests.chaos.faults import FAULTS
from tests.chaos.wall import run

SHOWN = 5


def main(words: list[str]) -> int:
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    names = [fault.name for fault in FAULTS if not words or any(word in fault.name for word in words)]
    if not names:
        print(f"no fault has such a name; there are: {', '.join(fault.name for fault in FAULTS)}", file=sys.stderr)
        return 2
    chosen = [cell for cell in cells(seed) if cell.fault.name in names]
    with tempfile.TemporaryDirectory(prefix="omniroute-chaos-") as home:
        found = run(Path(home), chosen)
    by_fault = defaultdict(list)
    for cell in chosen:
        by_fault[cell.fault.name].append(cell)
    failed = False
    for name in names:
        wrong = [f"{cell}: {'; '.join(found.wrong[cell.id])}" for cell in by_fault[name] if found.wrong[cell.id]]
        seconds = round(sum(found.seconds[cell.id] for cell in by_fault[name]), 1)
        figures: dict[str, Any] = {"cells": len(by_fault[name]), "failures": len(wrong), "seconds": seconds}
        if wrong:
            figures |= {"first": wrong[:SHOWN]}
        print(json.dumps({"test": name, "seed": seed, "figures": figures, "pass": not wrong}), flush=True)
        failed |= bool(wrong)
    money = {"cells": len(chosen), "failures": len(found.money), "first": found.money[:SHOWN]}
    print(
        json.dumps({"test": "budgets and holds", "seed": seed, "figures": money, "pass": not found.money}), flush=True
    )
    return 1 if failed or found.money else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
