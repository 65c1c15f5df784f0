"""What must hold of our manifests, one function a rule: it returns what is wrong, a line each.

``RULES`` is run over every overlay and component (tests/contract/test_kubernetes.py), and each of its rules is seen to
fail on a manifest that breaks it.
"""

import re
from collections.abc import Callable, Iterator

from omni_catalogue.snapshot import Timeouts
from omni_edge.domain import surfaces

from tests.support.kubernetes import COMPONENT, Document, Manifests, Workload
from tests.support.kubernetes_network import allowed, closed, declared
from tests.support.setting_names import setting_names

Rule = Callable[[Manifests], Iterator[str]]

NAME = "app.kubernetes.io/name"
# Streams go through these.
STREAMING = frozenset({"edge", "router", "translator"})
# Seconds after the drain: events handed over, connections closed.
AFTERWARDS = 30


def selectors_match_labels(m: Manifests) -> Iterator[str]:
    for one in m.workloads:
        if one not in m.matched(one.spec["selector"]):
            yield f"{one.name}: its selector does not match its own pods"
        if len(m.matched(one.spec["selector"])) > 1:
            yield f"{one.name}: its selector matches pods of others"
        for constraint in one.pod.get("topologySpreadConstraints", []):
            if m.matched(constraint["labelSelector"]) != [one]:
                yield f"{one.name}: its spread counts other pods"
    for document in m.of("Service") + m.of("PodDisruptionBudget"):
        selector = document["spec"]["selector"]
        found = m.matched({"matchLabels": selector} if document["kind"] == "Service" else selector)
        if len(found) != 1:
            yield f"{document['kind']} {document['metadata']['name']}: matches {[one.name for one in found]}"
    for document in m.of("HorizontalPodAutoscaler") + m.of("ScaledObject"):
        aim = document["spec"]["scaleTargetRef"]
        if m.named(aim["kind"], aim["name"]) is None:
            yield f"{document['kind']} {document['metadata']['name']}: there is no {aim['kind']} {aim['name']}"
    for policy in m.of("NetworkPolicy"):
        if not m.matched(policy["spec"]["podSelector"]):
            yield f"NetworkPolicy {policy['metadata']['name']}: matches no pod"


def ports_exist_and_are_named(m: Manifests) -> Iterator[str]:
    for one in m.workloads:
        if "" in one.ports:
            yield f"{one.name}: a container port has no name"
    for service in m.of("Service"):
        for port in service["spec"]["ports"]:
            for one in m.matched({"matchLabels": service["spec"]["selector"]}):
                if one.ports.get(port["targetPort"]) != port["port"] or port["name"] != port["targetPort"]:
                    yield f"Service {service['metadata']['name']}: {port} is no port of {one.name} ({one.ports})"
    for one, kind, probe in m.probes():
        asked = probe.get("httpGet") or probe.get("tcpSocket")
        if asked is not None and asked["port"] not in one.ports:
            yield f"{one.name}: {kind} asks port {asked['port']!r}, which is not declared"
    for policy in m.of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress") or []:
            for port in rule["ports"]:
                for one in m.matched(policy["spec"]["podSelector"]):
                    if isinstance(port["port"], str) and port["port"] not in one.ports:
                        yield f"NetworkPolicy {policy['metadata']['name']}: {one.name} has no port {port['port']}"
    for ingress in m.of("Ingress"):
        for path in _paths(ingress):
            backend = path["backend"]["service"]
            served = m.named("Service", backend["name"])
            if served is None or backend["port"]["name"] not in {port["name"] for port in served["spec"]["ports"]}:
                yield f"Ingress {ingress['metadata']['name']}: nobody serves {backend}"


def variables_are_settings(m: Manifests) -> Iterator[str]:
    for one in m.ours:
        for variable in m.environment(one):
            if variable not in setting_names():
                yield f"{one.name}: no code reads {variable}"


