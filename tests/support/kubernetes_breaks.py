"""Manifests broken one way each, and what the rule that watches over it then says (kubernetes_rules.py)."""

from collections.abc import Callable

import yaml

from tests.support.kubernetes import Document, Manifests, Workload

Break = Callable[[Manifests], None]


def the(m: Manifests, kind: str, name: str) -> Document:
    document = m.named(kind, name)
    assert document is not None, f"there is no {kind} {name}"
    return document


def deployment(m: Manifests, component: str) -> Workload:
    """The workload of a component."""
    return next(one for one in m.workloads if one.component == component)


def _told(m: Manifests, old: str, new: str) -> None:
    """Change the ConfigMap of variables."""
    found = next(one for one in m.of("ConfigMap") if one["metadata"]["name"].startswith("omniroute-environment"))
    text = yaml.safe_dump(found["data"])
    assert old in text
    found["data"] = yaml.safe_load(text.replace(old, new))


def _labels(m: Manifests) -> None:
    deployment(m, "router").labels["app.kubernetes.io/component"] = "roouter"


def _service_selector(m: Manifests) -> None:
    the(m, "Service", "omniroute-edge")["spec"]["selector"] = {"app.kubernetes.io/name": "omniroute"}


def _port(m: Manifests) -> None:
    the(m, "Service", "omniroute-router")["spec"]["ports"][1]["port"] = 20142


def _probe_port(m: Manifests) -> None:
    deployment(m, "auth").container["livenessProbe"]["httpGet"]["port"] = "admin"


def _variable(m: Manifests) -> None:
    _told(m, "OMNIROUTE_ROUTER_ADDR", "OMNIROUTE_ROUTR_ADDR")


def _own_variable(m: Manifests) -> None:
    deployment(m, "edge").container["env"].append({"name": "OMNIROUTE_DRAIN_SECOND", "value": "600"})


def _address(m: Manifests) -> None:
    _told(m, "omniroute-quota:20143", "omniroute-quotas:20143")


def _not_headless(m: Manifests) -> None:
    del the(m, "Service", "omniroute-router")["spec"]["clusterIP"]


def _missing_config(m: Manifests) -> None:
    deployment(m, "auth").volumes["config"]["configMap"]["name"] = "omniroute-configuration"


def _missing_item(m: Manifests) -> None:
    deployment(m, "quota").volumes["secrets"]["secret"]["items"].pop()


def _password(m: Manifests) -> None:
    _told(m, "redis://omniroute-redis", "redis://:hunter2@omniroute-redis")


def _secret(m: Manifests) -> None:
    m.documents.append({"kind": "Secret", "metadata": {"name": "omniroute"}, "data": {}})


def _without(kind: str, name: str) -> Break:
    def remove(m: Manifests) -> None:
        m.documents.remove(the(m, kind, name))

    return remove


def _token(m: Manifests) -> None:
    deployment(m, "dashboard").pod["automountServiceAccountToken"] = True


def _two_writers(m: Manifests) -> None:
    deployment(m, "analytics").spec["replicas"] = 2


def _rolling(m: Manifests) -> None:
    deployment(m, "auth").spec["strategy"] = {"type": "RollingUpdate"}


def _impatient(m: Manifests) -> None:
    del the(m, "HorizontalPodAutoscaler", "omniroute-edge")["spec"]["behavior"]["scaleDown"][
        "stabilizationWindowSeconds"
    ]


def _cpu_only(m: Manifests) -> None:
    the(m, "HorizontalPodAutoscaler", "omniroute-router")["spec"]["metrics"].pop()


def _wide(m: Manifests) -> None:
    the(m, "NetworkPolicy", "omniroute-redis")["spec"]["ingress"][0]["from"] = [{"podSelector": {}}]


def _narrow(m: Manifests) -> None:
    the(m, "NetworkPolicy", "omniroute-router")["spec"]["egress"].pop(0)


def _way_out(m: Manifests) -> None:
    out = the(m, "NetworkPolicy", "omniroute-router")["spec"]["egress"][-1]
    the(m, "NetworkPolicy", "omniroute-translator")["spec"]["egress"].append(out)


def _unbounded(m: Manifests) -> None:
    del deployment(m, "router").container["resources"]["limits"]["memory"]


def _hasty(m: Manifests) -> None:
    deployment(m, "router").pod["terminationGracePeriodSeconds"] = 600


def _short(m: Manifests) -> None:
    told = deployment(m, "edge").container["env"]
    next(one for one in told if one["name"] == "OMNIROUTE_DRAIN_SECONDS")["value"] = "120"


def _latest(m: Manifests) -> None:
    deployment(m, "nats").container["image"] = "nats:latest"


def _root(m: Manifests) -> None:
    del deployment(m, "nats").pod["securityContext"]["runAsNonRoot"]


