"""The benchmark, in its short form: every system answers every request, and the table says so."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_runs_and_no_request_fails() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--seconds", "0.4"], cwd=ROOT, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["pass"] is True
    assert set(line["figures"]) == {"direct", "pass-through", "all", "edge + router + translator"}
    for name, figures in line["figures"].items():
        assert figures["rps"] > 0, name
        assert figures["chunks_per_second"] > 0, name
        assert figures["failed"] == 0, name
    replicas = json.loads(done.stdout.splitlines()[-2])
    assert replicas["test"] == "replicas"
    assert replicas["pass"] is True
    assert replicas["figures"]["ratio"] > 0