def addresses_are_services(m: Manifests) -> Iterator[str]:
    """Every host:port that a service is told is one of ours (or outside); ``dns:///`` wants a headless one."""
    for one in m.ours:
        for variable, value in m.environment(one).items():
            found = re.fullmatch(r"(dns:///|[a-z]+://(?:\w+@)?)?(omniroute-[a-z-]+):(\d+)(/.*)?", value)
            if found is None:
                if variable.endswith("_ADDR"):
                    yield f"{one.name}: {variable} is {value!r}, which is no address of ours"
                continue
            service = m.named("Service", found[2])
            if service is None:
                if not _gone(m, found[2]):
                    yield f"{one.name}: {variable}: there is no Service {found[2]}"
                continue
            if int(found[3]) not in {port["port"] for port in service["spec"]["ports"]}:
                yield f"{one.name}: {variable}: {found[2]} has no port {found[3]}"
            if (found[1] == "dns:///") != (service["spec"].get("clusterIP") == "None"):
                yield f"{one.name}: {variable}: dns:/// and headless go together"


def _gone(m: Manifests, service: str) -> bool:
    """The component is inside another's process (the gateway)."""
    part = service.removeprefix("omniroute-")
    return any(one.target is not None and part in one.target.parts for one in m.ours)


def _of_others(one: Workload, file: str) -> bool:
    """The file may be in a Secret that a person makes, whose keys are not told."""
    whole = {name for name, volume in one.volumes.items() if "items" not in volume.get("secret", {"items": ()})}
    mounts = one.container.get("volumeMounts", [])
    return any(mount["name"] in whole and file.startswith(mount["mountPath"] + "/") for mount in mounts)


def references_exist(m: Manifests) -> Iterator[str]:
    """Mounted ConfigMaps, and the secret files that variables name. That the Secrets exist is a test of its own."""
    for one in m.workloads:
        for volume in one.volumes.values():
            if "configMap" in volume and m.named("ConfigMap", volume["configMap"]["name"]) is None:
                yield f"{one.name}: there is no ConfigMap {volume['configMap']['name']}"
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and m.named("PersistentVolumeClaim", claim) is None:
                yield f"{one.name}: there is no PersistentVolumeClaim {claim}"
        for source in one.container.get("envFrom", []):
            if m.named("ConfigMap", source["configMapRef"]["name"]) is None:
                yield f"{one.name}: there is no ConfigMap {source['configMapRef']['name']}"
        templates = {claim["metadata"]["name"] for claim in one.spec.get("volumeClaimTemplates", [])}
        for mount in one.container.get("volumeMounts", []):
            if mount["name"] not in one.volumes.keys() | templates:
                yield f"{one.name}: there is no volume {mount['name']}"
        for variable, value in m.environment(one).items():
            if variable.endswith("_FILE") and value not in mounted_secrets(one) and not _of_others(one, value):
                yield f"{one.name}: {variable} names {value}, which no secret brings"
        if m.named("ServiceAccount", one.pod["serviceAccountName"]) is None:
            yield f"{one.name}: there is no ServiceAccount {one.pod['serviceAccountName']}"


def mounted_secrets(one: Workload) -> dict[str, tuple[str, str]]:
    """Path in the container: (Secret, key)."""
    places = {mount["name"]: mount["mountPath"] for mount in one.container.get("volumeMounts", [])}
    return {
        f"{places[name]}/{item['path']}": (volume["secret"]["secretName"], item["key"])
        for name, volume in one.volumes.items()
        for item in volume.get("secret", {}).get("items", [])
    }


def nothing_secret_is_written_down(m: Manifests) -> Iterator[str]:
    for secret in m.of("Secret"):
        yield f"Secret {secret['metadata']['name']} is among the manifests"
    for one in m.workloads:
        for variable, value in m.environment(one).items():
            if re.search("TOKEN|PASSWORD|SECRET|_KEY", variable) and not value.startswith("/run/"):
                yield f"{one.name}: {variable} is not a file"
            if re.search(r"://[^/@]*:[^/@]+@", value):
                yield f"{one.name}: {variable} holds a password"


