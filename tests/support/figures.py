"""A suite that puts something into figures: a JSON line a test, ``{test, seed, figures, pass}``, and what ``make`` is
told of it."""

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Is given an empty folder, N and a seed, and returns its figures, "pass" among them.
Test = Callable[[Path, int, int], dict[str, Any]]


def told(tests: Mapping[str, Test], words: list[str], count: int) -> int:
    """Run those with one of ``words`` in their name, all where there are none. ``SEED`` and ``N`` of the environment
    count, ``count`` where that has no N. Returns the exit code."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
    count = int(os.environ.get("N") or count)
    chosen = {name: test for name, test in tests.items() if not words or any(word in name for word in words)}
    if not chosen:
        print(f"no test has such a name; there are: {', '.join(tests)}", file=sys.stderr)
        return 2
    failed = False
    for name, test in chosen.items():
        with tempfile.TemporaryDirectory(prefix="omniroute-figures-") as home:
            try:
                figures = test(Path(home), count, seed)
            except AssertionError as error:
                figures = {"why": str(error), "pass": False}
        passed = figures.pop("pass")
        print(json.dumps({"test": name, "seed": seed, "figures": figures, "pass": passed}), flush=True)
        failed |= not passed
    return 1 if failed else 0
