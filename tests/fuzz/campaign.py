"""A campaign against one target, and its figures."""

import base64
import gc
import resource
import time
from typing import Any, Final

from tests.fuzz.mutate import inputs
from tests.fuzz.targets import Target

SLOW_SECONDS: Final = 1.0  # of processor time for one input; honest ones of that size take about a millisecond
GROWTH_MIB: Final = 200
_SHOWN: Final = 5


def run(target: Target, seed: int, count: int) -> dict[str, Any]:
    """One line of the report: ``{test, seed, figures, pass}``. A finding carries its input in base64."""
    before = _peak_mib()
    taken, slowest, spent = 0, 0.0, 0.0
    findings: list[dict[str, str]] = []
    found: set[str] = set()
    gc.freeze()  # what was there before is not the decoder's to walk through
    for data in inputs(target.seeds, seed, count):
        start = time.process_time()
        try:
            taken += target.run(data)
        except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
            _note(findings, found, f"{type(error).__name__}: {error}", data)
        took = time.process_time() - start
        spent += took
        slowest = max(slowest, took)
        if took > SLOW_SECONDS:
            _note(findings, found, f"took {took:.1f} s", data)
    growth = _peak_mib() - before
    if growth > GROWTH_MIB:
        findings.append({"error": f"memory grew by {growth:.0f} MiB", "input": ""})
    figures = {
        "engine": "mutator",
        "inputs": count,
        "taken": taken,
        "mean_us": round(spent / max(1, count) * 1e6, 1),
        "slowest_ms": round(slowest * 1e3, 2),
        "memory_growth_mib": round(growth, 1),
        "findings": findings,
    }
    return {"test": f"fuzz {target.name}", "seed": seed, "figures": figures, "pass": not findings}


def _note(findings: list[dict[str, str]], found: set[str], error: str, data: bytes) -> None:
    """Each kind of finding once; what was written is enough to run it again."""
    kind = error[:60]
    if kind not in found and len(findings) < _SHOWN:
        found.add(kind)
        findings.append({"error": error[:300], "input": base64.b64encode(data).decode()})


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
