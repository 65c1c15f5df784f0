"""What a request costs: direct, through a bare pass-through proxy, through `all`, and through separate services.

Upstream and load generator share one core, the system under test has the other; Redis and NATS are with the load, and
their CPU has its own column. Every figure of a table comes from one run, so ratios hold where absolute values do not.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import stacks

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


def measure(make: Any, work: Path, target: str, seconds: float) -> dict[str, Any]:
    with make(work, target) as stack:
        prefix = "" if stack.name in ("direct", "pass-through") else "acme/"
        one, stream = work / "one.json", work / "stream.json"
        one.write_bytes(body(f"{prefix}sim", stream=False))
        stream.write_bytes(body(f"{prefix}sim+tokens:64", stream=True))
        load(stack, one, 16, 1.0)  # warm up
        busy = load(stack, one, 32, seconds)
        alone = load(stack, one, 1, seconds / 2)
        streams = load(stack, stream, 16, seconds)
        calm = load(stack, stream, 1, seconds / 2)
        time.sleep(0.2)
        failed = sum(part["failed"] for part in (busy, alone, streams, calm))
        return {
            "name": stack.name,
            "rps": busy["per_second"],
            "cpu_ms": busy["cpu_ms"],
            "stores_cpu_ms": busy["stores_cpu_ms"],
            "p50_ms": alone["p50_ms"],
            "p99_ms": alone["p99_ms"],
            "chunks_per_second": streams["events_per_second"],
            "stream_cpu_ms": streams["cpu_ms"],
            "ttft_ms": calm["ttft_p50_ms"],
            "rss_mib": stack.rss_mib(),
            "failed": failed,
        }


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
            load(stack, one, 16, 1.0)  # warm up
            before = stack.router_cpu()
            busy = load(stack, one, 16 * count, seconds, rate=PER_ROUTER * count)
            figures[f"routers_{count}"] = busy["done"] / (stack.router_cpu() - before)
            figures[f"per_second_{count}"] = busy["per_second"]
            figures["failed"] += busy["failed"]
    figures["ratio"] = figures["routers_2"] / figures["routers_1"]
    return figures


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown; latencies are what is added to the direct call, CPU is also given as a ratio to the pass-through."""
    base, bare = rows[0], next(row for row in rows if row["name"] == "pass-through")
    columns = [
        "requests/s on one core", "CPU ms/request", "÷ pass-through", "Redis+NATS CPU ms/request", "added p50 ms",
        "added p99 ms", "chunks/s", "CPU ms/stream of 64", "added TTFT p50 ms", "RSS MiB",
    ]  # fmt: skip
    lines = [f"| system | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for row in rows:
        ratio = f"{row['cpu_ms'] / bare['cpu_ms']:.2f}" if row["cpu_ms"] else "–"
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
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each measurement")
    parser.add_argument("--only", action="append", help="names of stacks to measure beside direct and pass-through")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="omniroute-bench-") as scratch:
        work = Path(scratch)
        with stacks.upstream(work) as target:
            for make in stacks.STACKS:
                if args.only and make.__name__ not in (*args.only, "direct", "passthrough"):
                    continue
                print(f"measuring {make.__name__} …", file=sys.stderr, flush=True)
                rows.append(measure(make, work, target, args.seconds))
            shared: dict[str, float] = {}
            if not args.only:
                print("measuring one router and two …", file=sys.stderr, flush=True)
                shared = replicas(work, target, args.seconds)
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
