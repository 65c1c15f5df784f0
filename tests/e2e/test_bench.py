"""The benchmark, in its short form: every system answers every request, and the table says so."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_benchmark_runs_and_no_request_fails() -> None:
    bench = subprocess.Popen(
        [sys.executable, "-m", "tests.bench", "--seconds", "0.25", "--rounds", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, told = bench.communicate(timeout=600)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(bench.pid, signal.SIGKILL)  # and what it started: one that is too late leaves a whole stack
    assert bench.returncode == 0, said + told
    line = json.loads(said.splitlines()[-1])
    assert line["pass"] is True
    assert set(line["figures"]) == {"direct", "pass-through", "all", "edge + router + translator"}
    for name, figures in line["figures"].items():
        assert figures["rps"] > 0, name
        assert figures["chunks_per_second"] > 0, name
        assert figures["failed"] == 0, name
    replicas = json.loads(said.splitlines()[-2])
    assert replicas["test"] == "replicas"
    assert replicas["pass"] is True
    assert replicas["figures"]["ratio"] > 0
