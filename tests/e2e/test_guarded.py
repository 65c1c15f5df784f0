"""Everything locked: certificates between all services and to NATS, a user with the least rights for each in Redis and
NATS. All come up, work, and are refused what is not theirs."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from omni_simulator import Simulator

from tests.support.fleet import HELLO, KEY, config, eventually
from tests.support.guarded import GuardedFleet, guarded_fleet
from tests.support.stack import simulator


@pytest.fixture(scope="module")
def provider() -> Iterator[Simulator]:
    with simulator() as made:
        yield made


@pytest.fixture(scope="module")
def fleet(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedFleet]:
    with guarded_fleet(tmp_path_factory.mktemp("guarded"), config(provider.url)) as made:
        yield made


def test_completions_go_through_and_are_accounted_for(fleet: GuardedFleet) -> None:
    for model in ("acme/sim+say:hello", "claude/sim+say:hello"):
        answer = fleet.ask(model)
        assert answer.status_code == 200, answer.text
        assert "hello" in answer.text
    body = {"model": "claude/sim", "messages": HELLO, "stream": True}
    url, headers = f"{fleet.edge}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
    with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as streamed:
        assert streamed.read().endswith(b"data: [DONE]\n\n")
    eventually(lambda: fleet.totals().get("requests") == 3, 30, fleet.totals)
    assert fleet.open_reservations() == 0


def test_a_router_may_do_all_that_it_takes_to_tell_an_answer_again(fleet: GuardedFleet) -> None:
    """Attached, which takes a bell, and replayed, which does not; only what waits for another router rings one."""
    second = fleet.start("router").ready()
    edge = fleet["edge"][0]
    eventually(lambda: edge.metric("omniroute_pool_members", service="router", state="ready") == 2, 10)
    url, body = f"{fleet.edge}/v1/chat/completions", {"model": "acme/sim+latency:3000", "messages": HELLO}
    headers = {"authorization": f"Bearer {KEY}", "idempotency-key": "guarded"}

    def ask() -> str:
        answer = httpx.post(url, json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.headers.get("x-omniroute-idempotent", "")

    with ThreadPoolExecutor(8) as pool:
        marks = [each.result() for each in [pool.submit(ask) for _ in range(8)]]
    assert sorted(marks) == [""] + ["attached"] * 7
    assert ask() == "replay"
    assert min(each.metric("omniroute_router_recordings_total") for each in (*fleet["router"][:1], second)) > 0


def test_the_console_of_every_process_answers_the_dashboard(fleet: GuardedFleet) -> None:
    found = fleet.get("/api/system").json()["processes"]
    instances = {process["instance"] for process in found}
    assert len(instances) >= 7
    for instance in instances:
        lines = fleet.get(f"/api/logs?kind=console&limit=1&process={instance}").json()["items"]
        assert lines[0]["line"]["msg"], instance


def test_everybody_is_ready_and_nobody_was_refused_anything(fleet: GuardedFleet) -> None:
    for replica in fleet:
        assert replica.is_ready(), replica.readyz()
        assert not re.search("refused /|refuses|NOPERM|NoPermission", replica.log()), replica.log()
    assert [line for line in fleet.nats.log.splitlines() if re.search("Violation|Authorization", line)] == []
