"""What a request costs: direct, through a bare pass-through proxy, through `all`, and through separate services.

Upstream and load generator share one core, the system under test has the other; Redis and NATS are with the load, and
their CPU has its own column. A system is measured in turn with the direct call and the bare proxy, in short rounds,
and what is printed is the median of the rounds, of ratios too: what else the machine does falls on both sides of one,
so ratios hold where absolute values do not. No other system runs beside it.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import stacks

Make = Callable[[Path, str], AbstractContextManager[stacks.Stack]]

PER_ROUTER = 300
WORDS = "the quick brown fox jumps over the lazy dog " * 20


def body(model: str, *, stream: bool) -> bytes:
    """A request of about 1 KB."""
    return json.dumps(
        {"model": model, "stream": stream, "max_tokens": 64, "messages": [{"role": "user", "content": WORDS}]}
    ).encode()


def load(stack: stacks.Stack, payload: Path, concurrency: int, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """Run the generator in its own process on the load core, and charge the stack for the CPU it used meanwhile."""
    command = [sys.executable, "-m", "tests.bench.loadgen", f"{stack.url}/chat/completions", str(payload)]
    command += ["--key", stacks.KEY, "-c", str(concurrency), "-s", str(seconds), "-r", str(rate)]
    ours, stores = stack.cpu()
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    stacks.pin(child.pid, stacks.LOAD_CORE)
    out, _ = child.communicate(timeout=seconds + 60)
    ours_after, stores_after = stack.cpu()
    figures: dict[str, Any] = json.loads(out)
    done = max(figures["done"], 1)
    figures["cpu_ms"] = (ours_after - ours) / done * 1000
    figures["stores_cpu_ms"] = (stores_after - stores) / done * 1000
    return figures


def prepare(stack: stacks.Stack, work: Path, seconds: float) -> None:
    """Write what is sent, and warm up: for longer than is measured, as far as that makes a difference."""
    prefix = "" if stack.name in ("direct", "pass-through") else "acme/"
    (work / f"{stack.name}.one.json").write_bytes(body(f"{prefix}sim", stream=False))
    (work / f"{stack.name}.stream.json").write_bytes(body(f"{prefix}sim+tokens:64", stream=True))
    load(stack, work / f"{stack.name}.one.json", 16, min(1.5, 1.5 * seconds))


def measure(stack: stacks.Stack, work: Path, seconds: float) -> dict[str, float]:
    """One round."""
    one, stream = work / f"{stack.name}.one.json", work / f"{stack.name}.stream.json"
    busy = load(stack, one, 32, seconds)
    alone = load(stack, one, 1, seconds / 2)
    streams = load(stack, stream, 16, seconds)
    calm = load(stack, stream, 1, seconds / 2)
    return {
        "rps": busy["per_second"],
        "cpu_ms": busy["cpu_ms"],
        "stores_cpu_ms": busy["stores_cpu_ms"],
        "p50_ms": alone["p50_ms"],
        "p99_ms": alone["p99_ms"],
        "chunks_per_second": streams["events_per_second"],
        "stream_cpu_ms": streams["cpu_ms"],
        "ttft_ms": calm["ttft_p50_ms"],
        "rss_mib": stack.rss_mib(),
        "failed": sum(part["failed"] for part in (busy, alone, streams, calm)),
    }


def summary(name: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    """The median of each figure; failures add up."""
    row: dict[str, Any] = {figure: median(each[figure] for each in rounds) for figure in rounds[0]}
    return {"name": name, **row, "failed": sum(each["failed"] for each in rounds)}


def in_turn(make: Make, work: Path, target: str, seconds: float, rounds: int) -> list[dict[str, Any]]:
    """The direct call, the bare proxy and one system, whose ``ratio`` is its CPU per request to the proxy's."""
    with ExitStack() as running:
        systems = [running.enter_context(each(work, target)) for each in (stacks.direct, stacks.passthrough, make)]
        for stack in systems:
            prepare(stack, work, seconds)
        found: dict[str, list[dict[str, float]]] = {stack.name: [] for stack in systems}
        for number in range(1, rounds + 1):
            print(f"{systems[-1].name}: round {number} of {rounds} …", file=sys.stderr, flush=True)
            for stack in systems:
                found[stack.name].append(measure(stack, work, seconds))
        proxy = [measured["cpu_ms"] for measured in found[systems[1].name]]
        for measured in found.values():
            for each, of_proxy in zip(measured, proxy, strict=True):
                each["ratio"] = each["cpu_ms"] / of_proxy
        return [summary(name, measured) for name, measured in found.items()]