def _capable(m: Manifests) -> None:
    deployment(m, "edge").container["securityContext"]["capabilities"] = {"drop": ["NET_RAW"]}


def _lax(m: Manifests) -> None:
    m.of("Namespace")[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline"


def _together(m: Manifests) -> None:
    deployment(m, "router").pod["topologySpreadConstraints"].pop()


def _dependent(m: Manifests) -> None:
    deployment(m, "router").container["livenessProbe"]["httpGet"]["path"] = "/readyz"


def _lossy(m: Manifests) -> None:
    for found in m.of("ConfigMap"):
        found["data"] = {name: text.replace("sync_interval: always", "") for name, text in found["data"].items()}


def _fourth(m: Manifests) -> None:
    deployment(m, "nats").spec["replicas"] = 4


def _one_copy(m: Manifests) -> None:
    _told(m, "OMNIROUTE_NATS_REPLICAS: '3'", "OMNIROUTE_NATS_REPLICAS: '1'")


def _metrics_outside(m: Manifests) -> None:
    m.of("Ingress")[0]["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/metrics"


def _buffered(m: Manifests) -> None:
    del m.of("Ingress")[0]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-buffering"]


def _misnamed(m: Manifests) -> None:
    deployment(m, "router").container["args"][1] = "quota"


BREAKS: list[tuple[str, Break, str]] = [
    ("selectors_match_labels", _labels, "does not match its own pods"),
    ("selectors_match_labels", _service_selector, "Service omniroute-edge: matches"),
    ("ports_exist_and_are_named", _port, "is no port of omniroute-router"),
    ("ports_exist_and_are_named", _probe_port, "asks port 'admin'"),
    ("variables_are_settings", _variable, "no code reads OMNIROUTE_ROUTR_ADDR"),
    ("variables_are_settings", _own_variable, "no code reads OMNIROUTE_DRAIN_SECOND"),
    ("addresses_are_services", _address, "there is no Service omniroute-quotas"),
    ("addresses_are_services", _not_headless, "dns:/// and headless go together"),
    ("references_exist", _missing_config, "there is no ConfigMap omniroute-configuration"),
    ("references_exist", _missing_item, "which no secret brings"),
    ("nothing_secret_is_written_down", _password, "OMNIROUTE_REDIS_URL holds a password"),
    ("nothing_secret_is_written_down", _secret, "is among the manifests"),
    ("everything_is_covered", _without("PodDisruptionBudget", "omniroute-edge"), "has no PodDisruptionBudget"),
    ("everything_is_covered", _without("ServiceAccount", "omniroute-quota"), "has no ServiceAccount"),
    ("everything_is_covered", _without("NetworkPolicy", "omniroute-auth"), "has no NetworkPolicy"),
    ("everything_is_covered", _token, "its pods bring a token"),
    ("owners_of_files_stay_alone", _two_writers, "omniroute-analytics: owns files, but is not one replica"),
    ("owners_of_files_stay_alone", _rolling, "omniroute-auth: owns files, but is not one replica"),
    ("the_stateless_scale", _without("HorizontalPodAutoscaler", "omniroute-router"), "0 autoscalers"),
    ("the_stateless_scale", _impatient, "without 300 s of patience"),
    ("the_stateless_scale", _cpu_only, "scales on ['Resource']"),
    ("policies_are_the_service_graph", _wide, "edge may speak to redis:6379 (in), for no reason"),
    ("policies_are_the_service_graph", _narrow, "router may not speak to translator:20142 (out)"),
    ("policies_are_the_service_graph", _way_out, "translator may speak to internet:443 (out), for no reason"),
    ("resources_are_bounded", _unbounded, "no limits of memory"),
    ("nothing_is_stopped_before_it_has_drained", _hasty, "600 s are less than 5 + 600 + 30"),
    ("nothing_is_stopped_before_it_has_drained", _short, "drains 120 s, and an answer may take 600"),
    ("images_are_pinned", _latest, "has no tag that stays"),
    ("pods_are_restricted", _root, "omniroute-nats: runAsNonRoot"),
    ("pods_are_restricted", _capable, "omniroute-edge: capabilities"),
    ("pods_are_restricted", _lax, "the namespace does not enforce it"),
    ("replicas_are_spread", _together, "omniroute-router: is spread over"),
    ("probes_ask_what_they_should", _dependent, "its livenessProbe is not /healthz"),
    ("nats_keeps_what_it_acknowledged", _lossy, "does not sync"),
    ("nats_keeps_what_it_acknowledged", _fourth, "4 replicas and 3 routes"),
    ("nats_keeps_what_it_acknowledged", _one_copy, "keeps 1 copies on 3 servers"),
    ("the_outside_sees_only_what_clients_use", _metrics_outside, "/metrics is reachable"),
    ("the_outside_sees_only_what_clients_use", _buffered, "holds streams up"),
    ("labels_say_what_it_is", _misnamed, "omniroute-router: runs quota"),
]
