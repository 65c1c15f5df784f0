"""``omniroute up`` as a person meets it: what it prints works, signals end it properly, trouble is one clear line."""

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

BIN = Path(sys.executable).parent
OMNIROUTE = str(BIN / "omniroute")


class Up:
    """A running ``omniroute up``; ``said`` is what it printed."""

    def __init__(self, data_dir: Path, *arguments: str, **env: str) -> None:
        self.errors = data_dir.parent / "stderr"
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [OMNIROUTE, "up", "--no-open", "--port", "0", "--data-dir", str(data_dir), *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=data_dir.parent,
                env={**os.environ, **env},
                start_new_session=True,
            )
        self.said = ""
        assert self.process.stdout is not None
        watchdog = threading.Timer(60, self.process.kill)
        watchdog.start()
        for line in self.process.stdout:
            self.said += line.decode()
            if "Ctrl-C stops everything" in self.said:
                break
        watchdog.cancel()
        assert "OmniRoute is up" in self.said, self.errors.read_text()
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    @property
    def endpoint(self) -> str:
        return self._find(r"endpoint +(\S+)")

    @property
    def key(self) -> str:
        return self._find(r"key +(\S+)")

    @property
    def curl(self) -> str:
        return self._find(r"(?s)(curl -N .*?\}')")

    def client(self) -> httpx.Client:
        base = self.endpoint.removesuffix("/v1")
        return httpx.Client(base_url=base, headers={"authorization": f"Bearer {self.key}"}, timeout=30)

    def end(self, how: signal.Signals = signal.SIGTERM, within: float = 30) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(within)
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _find(self, pattern: str) -> str:
        found = re.search(pattern, self.said)
        assert found is not None, self.said
        return found[1]


def gone(children: list[psutil.Process], within: float = 10) -> bool:
    """Nobody left; a zombie that waits for init is gone."""
    deadline = time.monotonic() + within
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children if alive(child)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def alive(child: psutil.Process) -> bool:
    try:
        child.status()
    except psutil.NoSuchProcess:
        return False
    return True


