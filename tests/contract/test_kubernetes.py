"""deploy/k8s, proved without a cluster: rendered by the real kubectl, checked against Kubernetes' own schemas and our
rules, and its pods run as processes.

What is not proved here: a kubelet, the loops of the autoscalers, the enforcement of network policies and of pod
security. `make cluster-test` runs the dev overlay in kind, for who has it.
"""

import asyncio
import copy
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx
import kubernetes_validate
import msgspec
import pytest
from omni_auth.domain import keyring
from omni_core.bus import Bus
from omni_launch.targets import PARTS
from omni_wire.errors import DependencyUnavailable

from tests.support.kubernetes import K8S, ROOT, Document, Manifests, render, with_components
from tests.support.kubernetes_breaks import BREAKS, deployment
from tests.support.kubernetes_network import allowed, declared
from tests.support.kubernetes_rules import RULES, Rule, mounted_secrets, the_stateless_scale
from tests.support.pods import Pods
from tests.support.signed import signs_what_the_others_know
from tools.permissions import ADMIN, USERS, redis_users

BIN = Path(sys.executable).parent
# The oldest that is promised (docs/operations.md), and the newest there is a schema of.
VERSIONS = ("1.30", "1.37")
COMPONENTS = ("keda", "tls", "gateway", "external-redis", "external-postgres", "servicemonitor")
OVERLAYS = ("dev", "prod", *COMPONENTS, "all of them")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/k8s with its secrets made."""
    copied = tmp_path_factory.mktemp("k8s") / "k8s"
    shutil.copytree(K8S, copied, ignore=lambda _, names: [one for one in names if one in SECRETS])
    subprocess.run(["sh", copied / "make-secrets.sh"], check=True, capture_output=True)
    return copied


PASSWORDS = (*(f"redis_{user}_password" for user in redis_users()), *(f"nats_{user}_password" for user in USERS))
PAIR = ("config_signing_key", "config_public_keys")
VAULT = "vault_keys"
SECRETS = ("service_token", "redis_password", "nats_password", "api_key", VAULT, *PAIR, *PASSWORDS)


@pytest.fixture(scope="module")
def rendered(tree: Path) -> dict[str, list[Document]]:
    folders = {name: K8S / "overlays" / name for name in ("dev", "prod")}
    folders |= {name: with_components(tree, name) for name in COMPONENTS}
    folders["all of them"] = with_components(tree, *(name for name in COMPONENTS if name != "keda"))
    return {name: render(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def secrets(tree: Path) -> list[Document]:
    return render(tree / "secrets")


# ---- what kubernetes says -------------------------------------------------------------------------------------------


class Trigger(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    type: Literal["cpu", "prometheus"]
    metric_type: Literal["Utilization", "AverageValue"]
    metadata: dict[str, str]


class Fallback(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    failure_threshold: int
    replicas: int


class ScaledObjectSpec(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What we use of keda.sh/v1alpha1 (config/crd/bases of kedacore/keda)."""

    scale_target_ref: dict[Literal["apiVersion", "kind", "name"], str]
    min_replica_count: int
    max_replica_count: int
    polling_interval: int
    fallback: Fallback
    advanced: dict[Literal["horizontalPodAutoscalerConfig"], dict[Literal["behavior"], dict[str, Any]]]
    triggers: Annotated[list[Trigger], msgspec.Meta(min_length=1)]


