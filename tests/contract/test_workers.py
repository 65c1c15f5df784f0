"""``--workers``: processes that share a port, and a supervisor that keeps them there."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.household import HEADERS, SHORT, Household, household, load
from tests.support.service import Service, until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with household(tmp_path_factory.mktemp("house")) as made:
        yield made


def two(house: Household, **env: str) -> Service:
    return Service("gateway", house.home, house.env | env, "--workers", "2").ready(admin=True)


@pytest.fixture(scope="module")
def crew(house: Household) -> Iterator[Service]:
    """For the tests that it survives, and the last one of it, which it does not."""
    running = two(house)
    yield running
    running.close()


@pytest.fixture
def doomed(house: Household) -> Iterator[Service]:
    running = two(house)
    yield running
    running.close()


@pytest.fixture
def brief(house: Household) -> Iterator[Service]:
    """One whose drain has a second."""
    running = two(house, OMNIROUTE_DRAIN_SECONDS="1")
    yield running
    running.close()


def workers(crew: Service) -> dict[int, int]:
    """Pids by number."""
    found = [child.as_dict(["pid", "environ"]) for child in crew.children()]
    return {int(child["environ"]["OMNIROUTE_WORKER"]): child["pid"] for child in found if child["environ"]}


def counted(crew: Service, family: str, label: str = "") -> float:
    page = crew.get("/metrics", admin=True).text
    return sum(map(float, re.findall(rf"^{family}(?:\{{.*{label}.*\}})? (\S+)$", page, re.MULTILINE)))


def requests(crew: Service) -> float:
    return counted(crew, "omniroute_edge_requests_total", 'surface="chat"')


def all_ready(crew: Service) -> bool:
    checks = crew.get("/readyz", admin=True).json()["components"]["workers"]
    return checks["workers"]["detail"] == "2 of 2 are ready"


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pids: list[int]) -> bool:
    return not any(map(lives, pids))


async def test_they_share_the_port_and_are_counted_as_one(crew: Service) -> None:
    pids = workers(crew)
    assert sorted(pids) == [1, 2]
    named = crew.get("/readyz", admin=True).json()["components"]["workers"]
    assert {name: check["detail"] for name, check in named.items()} == {
        "workers": "2 of 2 are ready", "worker 1": "ready", "worker 2": "ready",
    }  # fmt: skip
    before = requests(crew)
    async with load(crew.url) as found:
        await found.more(400)
    assert set(found.statuses) == {200}
    assert requests(crew) - before == found.done, "each is counted once"
    page = crew.get("/metrics", admin=True).text
    assert 'omniroute_edge_active_streams{worker="1"}' in page
    assert 'omniroute_edge_active_streams{worker="2"}' in page
    assert "omniroute_supervisor_workers 2.0" in page
    assert 'omniroute_worker{worker="' in crew.get("/metrics").text, "the shared port says whose numbers it shows"


async def test_one_that_is_killed_takes_nothing_with_it_but_what_it_had_taken(crew: Service) -> None:
    pids, restarts = workers(crew), counted(crew, "omniroute_supervisor_restarts_total")
    answered = requests(crew)
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    async with httpx.AsyncClient(base_url=crew.url, headers=HEADERS, timeout=30) as client:
        waiting = [asyncio.create_task(client.post("/v1/chat/completions", json=SHORT)) for _ in range(20)]
        await asyncio.to_thread(until, lambda: queued(crew.port) == 20, "all of them wait in the kernel's queue", 10)
        os.kill(pids[1], signal.SIGKILL)
        os.kill(pids[2], signal.SIGCONT)
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {200}
    await asyncio.to_thread(until, lambda: all_ready(crew), "the first is there again")
    assert workers(crew)[1] != pids[1]
    assert f"worker 1 (pid {pids[1]}) ended unexpectedly (signal 9)" in crew.log
    assert counted(crew, "omniroute_supervisor_restarts_total") == restarts + 1
    assert requests(crew) >= answered, "what a scrape has seen of the one that was killed is kept"


def test_one_that_hangs_is_named_holds_up_no_scrape_and_is_killed_in_a_drain(brief: Service) -> None:
    pids = workers(brief)
    assert 'omniroute_edge_active_streams{worker="1"}' in brief.get("/metrics", admin=True).text
    starting = brief.log
    os.kill(pids[1], signal.SIGSTOP)
    silent = {"ok": False, "detail": "no answer within 2 s"}

    def named() -> bool:
        found = brief.get("/readyz", admin=True)
        assert found.status_code == 200, "the other one serves"
        return bool(found.json()["components"]["workers"]["worker 1"] == silent)

    until(named, "it is named", within=10)
    took = []
    for _ in range(5):
        began = time.monotonic()
        assert 'omniroute_edge_active_streams{worker="1"}' in brief.get("/metrics", admin=True).text
        took.append(time.monotonic() - began)
    assert min(took) < 2, "a scrape that waited for it would take 2 s every time"
    assert brief.end(within=20) == 0
    assert f"worker 1 (pid {pids[1]}) has not answered for" in brief.log
    assert "waiting for workers" not in brief.log.removeprefix(starting)
    assert gone(list(pids.values()))


def test_the_supervisors_own_port_is_on_loopback_wherever_the_workers_are(house: Household) -> None:
    crew = Service("gateway", house.home, house.env, "--workers", "1", "--host", "0.0.0.0")
    try:
        crew.ready(admin=True)
        bound = {one.laddr.port: one.laddr.ip for one in psutil.Process(crew.process.pid).net_connections("tcp")
                 if one.status == psutil.CONN_LISTEN}  # fmt: skip
        assert bound == {crew.port: "0.0.0.0", crew.admin_port: "127.0.0.1"}
        assert f"admin {crew.admin}" in crew.log
    finally:
        crew.close()


def queued(port: int) -> int:
    """Connections to a port, none of which anybody has accepted while all who could are stopped."""
    there = psutil.net_connections("tcp")
    return sum(one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port for one in there)


async def test_a_load_goes_on_while_one_is_killed(crew: Service) -> None:
    async with load(crew.url, clients=8) as found:
        await found.more(200)
        os.kill(workers(crew)[2], signal.SIGKILL)
        await found.more(400)
        await asyncio.to_thread(until, lambda: all_ready(crew), "the second is there again")
        hurt = len(found.errors)
        await found.more(200)
    assert hurt <= 8, "those that it had in hand"
    assert set(found.statuses) == {200}
    assert len(found.errors) == hurt


async def test_sighup_replaces_them_one_after_the_other_and_no_request_fails(crew: Service) -> None:
    pids = workers(crew)
    before, said = requests(crew), len(crew.log)
    async with load(crew.url, clients=8) as found:
        await found.more(100)
        crew.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(
            until, lambda: "all 2 workers are new" in crew.log[said:], "they were replaced", log=lambda: crew.log[said:]
        )
        await asyncio.to_thread(until, lambda: gone(list(pids.values())), "the old ones are gone")
        await found.more(100)
    assert found.errors == []
    assert set(found.statuses) == {200}
    assert not set(workers(crew).values()) & set(pids.values())
    assert requests(crew) - before == found.done, "also those that the old ones answered"
    assert "unexpectedly" not in crew.log[said:]


def test_a_second_signal_ends_all_at_once(doomed: Service) -> None:
    pids = list(workers(doomed).values())
    body = {**SHORT, "model": "acme/gpt-x+tokens:1000+tps:1", "stream": True}
    with (
        httpx.Client(base_url=doomed.url, headers=HEADERS, timeout=30) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        doomed.process.send_signal(signal.SIGTERM)
        until(lambda: doomed.log.count("draining") == 3, "all have heard")
        doomed.process.send_signal(signal.SIGTERM)
        assert doomed.process.wait(20) == 128 + signal.SIGTERM
        until(lambda: gone(pids), "nobody is left")


def test_workers_whose_supervisor_is_killed_drain_and_go(doomed: Service) -> None:
    pids = list(workers(doomed).values())
    doomed.process.kill()
    doomed.process.wait(20)
    until(lambda: gone(pids), "nobody is left", within=15)
    assert "the supervisor is gone" in doomed.log


def test_a_worker_that_cannot_start_is_told_once_and_nothing_stays(house: Household) -> None:
    crew = Service("gateway", house.home, house.env | {"OMNIROUTE_EDGE_KEY_TTL": "soon"}, "--workers", "2")
    assert crew.process.wait(30) == 1
    assert "OMNIROUTE_EDGE_" in crew.log
    assert "ended before it served" in crew.log
    assert "Traceback" not in crew.log


def test_up_with_workers_is_a_control_plane_with_gateways_around_one_port(tmp_path: Path) -> None:
    command = ("--workers", "2", "--no-open", "--data-dir", str(tmp_path / "data"))
    up = Service("all", tmp_path, {"DASHBOARD_PORT": "0"}, *command).ready(admin=True)
    try:
        said = up.log
        key = re.search(r"key +(\S+)", said)
        dashboard = re.search(r"dashboard +(\S+)", said)
        assert key is not None
        assert dashboard is not None
        headers = {"authorization": f"Bearer {key[1]}"}
        body = {"model": "demo/sim+say:hello", "messages": [{"role": "user", "content": "hi"}]}
        asked = httpx.post(f"{up.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
        assert asked.json()["choices"][0]["message"]["content"] == "hello"
        assert up.status("/api/usage") == 404, "the dashboard has a port of its own"

        def counted() -> bool:
            usage = httpx.get(f"{dashboard[1]}api/usage", headers=headers, timeout=10)
            return bool(usage.json()["totals"]["requests"] == 1)

        until(counted, "the request is on the dashboard", within=15)
        system = httpx.get(f"{dashboard[1]}api/system", headers=headers, timeout=10)
        assert "worker 2" in system.text
        began = time.monotonic()
        children = [child.pid for child in up.children()]
        assert up.end() == 0
        assert gone(children)
        assert time.monotonic() - began < 15
    finally:
        up.close()


def test_sigterm_drains_all_and_leaves_nobody(crew: Service) -> None:
    pids = list(workers(crew).values())
    body = {**SHORT, "model": "acme/gpt-x+tokens:60+tps:10", "stream": True}
    with (
        httpx.Client(base_url=crew.url, headers=HEADERS, timeout=30) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        crew.process.send_signal(signal.SIGTERM)
        until(lambda: crew.status("/healthz") == 0, "the port is closed", within=10)
        assert crew.status("/readyz", admin=True) == 503
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert crew.process.wait(20) == 0
    assert gone(pids)
    assert "Traceback" not in crew.log
