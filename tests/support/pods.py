"""The pods of a rendered overlay as local processes.

Each pod has a loopback address of its own and its own folders: host names become addresses, 0.0.0.0 becomes the pod's,
and mounted paths become folders, while ports, commands, variables, mounted keys and probes are what the manifests say.
So it is those that are proved. What a kubelet or a CNI does with them is not.
"""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from tests.support.kubernetes import Document, Manifests, Workload
from tests.support.servers import nats_binary, redis_binary

_PROGRAMS = Path(sys.executable).parent


class Pods:
    """``secrets`` are the documents of deploy/k8s/secrets, rendered."""

    def __init__(self, manifests: Manifests, secrets: list[Document], home: Path) -> None:
        self.manifests = manifests
        self.home = home
        self.secrets = {one["metadata"]["name"]: _decoded(one) for one in secrets if one["kind"] == "Secret"}
        self._workloads = {one.component: one for one in manifests.workloads}
        self._network, self._claim = _own_network()
        self._processes: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._bin = home / "bin"
        self._bin.mkdir()
        redis = Path(redis_binary())
        for path in (redis, redis.with_name("redis-cli"), Path(nats_binary()), _PROGRAMS / "omniroute"):
            (self._bin / path.name).symlink_to(path)

    def address(self, component: str, replica: int = 0) -> str:
        """The pod's IP."""
        return f"{self._network}.{10 * (1 + sorted(self._workloads).index(component)) + replica}"

    def url(self, component: str) -> str:
        return f"http://{self.address(component)}:{self._workloads[component].ports['http']}"

    def start(self, component: str, replica: int = 0) -> None:
        one = self._workloads[component]
        folder = self._folder(component, replica)
        self._mount(one, replica)
        command = one.container.get("command") or ["omniroute", *one.arguments]
        with (folder / "log").open("ab") as log:
            self._processes[component, replica] = subprocess.Popen(
                [self._here(one, replica, part) for part in command],
                env=self._environment(one, replica),
                cwd=folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_probe(self, component: str, kind: str, replica: int = 0, within: float = 60.0) -> None:
        """Ask the workload's own probe until it is content."""
        deadline = time.monotonic() + within
        while not self.probe(component, kind, replica):
            ended = self._processes[component, replica].poll()
            assert ended is None, f"{component} ended with {ended}:\n{self.log(component, replica)}"
            assert time.monotonic() < deadline, f"{component}: {kind} fails:\n{self.log(component, replica)}"
            time.sleep(0.1)

    def probe(self, component: str, kind: str, replica: int = 0) -> bool:
        one = self._workloads[component]
        probe = one.container[kind]
        address, within = self.address(component, replica), probe.get("timeoutSeconds", 1)
        if "exec" in probe:
            command = [self._here(one, replica, part) for part in probe["exec"]["command"]]
            told = self._environment(one, replica)
            # redis-cli asks 127.0.0.1, which in a pod is the pod.
            command = [part.replace("redis-cli", f"redis-cli -h {address}") for part in command]
            return subprocess.run(command, env=told, capture_output=True, timeout=20, check=False).returncode == 0
        try:
            if "tcpSocket" in probe:
                with socket.create_connection((address, one.ports[probe["tcpSocket"]["port"]]), timeout=within):
                    return True
            asked = f"http://{address}:{one.ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"
            return httpx.get(asked, timeout=within).status_code == 200
        except (OSError, httpx.HTTPError):
            return False

    def kill(self, component: str, replica: int = 0) -> None:
        process = self._processes.pop((component, replica))
        process.kill()
        process.wait(5)

    def stop(self, *components: str, within: float = 30.0) -> dict[str, int]:
        """SIGTERM to all of them at once; their exit codes."""
        for component in components:
            self._processes[component, 0].send_signal(signal.SIGTERM)
        return {component: self._processes.pop((component, 0)).wait(within) for component in components}

    def close(self) -> None:
        for component, replica in list(self._processes):
            self.kill(component, replica)
        self._claim.close()

    def log(self, component: str, replica: int = 0) -> str:
        return (self._folder(component, replica) / "log").read_text(errors="replace")[-4000:]

    def _folder(self, component: str, replica: int) -> Path:
        folder = self.home / f"{component}-{replica}"
        folder.mkdir(exist_ok=True)
        return folder

    def _environment(self, one: Workload, replica: int) -> dict[str, str]:
        told = self.manifests.environment(one)
        for variable in one.container.get("env", []):
            field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            if field is not None:
                name = f"{one.name}-{replica}"
                told[variable["name"]] = {"status.podIP": self.address(one.component, replica), "metadata.name": name}[
                    field
                ]
        # PATH and DATA_DIR are the image's.
        told = {"DATA_DIR": "/data"} | told
        here = {name: self._here(one, replica, value) for name, value in told.items()}
        return {"PATH": f"{self._bin}:{os.environ['PATH']}"} | here

    def _mount(self, one: Workload, replica: int) -> None:
        for mount in one.container.get("volumeMounts", []):
            place = Path(self._here(one, replica, mount["mountPath"]))
            place.mkdir(parents=True, exist_ok=True)
            volume = one.volumes.get(mount["name"], {})
            if "secret" in volume:
                assert mount["readOnly"] is True
                source = volume["secret"]
                if source["secretName"] not in self.secrets:
                    assert source.get("optional"), f"{one.name}: there is no Secret {source['secretName']}"
                    continue
                for item in source["items"]:
                    (place / item["path"]).write_text(self.secrets[source["secretName"]][item["key"]])
            elif "configMap" in volume:
                assert mount["readOnly"] is True
                found = self.manifests.named("ConfigMap", volume["configMap"]["name"])
                assert found is not None
                for name, text in found["data"].items():
                    (place / name).write_text(self._here(one, replica, text))

    def _here(self, one: Workload, replica: int, text: str) -> str:
        """Paths, host names and addresses of the pod as they are on this machine."""
        folder = self._folder(one.component, replica)
        # In one pass: the folder may itself be under a path that is mounted.
        paths = "|".join(re.escape(mount["mountPath"]) for mount in one.container.get("volumeMounts", []))
        text = re.sub(rf"(?<![\w/.])({paths})(?![\w-])", rf"{folder}\1", text) if paths else text
        text = text.replace("0.0.0.0", self.address(one.component, replica)).replace(
            "bind * -::*", f"bind {self.address(one.component, replica)}"
        )
        if "nats" in self._workloads:
            peer = self.address("nats")[:-1]
            text = re.sub(r"omniroute-nats-\$each\.omniroute-nats-peers", f"{peer}$each", text)
        for component in self._workloads:
            text = re.sub(rf"\bomniroute-{component}(?=:\d)", self.address(component), text)
        return text


def _decoded(secret: Document) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def _own_network() -> tuple[str, socket.socket]:
    """The first three numbers of loopback addresses that are ours for as long as the socket is open."""
    for octet in range(100, 200):
        network = f"127.{octet}.{os.getpid() % 250 + 1}"
        claim = socket.socket()
        try:
            claim.bind((f"{network}.1", 4222))
        except OSError:
            claim.close()
            continue
        return network, claim
    raise RuntimeError("no loopback network is free")