def everything_is_covered(m: Manifests) -> Iterator[str]:
    """A Service, a PodDisruptionBudget, a ServiceAccount without a token and no way in or out but the declared."""
    for name in closed(m):
        yield f"{name}: no NetworkPolicy closes it"
    for one in m.workloads:
        for kind in ("Service", "PodDisruptionBudget", "ServiceAccount", "NetworkPolicy"):
            name = one.name if kind != "Service" or one.component != "gateway" else "omniroute-edge"
            document = m.named(kind, name)
            if document is None:
                yield f"{one.name}: has no {kind}"
            elif kind == "PodDisruptionBudget" and document["spec"].get("maxUnavailable") != 1:
                yield f"{one.name}: its budget is not maxUnavailable 1"
            elif kind == "ServiceAccount" and document.get("automountServiceAccountToken") is not False:
                yield f"{one.name}: its account brings a token"
        if one.pod.get("automountServiceAccountToken") is not False:
            yield f"{one.name}: its pods bring a token"


def owners_of_files_stay_alone(m: Manifests) -> Iterator[str]:
    """One writer a SQLite file: one replica, replaced only after it has ended, on a volume; and nobody scales it."""
    for one in m.ours:
        lasting = any("persistentVolumeClaim" in volume for volume in one.volumes.values())
        if lasting != one.owns_files:
            yield f"{one.name}: a volume claim and owning files go together"
        if one.owns_files and (one.spec.get("replicas"), one.spec["strategy"]["type"]) != (1, "Recreate"):
            yield f"{one.name}: owns files, but is not one replica with Recreate"
        if one.owns_files and _scalers(m, one):
            yield f"{one.name}: owns files, and is scaled"


def the_stateless_scale(m: Manifests) -> Iterator[str]:
    """On CPU, and on what is in flight where that is what fills a pod; slowly down; by one autoscaler alone."""
    for one in m.ours:
        if one.owns_files:
            continue
        scalers = _scalers(m, one)
        if len(scalers) != 1:
            yield f"{one.name}: {len(scalers)} autoscalers"
            continue
        if "replicas" in one.spec:
            yield f"{one.name}: its replicas are the autoscaler's to say"
        spec = scalers[0]["spec"]
        behavior = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        if behavior["scaleDown"].get("stabilizationWindowSeconds") != 300:
            yield f"{one.name}: scales down without 300 s of patience"
        measured = {metric["type"] for metric in spec.get("metrics", spec.get("triggers", []))}
        wanted = {"Resource"} if "metrics" in spec else {"cpu"}
        if one.component in ("edge", "router", "gateway"):
            wanted |= {"Pods"} if "metrics" in spec else {"prometheus"}
        if measured != wanted:
            yield f"{one.name}: scales on {sorted(measured)}, not on {sorted(wanted)}"


def _scalers(m: Manifests, one: Workload) -> list[Document]:
    kinds = m.of("HorizontalPodAutoscaler") + m.of("ScaledObject")
    return [each for each in kinds if each["spec"]["scaleTargetRef"]["name"] == one.name]


def policies_are_the_service_graph(m: Manifests) -> Iterator[str]:
    extra = {"monitoring"} | _outside(m)
    for way, found, wanted in zip(("out", "in"), allowed(m), declared(m), strict=True):
        for edge in sorted(wanted - found):
            yield f"{edge.caller} may not speak to {edge.callee}:{edge.port} ({way})"
        for edge in sorted(found - wanted):
            if not {edge.caller, edge.callee} & extra:
                yield f"{edge.caller} may speak to {edge.callee}:{edge.port} ({way}), for no reason"


def _outside(m: Manifests) -> set[str]:
    """Addresses of stores that are elsewhere."""
    found = [m.named("NetworkPolicy", f"omniroute-external-{store}") for store in ("redis", "postgres")]
    rules = [rule for policy in found if policy for rule in policy["spec"]["egress"]]
    return {peer["ipBlock"]["cidr"] for rule in rules for peer in rule["to"]}