class Endpoint(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    port: str
    path: str
    interval: str
    scrape_timeout: str


class ServiceMonitorSpec(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """What we use of monitoring.coreos.com/v1."""

    selector: dict[Literal["matchLabels"], dict[str, str]]
    endpoints: list[Endpoint]
    job_label: str


CUSTOM = {"ScaledObject": ScaledObjectSpec, "ServiceMonitor": ServiceMonitorSpec}


def complaints(documents: list[Document]) -> Iterator[str]:
    """What the API servers of ``VERSIONS`` would not take."""
    for document in documents:
        if document["kind"] in CUSTOM:
            try:
                msgspec.convert(document["spec"], CUSTOM[document["kind"]])
            except msgspec.ValidationError as error:
                yield f"{document['kind']}: {error}"
            continue
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{version}: {document['kind']} {document['metadata']['name']}: {error.message}"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_two_versions_of_kubernetes_would_take_it(rendered: dict[str, list[Document]], overlay: str) -> None:
    assert list(complaints(rendered[overlay])) == []


@pytest.mark.parametrize(
    ("kind", "field", "wrong"),
    [
        ("PodDisruptionBudget", "maxUnavailable", "maxUnavailabel"),
        ("HorizontalPodAutoscaler", "minReplicas", "minReplica"),
        ("NetworkPolicy", "policyTypes", "policyType"),
        ("ScaledObject", "pollingInterval", "poolingInterval"),
        ("ServiceMonitor", "jobLabel", "jobLable"),
    ],
)
def test_a_misspelt_field_is_refused(rendered: dict[str, list[Document]], kind: str, field: str, wrong: str) -> None:
    name = {"ScaledObject": "keda", "ServiceMonitor": "servicemonitor"}.get(kind, "prod")
    document = copy.deepcopy(Manifests(rendered[name]).of(kind)[0])
    document["spec"][wrong] = document["spec"].pop(field)
    assert list(complaints([document])) != []


# ---- what we say ----------------------------------------------------------------------------------------------------


def wrong(rule: Rule, documents: list[Document]) -> list[str]:
    return list(rule(Manifests(documents)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__.replace("_", " "))
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_rule_holds(rendered: dict[str, list[Document]], overlay: str, rule: Rule) -> None:
    if overlay == "dev" and rule is the_stateless_scale:
        assert Manifests(rendered["dev"]).of("HorizontalPodAutoscaler") == [], "one replica of each"
        return
    assert wrong(rule, rendered[overlay]) == []


@pytest.mark.parametrize(("name", "break_it", "says"), BREAKS, ids=lambda value: getattr(value, "__name__", None))
def test_the_rule_sees_a_broken_manifest(
    rendered: dict[str, list[Document]], name: str, break_it: Callable[[Manifests], None], says: str
) -> None:
    broken = Manifests(copy.deepcopy(rendered["prod"]))
    break_it(broken)
    rule = next(one for one in RULES if one.__name__ == name)
    assert [line for line in wrong(rule, broken.documents) if says in line], wrong(rule, broken.documents)


def test_every_rule_was_broken() -> None:
    assert {name for name, _, _ in BREAKS} == {rule.__name__ for rule in RULES}


def test_the_graph_is_the_one_of_the_launcher(rendered: dict[str, list[Document]]) -> None:
    """Not a rule of nothing: the policies of prod, spelt out for those who read this."""
    out, into = allowed(Manifests(rendered["prod"]))
    assert {edge.caller for edge in out if edge.callee == "internet"} == {"auth", "quota", "router", "analytics"}
    assert {edge.callee for edge in into if edge.caller == "anywhere"} == {"edge", "dashboard"}
    for name, part in PARTS.items():
        assert {edge.callee for edge in out if edge.caller == name} >= set(part.calls)
    assert (out, into) == declared(Manifests(rendered["prod"]))


def test_overlays_are_of_the_size_they_say(rendered: dict[str, list[Document]]) -> None:
    prod, dev = Manifests(rendered["prod"]), Manifests(rendered["dev"])
    least = {one["metadata"]["name"]: one["spec"]["minReplicas"] for one in prod.of("HorizontalPodAutoscaler")}
    assert (least["omniroute-router"], least["omniroute-edge"]) == (3, 2)
    assert deployment(prod, "nats").spec["replicas"] == 3
    assert {one.spec.get("replicas", 1) for one in dev.workloads} == {1}
    assert dev.named("Deployment", "omniroute-simulator") is not None
    assert prod.named("Deployment", "omniroute-simulator") is None


# ---- secrets --------------------------------------------------------------------------------------------------------


def test_every_secret_that_is_mounted_is_made_by_the_script(
    rendered: dict[str, list[Document]], secrets: list[Document]
) -> None:
    made = {(one["metadata"]["name"], key) for one in secrets if one["kind"] == "Secret" for key in one["data"]}
    for overlay in OVERLAYS:
        for one in Manifests(rendered[overlay]).workloads:
            assert set(mounted_secrets(one).values()) <= made, one.name
            for volume in one.volumes.values():
                secret = volume.get("secret")
                assert secret is None or "items" in secret or secret["optional"], one.name


def test_a_secret_is_given_to_those_that_need_it(rendered: dict[str, list[Document]]) -> None:
    def holders(secret: str) -> set[str]:
        workloads = Manifests(rendered["prod"]).workloads
        return {one.component for one in workloads if ("omniroute", secret) in mounted_secrets(one).values()}

    assert holders("api_key") == {"auth"}
    assert holders("config_signing_key") == holders(VAULT) == {"auth"}
    assert holders("config_public_keys") == {"auth", "analytics", "edge", "quota", "router"}
    assert holders("service_token") == set(PARTS)
    assert holders("redis_password") == {"redis"}, "the admin's"
    assert holders("nats_password") == {"nats"}, "the admin's"
    assert {user for user in redis_users() if holders(f"redis_{user}_password") == {"redis", user}} == {
        name for name, part in PARTS.items() if part.redis
    }
    assert {user for user in USERS if holders(f"nats_{user}_password") == {"nats", user}} == set(PARTS)
    assert holders("nats_gateway_password") == {"nats"}


@pytest.mark.parametrize("overlay", ["prod", "gateway"])
def test_each_pod_is_the_user_whose_password_it_has(rendered: dict[str, list[Document]], overlay: str) -> None:
    manifests = Manifests(rendered[overlay])
    seen = set()
    for one in manifests.workloads:
        if one.component in USERS:
            environment, mounted = manifests.environment(one), mounted_secrets(one)
            seen.add(one.component)
            for store in ("nats", *(("redis",) if one.component in redis_users() else ())):
                assert environment[f"OMNIROUTE_{store.upper()}_USER"] == one.component
                file = environment[f"OMNIROUTE_{store.upper()}_PASSWORD_FILE"]
                assert mounted[file] == ("omniroute", f"{store}_{one.component}_password")
    assert seen >= ({"gateway"} if overlay == "gateway" else set(PARTS))


def test_the_secrets_are_made_once_kept_and_ignored_by_git(tree: Path) -> None:
    made = {name: (tree / "secrets" / name).read_text() for name in SECRETS}
    assert len(set(made.values())) == len(made)
    plain = set(made) - {*PAIR, VAULT}
    assert all(re.fullmatch(r"[A-Za-z0-9-]{60,}\n", made[name]) for name in plain)
    assert len(keyring.parse(made[VAULT])) == 1
    signs_what_the_others_know({name: made[name] for name in PAIR})
    assert {stat.S_IMODE((tree / "secrets" / name).stat().st_mode) for name in made} == {0o600}
    again = subprocess.run(["sh", tree / "make-secrets.sh"], check=True, capture_output=True)
    assert again.stdout == b""
    assert {name: (tree / "secrets" / name).read_text() for name in SECRETS} == made
    ignored = (K8S / "secrets/.gitignore").read_text().split("\n")
    assert "*" in ignored
    assert {line for line in ignored if line.startswith("!")} == {"!.gitignore", "!kustomization.yaml"}


@pytest.mark.parametrize("script", ["make-secrets.sh", "cluster-test.sh", "lint.sh"])
def test_shellcheck_finds_nothing(script: str) -> None:
    ended = subprocess.run([BIN / "shellcheck", K8S / script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert os.access(K8S / script, os.X_OK)


def test_the_cluster_test_says_what_it_lacks(tmp_path: Path) -> None:
    for name in ("sh", "dirname", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    script = [shutil.which("sh"), K8S / "cluster-test.sh"]
    ended = subprocess.run(script, env={"PATH": str(tmp_path)}, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "kind" in ended.stderr
    assert "docker" in ended.stderr


# ---- what it does ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(
    rendered: dict[str, list[Document]], secrets: list[Document], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pods]:
    """The pods of the dev overlay, all started at once, as a cluster would."""
    pods = Pods(Manifests(rendered["dev"]), secrets, tmp_path_factory.mktemp("pods"))
    try:
        for one in pods.manifests.workloads:
            pods.start(one.component)
        for one in pods.manifests.workloads:
            pods.await_probe(one.component, "startupProbe")
        yield pods
    finally:
        pods.close()


def test_every_probe_of_every_pod_is_answered(running: Pods) -> None:
    for one, kind, _ in running.manifests.probes():
        running.await_probe(one.component, kind)


def test_a_completion_goes_through_the_pods(running: Pods) -> None:
    running.await_probe("edge", "readinessProbe")
    key = running.secrets["omniroute"]["api_key"].strip()
    with httpx.Client(base_url=running.url("edge"), headers={"authorization": f"Bearer {key}"}) as client:
        body = {"model": "demo/sim+say:hello", "messages": [{"role": "user", "content": "hi"}]}
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "hello"


def test_what_the_autoscalers_look_at_is_measured(running: Pods, rendered: dict[str, list[Document]]) -> None:
    wanted: set[tuple[str, str]] = set()
    for name in ("prod", "keda"):
        for document in Manifests(rendered[name]).of("HorizontalPodAutoscaler"):
            names = [one["pods"]["metric"]["name"] for one in document["spec"]["metrics"] if one["type"] == "Pods"]
            wanted |= {(document["metadata"]["name"], name) for name in names}
        for document in Manifests(rendered[name]).of("ScaledObject"):
            queries = [one["metadata"].get("query", "") for one in document["spec"]["triggers"]]
            wanted |= {
                (document["metadata"]["name"], name) for text in queries for name in re.findall(r"omniroute_\w+", text)
            }
    assert len(wanted) == 2
    for workload, name in wanted:
        page = httpx.get(f"{running.url(workload.removeprefix('omniroute-'))}/metrics", timeout=10).text
        assert re.search(rf"^{name}(\{{.*\}})? \d", page, re.MULTILINE), f"{workload} does not measure {name}"


def test_a_stream_under_way_is_in_the_numbers(running: Pods) -> None:
    def active() -> tuple[float, float]:
        pages = {name: httpx.get(f"{running.url(name)}/metrics", timeout=10).text for name in ("edge", "router")}
        names = {"edge": "omniroute_edge_active_streams", "router": "omniroute_router_active_requests"}
        found = [re.search(rf"^{names[name]} (\S+)", page, re.MULTILINE) for name, page in pages.items()]
        return tuple(float(one[1]) if one else -1.0 for one in found)  # type: ignore[return-value]

    running.await_probe("edge", "readinessProbe")
    key = running.secrets["omniroute"]["api_key"].strip()
    body = {"model": "demo/sim+tokens:600+tps:5", "messages": [{"role": "user", "content": "hi"}], "stream": True}
    asked = {"json": body, "headers": {"authorization": f"Bearer {key}"}}
    assert active() == (0, 0)
    with httpx.stream("POST", f"{running.url('edge')}/v1/chat/completions", **asked) as answer:
        assert answer.status_code == 200
        arriving = answer.iter_bytes()  # held: its end would be the stream's
        next(arriving)
        assert active() == (1, 1)
    deadline = time.monotonic() + 10
    while active() != (0, 0):
        assert time.monotonic() < deadline, "a client that left is still counted"
        time.sleep(0.05)


def test_sigterm_ends_every_pod_in_order(running: Pods) -> None:
    ours = [one.component for one in running.manifests.ours]
    assert running.stop(*ours) == dict.fromkeys(ours, 0)
    for component in ours:
        assert "Traceback" not in running.log(component), running.log(component)


async def test_three_nats_servers_agree_and_survive_one(
    rendered: dict[str, list[Document]], secrets: list[Document], tmp_path: Path
) -> None:
    manifests = Manifests(rendered["prod"])
    pods = Pods(manifests, secrets, tmp_path)
    copies = int(manifests.environment(deployment(manifests, "router"))["OMNIROUTE_NATS_REPLICAS"])
    try:
        for replica in range(3):
            pods.start("nats", replica)
        for replica in range(3):
            pods.await_probe("nats", "readinessProbe", replica)
        password = pods.secrets["omniroute"]["nats_password"].strip()
        urls = ",".join(f"nats://{ADMIN}:{password}@{pods.address('nats', one)}:4222" for one in range(3))
        bus = Bus(urls, name="test", replicas=copies)
        try:
            await _in_time(lambda: bus.ensure_stream("T", ["t.*"]))
            await _in_time(lambda: bus.kv_put("b", "key", b"value"))
            await _in_time(lambda: bus.publish("t.1", b"1", msg_id="1"))
            pods.kill("nats", _leader(pods, "T"))
            await _in_time(lambda: bus.publish("t.2", b"2", msg_id="2"))
            assert await _in_time(lambda: bus.kv_get("b", "key")) == b"value"
            consumer = await _in_time(lambda: bus.pull("T", "all", "t.*"))
            seen: list[bytes] = []
            while len(seen) < 2:
                for message in await _in_time(lambda: consumer.fetch(2, 1.0)):
                    seen.append(message.data)
                    await message.ack()
            assert seen == [b"1", b"2"]
        finally:
            await bus.close()
    finally:
        pods.close()


def _leader(pods: Pods, stream: str) -> int:
    """The number of the server that leads the stream, whom a client's monitor asks."""
    asked = httpx.get(f"http://{pods.address('nats')}:8222/jsz", params={"streams": "true"}, timeout=5).json()
    details = [one for account in asked["account_details"] for one in account["stream_detail"]]
    cluster = next(one["cluster"] for one in details if one["name"] == stream)
    assert len(cluster["replicas"]) == 2, cluster
    return int(cluster["leader"].rpartition("-")[2])


async def _in_time(ask: Callable[[], Any], within: float = 30.0) -> Any:
    """Until the servers have agreed on who leads, they refuse."""
    deadline = time.monotonic() + within
    while True:
        try:
            async with asyncio.timeout(2.0):
                return await ask()
        except (DependencyUnavailable, TimeoutError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


def test_the_image_is_the_release(rendered: dict[str, list[Document]]) -> None:
    import tomllib

    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {one.container["image"].rpartition(":")[2] for one in Manifests(rendered["prod"]).ours} == {version}