def replicas(work: Path, target: str, seconds: float) -> dict[str, float]:
    """Requests per router CPU second: of one router alone, and of each of two that have as much to do.

    Each is given ``PER_ROUTER`` requests a second, which leaves it idle time: a router that is full is given many
    requests at once, and those are cheaper together, so one router and two are compared at the same load each. What
    shows is whether they are in each other's way. They have a core of their own, everything else has the other.
    """
    figures = {"failed": 0.0}
    for count in (1, 2):
        with stacks.separate(work, target, routers=count, apart=True) as stack:
            one = work / "replica.json"
            one.write_bytes(body("acme/sim", stream=False))
            load(stack, one, 16, min(1.0, seconds / 3))  # warm up
            before = stack.router_cpu()
            busy = load(stack, one, 16 * count, seconds, rate=PER_ROUTER * count)
            figures[f"routers_{count}"] = busy["done"] / (stack.router_cpu() - before)
            figures[f"per_second_{count}"] = busy["per_second"]
            figures["failed"] += busy["failed"]
    figures["ratio"] = figures["routers_2"] / figures["routers_1"]
    return figures


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown; latencies are what is added to the direct call, CPU is also given as a ratio to the pass-through."""
    base = rows[0]
    columns = [
        "requests/s on one core", "CPU ms/request", "÷ pass-through", "Redis+NATS CPU ms/request", "added p50 ms",
        "added p99 ms", "chunks/s", "CPU ms/stream of 64", "added TTFT p50 ms", "RSS MiB",
    ]  # fmt: skip
    lines = [f"| system | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for row in rows:
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else "–"
        cells = [
            f"{row['rps']:.0f}",
            f"{row['cpu_ms']:.3f}",
            ratio,
            f"{row['stores_cpu_ms']:.3f}",
            f"{row['p50_ms'] - base['p50_ms']:.2f}",
            f"{row['p99_ms'] - base['p99_ms']:.2f}",
            f"{row['chunks_per_second']:.0f}",
            f"{row['stream_cpu_ms']:.2f}",
            f"{row['ttft_ms'] - base['ttft_ms']:.2f}",
            f"{row['rss_mib']:.0f}",
        ]
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def machine() -> str:
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "?",
    )
    return f"{os.cpu_count()} × {cpu}, Python {platform.python_version()}, {platform.system()} {platform.release()}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.bench")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=15, help="how often each is repeated")
    parser.add_argument("--only", action="append", help="all_in_one or separate; both when left out")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="omniroute-bench-") as scratch:
        work = Path(scratch)
        with stacks.upstream(work) as target:
            for make in stacks.SYSTEMS:
                if not args.only or make.__name__ in args.only:
                    measured = in_turn(make, work, target, args.seconds, args.rounds)
                    rows += measured[-1:] if rows else measured
            shared: dict[str, float] = {}
            if not args.only:
                print("measuring one router and two …", file=sys.stderr, flush=True)
                shared = replicas(work, target, 6 * args.seconds)
    print(f"\nMachine: {machine()}\n\n{table(rows)}\n")
    if shared:
        print(
            f"Requests per router CPU second: one router {shared['routers_1']:.0f}, "
            f"each of two {shared['routers_2']:.0f}: {shared['ratio']:.2f} of it.\n"
        )
        print(json.dumps({"test": "replicas", "seed": 0, "figures": shared, "pass": shared["failed"] == 0}))
    failed = sum(row["failed"] for row in rows) + shared.get("failed", 0)
    print(
        json.dumps({"test": "bench", "seed": 0, "figures": {row.pop("name"): row for row in rows}, "pass": failed == 0})
    )
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
