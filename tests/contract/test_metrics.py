"""What /metrics shows: bounded in number, named by the rules, and all of it written down."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from omni_core.process_metrics import ProcessMetrics
from omni_core.rpc_metrics import CallMeter
from omni_core.runtime import Runtime, close_runtime, open_runtime
from omni_core.settings import CoreSettings
from omni_core.telemetry import new_registry
from omni_launch.assembly import Assembly, Inputs, ProcessState
from omni_launch.doors import say_whose
from omni_launch.targets import PARTS, target
from omni_launch.workers import Workers
from omni_simulator import Simulator
from prometheus_client import CollectorRegistry, generate_latest

from tests.support.edge import serving
from tests.support.prometheus import programs, promtool
from tests.support.router import until

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
KEYS, PROVIDERS, MODELS = 1000, 20, 10
MOST_SERIES = 5000


def key(number: int) -> str:
    return f"or-test-{number:04d}-0123456789"


def config(base: str) -> str:
    """20 providers of two formats with 10 named models each, any other passed through; 1,000 keys."""
    lines = ["server: {require_api_key: true}", "providers:"]
    for provider in range(PROVIDERS):
        wire = "openai.chat" if provider % 2 else "anthropic.messages"
        url = f"{base}/v1" if provider % 2 else base
        names = ", ".join(f"{{id: m{model}, price: {{input: 1, output: 2}}}}" for model in range(MODELS))
        lines.append(
            f"  - {{id: p{provider}, format: {wire}, base_url: '{url}', allow_private_address: true, "
            f"accounts: [{{name: a, api_key: {{value: k}}}}], models: [{names}, {{id: '*'}}]}}"
        )
    lines.append("keys:")
    lines += [f"  - {{name: k{number}, secret: {{value: {key(number)}}}}}" for number in range(KEYS)]
    lines.append("routing: {retries: 0, breaker: off}")
    return "\n".join(lines)


@contextlib.asynccontextmanager
async def services(redis_url: str, nats_url: str, home: Path, base: str) -> AsyncIterator[dict[str, Any]]:
    """All seven in one process, but each with a registry of its own; the edge and the dashboard are served."""
    file = home / "omniroute.yaml"
    file.write_text(config(base))
    runtimes = {name: runtime(name, redis_url, nats_url, home) for name in PARTS}
    made: dict[str, Any] = {}
    inputs = Inputs(env={}, config_file=file)
    try:
        for name in PARTS:
            assembly = _Wired(name, runtimes[name], inputs, made)
            made[name] = assembly.components[name]
            await made[name].start()
        yield {"parts": made, "registries": {name: runtimes[name].metrics for name in PARTS}}
    finally:
        for name in reversed(made):
            await made[name].stop()
        for one in runtimes.values():
            await close_runtime(one)


class _Wired(Assembly):
    """A part whose callees are the services themselves."""

    def __init__(self, name: str, runtime: Runtime, inputs: Inputs, others: dict[str, Any]) -> None:
        self._others = others
        super().__init__(target(name), runtime, inputs, ProcessState())

    def _port(self, name: str) -> Any:
        return self._others["auth"].people if name == "people" else self._others[name].service


def runtime(name: str, redis_url: str, nats_url: str, home: Path) -> Runtime:
    settings = CoreSettings.from_env(
        {"DATA_DIR": str(home)}, redis_url=redis_url, nats_url=nats_url, token="a-service-token"
    )
    return open_runtime(settings, instance_id=f"{name}-test", target=name)


def series(registry: CollectorRegistry) -> int:
    return sum(not line.startswith("#") for line in generate_latest(registry).decode().splitlines())


async def test_a_thousand_keys_and_two_hundred_models_are_few_series(
    clean_redis: str, nats_url: str, tmp_path: Path
) -> None:
    simulator = Simulator("127.0.0.1", 0)
    await simulator.start()
    try:
        async with services(clean_redis, nats_url, tmp_path, simulator.url) as all_of_it:
            parts = all_of_it["parts"]
            async with (
                serving(parts["edge"].app) as port,
                serving(parts["dashboard"].app) as managed,
                httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=16)) as client,
            ):
                await load(client, f"http://127.0.0.1:{port}/v1/chat/completions")
                for number in range(50):
                    await client.get(f"http://127.0.0.1:{managed}/api/nothing/{number}")
                    await client.get(f"http://127.0.0.1:{port}/v1/models/m{number}")
            counts = all_of_it["registries"]["analytics"]
            assert await until(lambda: stored(counts) >= KEYS + 2 * PROVIDERS * MODELS, 30), stored(counts)
            await parts["quota"].service.watch()
            found: dict[str, int] = {name: series(registry) for name, registry in all_of_it["registries"].items()}
            assert all(0 < count <= MOST_SERIES for count in found.values()), found
            shown = b"".join(map(generate_latest, all_of_it["registries"].values())).decode()
            for name in ("wild-1", 'model="', 'key="', "k12"):
                assert name not in shown
            assert shown.count('field="invented_') <= 100
            folder = programs()
            for name, registry in all_of_it["registries"].items():
                code, said = promtool(folder, "check", "metrics", given=generate_latest(registry).decode())
                assert (code, said) == (0, ""), (name, said)
    finally:
        await simulator.stop()


async def load(client: httpx.AsyncClient, url: str) -> None:
    """Every key once; every model as it is, and once more with something that fails or is lost."""
    models = [f"p{provider}/m{model}" for provider in range(PROVIDERS) for model in range(MODELS)]
    asked = [(number, models[number % len(models)], {}) for number in range(KEYS)]
    asked += [(number % KEYS, model, {f"invented_{number}": 1, "n": 1}) for number, model in enumerate(models)]
    asked += [(7, f"{model.partition('/')[0]}/wild-{n}+status:503", {}) for n, model in enumerate(models)]
    waiting = iter(enumerate(asked))

    async def client_of_many() -> None:
        for turn, (number, model, more) in waiting:
            body = {"model": model, "stream": turn % 2 == 0, "messages": [{"role": "user", "content": "hi"}]} | more
            answer = await client.post(
                url, content=json.dumps(body), headers={"authorization": f"Bearer {key(number)}",
                                                        "content-type": "application/json"}
            )  # fmt: skip
            assert answer.status_code in (200, 503), answer.text

    await asyncio.gather(*(client_of_many() for _ in range(16)))


def stored(registry: CollectorRegistry) -> float:
    return registry.get_sample_value("omniroute_analytics_events_total", {"kind": "request", "result": "stored"}) or 0


# ---- what a process tells of itself ---------------------------------------------------------------------------------


async def test_a_process_tells_its_version_its_use_and_how_late_its_loop_is() -> None:
    registry = new_registry()
    ticks = 0

    def tick() -> None:
        nonlocal ticks
        ticks += 1

    told = ProcessMetrics(registry, "router", tick)
    try:
        (sample,) = [s for family in registry.collect() for s in family.samples if s.name == "omniroute_build_info"]
        assert (sample.labels["target"], sample.value) == ("router", 1)
        assert (registry.get_sample_value("omniroute_process_resident_memory_bytes") or 0) > 1_000_000
        told._due = told._loop.time() - 0.4  # as after a loop that was held up
        told._timer.cancel()
        told._tick()
        assert 0.39 < (registry.get_sample_value("omniroute_process_loop_lag_seconds") or 0) < 2.0
        assert ticks == 1
    finally:
        told.stop()


# ---- written down ---------------------------------------------------------------------------------------------------


def _labels(collector: Any) -> dict[str, tuple[str, ...]]:
    """Families of a collector and their label names."""
    if hasattr(collector, "_labelnames"):
        return {collector._name: tuple(collector._labelnames)}
    if hasattr(collector, "_labels"):
        return {collector._name: tuple(collector._labels)}
    return {
        family.name: tuple(sorted({label for sample in family.samples for label in sample.labels}))
        for family in collector.collect()
    }


def _documented() -> dict[str, tuple[str, ...]]:
    text = OPERATIONS.read_text()
    section = text[text.index("## Metrics") :].split("\n## ")[0]
    rows = re.findall(r"^\| `(omniroute_\w+)` \|([^|]*)\|", section, re.MULTILINE)
    return {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


async def test_every_metric_and_its_labels_stand_in_the_operations_guide(tmp_path: Path) -> None:
    found: dict[str, tuple[str, ...]] = {}
    for name in PARTS:
        made = runtime(name, "redis://127.0.0.1:1/0", "nats://127.0.0.1:1", tmp_path)
        assembly = Assembly(target(name), made, Inputs(env={}, config_file=None), ProcessState())
        if PARTS[name].serves == "grpc":
            CallMeter(made.metrics)
        for collector in list(made.metrics._collector_to_names):
            found |= _labels(collector)
        await assembly.close_channels()
        await close_runtime(made)
    with socket.socket() as public:
        supervisor = CollectorRegistry()
        Workers(1, [], {}, public, supervisor, places={})
    say_whose(supervisor, 1)
    for collector in list(supervisor._collector_to_names):
        found |= _labels(collector)
    described = {name.removesuffix("_total"): labels for name, labels in _documented().items()}
    missing = {name: labels for name, labels in found.items() if described.get(name) != labels}
    assert not missing, f"not, or otherwise, in {OPERATIONS.name}: {missing}"
    assert set(described) <= set(found) | {"omniroute_pool_members"}, set(described) - set(found)


@pytest.mark.parametrize("name", sorted(PARTS))
async def test_the_names_follow_prometheus_own_rules(name: str, tmp_path: Path) -> None:
    made = runtime(name, "redis://127.0.0.1:1/0", "nats://127.0.0.1:1", tmp_path)
    assembly = Assembly(target(name), made, Inputs(env={}, config_file=None), ProcessState())
    for family in made.metrics.collect():
        assert family.name.startswith("omniroute_"), family.name
        assert family.documentation.strip(), f"{family.name} has no HELP"
        assert not family.name.endswith(("_ms", "_milliseconds", "_count", "_sum", "_bucket", "_kb")), family.name
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_bytes")), family.name
    await assembly.close_channels()
    await close_runtime(made)
