"""Fuzz the decoders.

SEED=1 N=100000 python -m tests.fuzz [TARGET …]    all targets without names; a JSON line each, exit code 1 on findings

EVERY=50 writes only each fiftieth input that is taken in all the other formats; all of them otherwise.
With atheris installed a target runs under it, coverage-guided, in a process of its own; else under the mutator here.
"""

import base64
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fuzz import campaign
from tests.fuzz.targets import TARGETS


def main(words: list[str]) -> int:
    seed, count = int(os.environ.get("SEED", "1")), int(os.environ.get("N", "20000"))
    unknown = [word for word in words if word not in TARGETS]
    if unknown:
        print(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    guided = importlib.util.find_spec("atheris") is not None and os.environ.get("ENGINE", "atheris") == "atheris"
    if not guided:
        print("atheris is not installed (make atheris): mutated seeds, without guidance", file=sys.stderr)
    passed = True
    for name in words or TARGETS:
        line = _under_atheris(name, seed, count) if guided else campaign.run(TARGETS[name], seed, count)
        print(json.dumps(line), flush=True)
        passed = passed and line["pass"]
    return 0 if passed else 1


def _under_atheris(name: str, seed: int, count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        corpus, crashes = Path(scratch) / "corpus", Path(scratch) / "crashes"
        corpus.mkdir()
        crashes.mkdir()
        for number, data in enumerate(TARGETS[name].seeds):
            (corpus / f"{number:04}").write_bytes(data)
        start = time.perf_counter()
        options = [f"-runs={count}", f"-seed={seed}", "-max_len=20000", "-timeout=5", "-rss_limit_mb=2048"]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.guided", name, str(corpus), *options, f"-artifact_prefix={crashes}/"],
            capture_output=True,
            text=True,
            check=False,
        )
        findings = [
            {"error": path.name, "input": base64.b64encode(path.read_bytes()).decode()}
            for path in sorted(crashes.iterdir())
        ]
        if done.returncode and not findings:
            findings.append({"error": done.stderr[-2000:], "input": ""})
        if findings:
            findings[0]["error"] += "\n" + done.stderr[-2000:]
        figures = {
            "engine": "atheris",
            "inputs": count,
            "seconds": round(time.perf_counter() - start, 1),
            "corpus": len(list(corpus.iterdir())),
            "findings": findings,
        }
    return {"test": f"fuzz {name}", "seed": seed, "figures": figures, "pass": not findings}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