def resources_are_bounded(m: Manifests) -> Iterator[str]:
    for one in m.workloads:
        given = one.container.get("resources", {})
        for what in ("requests", "limits"):
            for unit in ("cpu", "memory"):
                if unit not in given.get(what, {}):
                    yield f"{one.name}: no {what} of {unit}"
        for name, volume in one.volumes.items():
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{one.name}: {name} may fill the node"


def nothing_is_stopped_before_it_has_drained(m: Manifests) -> Iterator[str]:
    for one in m.ours:
        told, grace = m.environment(one), one.pod.get("terminationGracePeriodSeconds", 30)
        drain, delay = float(told.get("OMNIROUTE_DRAIN_SECONDS", 120)), float(told.get("OMNIROUTE_DRAIN_DELAY", 0))
        if grace < drain + delay + AFTERWARDS:
            yield f"{one.name}: {grace} s are less than {delay:.0f} + {drain:.0f} + {AFTERWARDS}"
        if one.target is not None and STREAMING & set(one.target.parts) and drain < Timeouts().total:
            yield f"{one.name}: drains {drain:.0f} s, and an answer may take {Timeouts().total:.0f}"
        if delay <= 0:
            yield f"{one.name}: takes no time to be seen leaving"


def images_are_pinned(m: Manifests) -> Iterator[str]:
    for one in m.workloads:
        tag = one.container["image"].rpartition("/")[2].partition(":")[2]
        if not tag or tag == "latest":
            yield f"{one.name}: image {one.container['image']} has no tag that stays"
    if len({one.container["image"] for one in m.ours}) > 1:
        yield "ours are not all of one image"


