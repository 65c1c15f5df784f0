"""The laws in a long run: ``python -m tests.codecs.laws [WORD …]`` (``make laws``). A JSON line a law.

SEED=1 N=2000 python -m tests.codecs.laws stream    N examples for every codec or pair of each law whose name has WORD
"""

import contextlib
import json
import os
import sys
from collections import defaultdict
from typing import Any, Final

import pytest

EXAMPLES: Final = "OMNIROUTE_LAW_EXAMPLES"  # read by ``test_laws``
_LAWS: Final = "tests/codecs/test_laws.py"


class _Figures:
    """What became of each law, over all the codecs and pairs it holds for."""

    def __init__(self) -> None:
        self.laws: dict[str, dict[str, Any]] = defaultdict(lambda: {"cases": 0, "seconds": 0.0, "failures": []})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name, _, case = report.nodeid.partition("::")[2].partition("[")
        figures = self.laws[name]
        figures["seconds"] += report.duration
        if report.when == "call":
            figures["cases"] += 1
        if report.failed:
            figures["failures"].append({"case": case.rstrip("]"), "error": report.longreprtext[-2000:]})


def main(words: list[str]) -> int:
    seed, examples = os.environ.get("SEED", "1"), int(os.environ.get("N", "2000"))
    os.environ[EXAMPLES] = str(examples)
    figures = _Figures()
    chosen = ["-k", " or ".join(words)] if words else []
    quiet = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider"]
    with contextlib.redirect_stdout(sys.stderr):  # the report alone goes to stdout
        pytest.main([_LAWS, *quiet, f"--hypothesis-seed={seed}", *chosen], plugins=[figures])
    passed = bool(figures.laws)
    for name, law in figures.laws.items():
        failures = law.pop("failures")
        law["seconds"] = round(law["seconds"], 1)
        line = {"test": name, "seed": int(seed), "figures": law | {"examples": law["cases"] * examples}}
        print(json.dumps(line | {"failures": failures, "pass": not failures}), flush=True)
        passed = passed and not failures
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