def run(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [OMNIROUTE, *arguments],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    running = Up(tmp_path / "data")
    try:
        yield running
    finally:
        running.close()


BODY = {"model": "demo/sim+say:hello", "messages": [{"role": "user", "content": "hi"}]}


def test_what_it_prints_works_and_sigterm_ends_all_of_it(up: Up, tmp_path: Path) -> None:
    with up.client() as client:
        answer = client.post("/v1/chat/completions", json=BODY)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == "hello"
        assert client.get("/readyz").status_code == 200
        assert client.get("/").status_code == 200, "the dashboard is on the same listener"
        assert "omniroute_edge_" in client.get("/metrics").text
    if shutil.which("curl"):
        pasted = subprocess.run(["sh", "-c", up.curl], capture_output=True, text=True, timeout=30, check=True)
        assert pasted.stdout.endswith("data: [DONE]\n\n"), pasted.stdout
    assert {Path(child.exe()).name for child in up.children} == {"redis-server", "nats-server"}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    assert up.end(signal.SIGTERM) == 0
    assert gone(up.children)
    assert "Traceback" not in up.errors.read_text()
    assert up.key not in up.errors.read_text()


def test_ctrl_c_does_the_same_and_the_next_start_goes_on_where_it_ended(up: Up, tmp_path: Path) -> None:
    with up.client() as client:
        for _ in range(3):
            assert client.post("/v1/chat/completions", json=BODY).status_code == 200
    assert up.end(signal.SIGINT) == 0
    assert gone(up.children)
    again = Up(tmp_path / "data")
    try:
        assert again.key == up.key
        with again.client() as client:
            deadline = time.monotonic() + 15
            while client.get("/api/usage").json()["totals"]["requests"] != 3:
                assert time.monotonic() < deadline, client.get("/api/usage").text
                time.sleep(0.2)
    finally:
        assert again.end() == 0


def test_a_running_stream_is_finished_while_new_ones_are_refused(up: Up) -> None:
    slow = {**BODY, "model": "demo/sim+tokens:30+tps:15", "stream": True}
    with up.client() as client, client.stream("POST", "/v1/chat/completions", json=slow) as answer:
        lines = answer.iter_lines()
        next(lines)
        up.process.send_signal(signal.SIGTERM)
        with up.client() as other, pytest.raises(httpx.ConnectError):
            for _ in range(100):
                other.get("/readyz")
                time.sleep(0.05)
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert up.process.wait(20) == 0
    assert gone(up.children)


def test_a_second_signal_does_not_wait(up: Up) -> None:
    hanging = {**BODY, "model": "demo/sim+tokens:1000+tps:1", "stream": True}
    with up.client() as client, client.stream("POST", "/v1/chat/completions", json=hanging) as answer:
        lines = answer.iter_lines()  # dropping it would close the connection
        next(lines)
        up.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert up.process.poll() is None
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(20) == 128 + signal.SIGINT
    assert gone(up.children)


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG")
def test_killed_outright_it_leaves_no_child_and_the_next_start_works(up: Up, tmp_path: Path) -> None:
    up.process.kill()
    up.process.wait(20)
    assert gone(up.children)
    again = Up(tmp_path / "data")
    assert again.end() == 0


def test_a_redis_that_is_killed_comes_back_and_requests_go_on(up: Up) -> None:
    redis = next(child for child in up.children if "redis" in child.name())
    redis.kill()
    with up.client() as client:
        deadline = time.monotonic() + 15
        while client.post("/v1/chat/completions", json=BODY).status_code != 200:
            assert time.monotonic() < deadline, up.errors.read_text()
            time.sleep(0.2)
    assert "redis ended unexpectedly (signal 9)" in up.errors.read_text()
    assert up.end() == 0


def test_keys_made_and_revoked_beside_it_count_within_a_second(up: Up, tmp_path: Path) -> None:
    made = run("keys", "create", "laptop", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    headers = {"authorization": f"Bearer {made.stdout.strip()}"}
    with up.client() as client:

        def status() -> int:
            return client.post("/v1/chat/completions", json=BODY, headers=headers).status_code

        deadline = time.monotonic() + 10
        while status() != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert run("keys", "revoke", "laptop", "--data-dir", str(tmp_path / "data"), cwd=tmp_path).returncode == 0
        deadline = time.monotonic() + 10
        while status() != 401:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    listed = run("keys", "list", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert "local" in listed.stdout
    assert up.key not in listed.stdout


def test_a_second_one_on_the_same_data_is_told_so(up: Up, tmp_path: Path) -> None:
    second = run("up", "--no-open", "--port", "0", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert second.returncode == 1
    assert f"another omniroute (pid {up.process.pid}) already uses the data directory" in second.stderr
    assert "Traceback" not in second.stderr
    with up.client() as client:
        assert client.post("/v1/chat/completions", json=BODY).status_code == 200, "the first is not disturbed"


def test_a_port_of_its_own_for_the_dashboard(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    up = Up(tmp_path / "data", DASHBOARD_PORT=str(port))
    try:
        assert f":{port}/" in up.said
        with up.client() as client:
            assert client.get("/healthz").status_code == 200
            assert client.get("/api/usage").status_code == 404
            assert client.get(f"http://127.0.0.1:{port}/api/usage").status_code == 200
    finally:
        assert up.end() == 0


def test_a_port_that_is_taken_is_one_clear_line_and_nothing_stays_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("up", "--no-open", "--port", str(port), "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert ended.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken by another program. Stop that one, or choose" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "data").glob("*/pid"))


def test_a_bad_configuration_names_file_line_and_key_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "omniroute.yaml").write_text(
        "server: {port: 1}\nroutin: {}\nproviders:\n  - {id: a, format: nonsense}\n"
    )
    ended = run("up", "--no-open", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert ended.returncode == 1
    assert re.search(r"omniroute\.yaml:2: routin: ", ended.stderr), ended.stderr
    assert re.search(r"omniroute\.yaml:4: providers\[0\]\.format: ", ended.stderr), ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data" / "redis").exists()


def test_a_service_without_its_servers_says_which_variable(tmp_path: Path) -> None:
    ended = run("run", "router", "--data-dir", str(tmp_path / "data"), cwd=tmp_path)
    assert ended.returncode == 1
    assert "'omniroute run router' needs Redis. Set OMNIROUTE_REDIS_URL" in ended.stderr


def test_servers_of_ones_own_are_used_when_named(tmp_path: Path, redis_url: str, nats_url: str) -> None:
    up = Up(tmp_path / "data", OMNIROUTE_REDIS_URL=redis_url, OMNIROUTE_NATS_URL=nats_url)
    try:
        assert up.children == []
        with up.client() as client:
            assert client.post("/v1/chat/completions", json=BODY).status_code == 200
    finally:
        assert up.end() == 0


def test_the_configuration_file_says_where_to_listen_and_flags_win(tmp_path: Path) -> None:
    (tmp_path / "omniroute.yaml").write_text("server: {host: 127.0.0.1, port: 1, require_api_key: false}\n")
    up = Up(tmp_path / "data")
    try:
        assert ":1/" not in up.endpoint
        assert "Authorization" not in up.curl, "no key is needed, so none is shown"
        answer = httpx.post(f"{up.endpoint}/chat/completions", json=BODY, timeout=30)
        assert answer.status_code == 200, answer.text
    finally:
        assert up.end() == 0


def test_with_providers_in_the_store_alone_it_speaks_of_no_simulator(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text(
        "providers: [{id: lab, format: openai.chat, base_url: https://lab.example.com/v1,"
        " accounts: [{name: main, api_key: {value: lab-secret-1}}], models: [{id: gpt-x}]}]"
    )
    data = tmp_path / "data"
    applied = run("apply", str(file), "--data-dir", str(data), cwd=tmp_path)
    assert applied.returncode == 0, applied.stderr
    doctor = run("doctor", "--data-dir", str(data), "--port", "0", cwd=tmp_path)
    assert "providers are the store's" in doctor.stdout
    up = Up(data)
    try:
        assert "demo" not in up.said
        assert '"model":"lab/gpt-x"' in up.curl.replace('": "', '":"')
    finally:
        assert up.end() == 0


def test_a_gateway_whose_only_provider_is_off_starts_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "omniroute.yaml").write_text(
        "providers: [{id: lab, enabled: off, format: openai.chat, base_url: https://lab.example.com/v1,"
        " accounts: [{name: main, api_key: {value: lab-secret-1}}], models: [{id: gpt-x}]}]"
    )
    up = Up(tmp_path / "data")
    try:
        assert '"MODEL"' in up.curl
    finally:
        assert up.end() == 0