def pods_are_restricted(m: Manifests) -> Iterator[str]:
    """The Pod Security Standard of that name, and a root that cannot be written; enforced by the namespace's label."""
    for one in m.workloads:
        pod, own = one.pod.get("securityContext", {}), one.container.get("securityContext", {})
        kept = {
            "runAsNonRoot": pod.get("runAsNonRoot") is True,
            "runAsUser": pod.get("runAsUser", 0) > 0,
            "seccomp": pod.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "privilege": own.get("allowPrivilegeEscalation") is False and not own.get("privileged"),
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "read-only root": own.get("readOnlyRootFilesystem") is True,
            "host": not any(one.pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
            "volumes": not any("hostPath" in volume for volume in one.volumes.values()),
            "one container": len(one.pod["containers"]) == 1 and not one.pod.get("initContainers"),
            "service links": one.pod.get("enableServiceLinks") is False,
        }
        for what, well in kept.items():
            if not well:
                yield f"{one.name}: {what}"
    for namespace in m.of("Namespace"):
        if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
            yield "the namespace does not enforce it"
    if {document["metadata"].get("namespace", "omniroute") for document in m.documents} != {"omniroute"}:
        yield "something is outside of the namespace"


def replicas_are_spread(m: Manifests) -> Iterator[str]:
    for one in m.workloads:
        if one.owns_files or one.component in ("redis", "simulator"):
            continue
        keys = {constraint["topologyKey"] for constraint in one.pod.get("topologySpreadConstraints", [])}
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{one.name}: is spread over {sorted(keys)}"


def probes_ask_what_they_should(m: Manifests) -> Iterator[str]:
    """All three there; ours are alive by /healthz, which asks nobody, and ready by /readyz."""
    wanted = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for one in m.workloads:
        for kind, path in wanted.items():
            probe = one.container.get(kind)
            if probe is None:
                yield f"{one.name}: no {kind}"
            elif one.target is not None and probe.get("httpGet") != {"path": path, "port": "http"}:
                yield f"{one.name}: its {kind} is not {path}"


def nats_keeps_what_it_acknowledged(m: Manifests) -> Iterator[str]:
    """Synced at once, and by servers that know each other: as many routes as replicas."""
    for one in m.workloads:
        if one.component != "nats":
            continue
        mounted = (volume["configMap"]["name"] for volume in one.volumes.values() if "configMap" in volume)
        maps = [found for name in mounted if (found := m.named("ConfigMap", name)) is not None]
        config = "".join(text for found in maps for name, text in found["data"].items() if name.endswith(".conf"))
        if not re.search(r"^\s*sync_interval: always$", config, re.MULTILINE):
            yield "NATS does not sync what it acknowledges"
        routes = re.findall(r"\$NATS_ROUTE_\d", config)
        if len(routes) != (one.spec["replicas"] if one.spec["replicas"] > 1 else 0):
            yield f"NATS has {one.spec['replicas']} replicas and {len(routes)} routes"
        for other in m.ours:
            copies = m.environment(other).get("OMNIROUTE_NATS_REPLICAS", "1")
            if int(copies) != one.spec["replicas"]:
                yield f"{other.name} keeps {copies} copies on {one.spec['replicas']} servers"
        script = "".join(one.container["command"])
        # start.sh gives each secret file's content under the file's name.
        told = {*m.environment(one), "NATS_ROUTE", *(key.upper() for _, key in mounted_secrets(one).values())}
        for name in re.findall(r"\$([A-Z_]+[A-Z])\b", re.sub(r'"[^"]*"|#.*', "", config)):
            if name not in told and f"export {name}=" not in script:
                yield f"NATS is not told ${name}"


def the_outside_sees_only_what_clients_use(m: Manifests) -> Iterator[str]:
    """An Ingress leads to every surface of the edge, and not to its probes and metrics; streams pass unbuffered."""
    probes = {path for path, surface in surfaces.EXACT.items() if surface.probe}
    for ingress in m.of("Ingress"):
        name = ingress["metadata"]["name"]
        paths = [(path["path"], path["pathType"]) for path in _paths(ingress)]
        for wanted in (*surfaces.EXACT, "/v1/models/some/model", "/v1beta/models/gemini:generateContent"):
            if _leads(paths, wanted) == (wanted in probes):
                yield f"Ingress {name}: {wanted} is {'' if wanted in probes else 'not '}reachable"
        notes = ingress["metadata"]["annotations"]
        prefix = "nginx.ingress.kubernetes.io/proxy-"
        if notes.get(f"{prefix}buffering") != "off" or int(notes.get(f"{prefix}read-timeout", 0)) < Timeouts().total:
            yield f"Ingress {name}: holds streams up"
        if "cert-manager.io/cluster-issuer" not in notes or not ingress["spec"].get("tls"):
            yield f"Ingress {name}: has no certificate"


def _paths(ingress: Document) -> list[Document]:
    return [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]


def _leads(paths: list[tuple[str, str]], asked: str) -> bool:
    return any(asked == path or (kind == "Prefix" and asked.startswith(f"{path}/")) for path, kind in paths)


def labels_say_what_it_is(m: Manifests) -> Iterator[str]:
    for one in m.workloads:
        if one.labels.get(NAME) != "omniroute" or one.name != f"omniroute-{one.labels.get(COMPONENT)}":
            yield f"{one.name}: its labels are {one.labels}"
        if one.target is not None and one.target.name != one.component:
            yield f"{one.name}: runs {one.target.name}"


RULES: tuple[Rule, ...] = (
    selectors_match_labels,
    ports_exist_and_are_named,
    variables_are_settings,
    addresses_are_services,
    references_exist,
    nothing_secret_is_written_down,
    everything_is_covered,
    owners_of_files_stay_alone,
    the_stateless_scale,
    policies_are_the_service_graph,
    resources_are_bounded,
    nothing_is_stopped_before_it_has_drained,
    images_are_pinned,
    pods_are_restricted,
    replicas_are_spread,
    probes_ask_what_they_should,
    nats_keeps_what_it_acknowledged,
    the_outside_sees_only_what_clients_use,
    labels_say_what_it_is,
)
