"""Who may speak to whom: as the network policies say it, and as ``omni_launch.targets.PARTS`` does."""

from typing import NamedTuple

from omni_core.settings import GRPC_PORTS, HTTP_PORTS
from omni_launch.targets import PARTS

from tests.support.kubernetes import Document, Manifests, Workload

# Who opens connections to providers (docs/architecture.md) and to webhooks.
CALL_OUT = frozenset({"auth", "quota", "router", "analytics"})
STORES = {"redis": 6379, "nats": 4222}
NATS_PEERS = 6222
SIMULATOR = 9100

ANYWHERE = "anywhere"
INTERNET = "internet"
DNS = "dns"


class Edge(NamedTuple):
    """``caller`` may open a connection to ``port`` of ``callee``."""

    caller: str
    callee: str
    port: int


def declared(manifests: Manifests) -> tuple[set[Edge], set[Edge]]:
    """What must be allowed out and in: the calls of each target, its stores, and the world for those who need it."""
    out: set[Edge] = set()
    into: set[Edge] = set()
    for one in manifests.ours:
        assert one.target is not None
        for callee in one.target.remote:
            out |= {
                Edge(one.component, server.component, GRPC_PORTS[callee])
                for server in manifests.serving(callee)
                if server.target is not None and callee in server.target.over_grpc
            }
        for store, port in STORES.items():
            if getattr(one.target, store) and any(each.component == store for each in manifests.workloads):
                out.add(Edge(one.component, store, port))
        if CALL_OUT & set(one.target.parts):
            out.add(Edge(one.component, INTERNET, 443))
        into |= {
            Edge(ANYWHERE, one.component, HTTP_PORTS[part]) for part in one.target.parts if PARTS[part].serves == "http"
        }
    for one in manifests.workloads:
        if one.component == "nats":
            out.add(Edge("nats", "nats", NATS_PEERS))
        if one.arguments[:1] == ["simulate"]:
            callers = manifests.serving("router")
            out |= {Edge(caller.component, one.component, SIMULATOR) for caller in callers}
    return out, into | {edge for edge in out if edge.callee != INTERNET}


def allowed(manifests: Manifests) -> tuple[set[Edge], set[Edge]]:
    """What the policies let out of a pod, and into one. DNS and edges between pods that are not there are left out."""
    out: set[Edge] = set()
    into: set[Edge] = set()
    for policy in manifests.of("NetworkPolicy"):
        spec = policy["spec"]
        for pod in manifests.matched(spec["podSelector"]):
            for rule in spec.get("egress") or []:
                for port in rule["ports"]:
                    for callee in _peers(manifests, rule.get("to"), port):
                        out.add(Edge(pod.component, callee, _number(manifests, callee, port["port"])))
            for rule in spec.get("ingress") or []:
                for port in rule["ports"]:
                    for caller in _peers(manifests, rule.get("from"), port):
                        into.add(Edge(caller, pod.component, _number(manifests, pod.component, port["port"])))
    return {edge for edge in out if edge.callee != DNS}, into


def closed(manifests: Manifests) -> list[str]:
    """Workloads that no policy isolates in both directions."""
    found = []
    for one in manifests.workloads:
        directions = {
            direction
            for policy in manifests.of("NetworkPolicy")
            if one in manifests.matched(policy["spec"]["podSelector"])
            for direction in policy["spec"]["policyTypes"]
        }
        if directions != {"Ingress", "Egress"}:
            found.append(one.name)
    return found


def _peers(manifests: Manifests, peers: list[Document] | None, port: Document) -> set[str]:
    if peers is None:
        return {ANYWHERE}
    found: set[str] = set()
    for peer in peers:
        if "ipBlock" in peer:
            cidr = peer["ipBlock"]["cidr"]
            found.add(INTERNET if cidr in ("0.0.0.0/0", "::/0") else cidr)
        elif "namespaceSelector" in peer:
            namespace = peer["namespaceSelector"].get("matchLabels", {}).get("kubernetes.io/metadata.name", ANYWHERE)
            found.add(DNS if namespace == "kube-system" and port["port"] == 53 else namespace)
        else:
            found |= {one.component for one in manifests.matched(peer["podSelector"])}
    return found


def _number(manifests: Manifests, component: str, port: int | str) -> int:
    if isinstance(port, int):
        return port
    workload: Workload = next(one for one in manifests.workloads if one.component == component)
    return workload.ports.get(port, 0)
