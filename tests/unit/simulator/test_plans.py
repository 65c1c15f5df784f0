"""Plans: so many requests in a window, told in headers and at the vendors' usage addresses."""

import httpx
import pytest
from omni_simulator import Options, Simulator
from omni_simulator.plans import ADDRESSES, Plan


async def test_a_key_may_ask_so_often_and_is_told_what_it_has_used() -> None:
    simulator = Simulator(options=Options(script="plan:2,plan-for:600"))
    await simulator.start()
    async with httpx.AsyncClient(base_url=simulator.url, headers={"authorization": "Bearer k"}) as http:
        hello = {"model": "sim", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
        first = await http.post("/v1/messages", json=hello)
        assert first.headers["anthropic-ratelimit-unified-5h-utilization"] == "0.5000"
        second = await http.post("/v1/chat/completions", json=hello)
        assert second.headers["x-codex-primary-used-percent"] == "100.00"
        assert 595 <= int(second.headers["x-codex-primary-reset-after-seconds"]) <= 600
        third = await http.post("/v1/messages", json=hello)
        assert (third.status_code, "usage limit" in third.text) == (429, True)
        usage = (await http.get("/api/oauth/usage")).json()
        assert usage["five_hour"]["utilization"] == 100
        other = await http.get("/api/oauth/usage", headers={"authorization": "Bearer other"})
        assert other.json()["five_hour"]["utilization"] == 0
    await simulator.stop()


@pytest.mark.parametrize("path", ADDRESSES)
async def test_each_vendors_address_answers_its_method_and_no_other(path: str) -> None:
    simulator = Simulator(options=Options(script="plan:4", require_key="k"))
    await simulator.start()
    method = ADDRESSES[path][0].decode()
    async with httpx.AsyncClient(base_url=simulator.url, headers={"authorization": "Bearer k"}) as http:
        assert (await http.request(method, path)).status_code == 200
        assert (await http.request({"GET": "POST", "POST": "GET"}[method], path)).status_code == 405
        assert (await http.request(method, path, headers={"authorization": "Bearer x"})).status_code == 401
        simulator.plans.said[path] = (503, b"<html>")
        assert (await http.request(method, path)).status_code == 503
    await simulator.stop()


async def test_without_a_plan_there_is_nothing_to_tell() -> None:
    simulator = Simulator()
    await simulator.start()
    async with httpx.AsyncClient(base_url=simulator.url) as http:
        assert (await http.get("/api/oauth/usage")).status_code == 404
    await simulator.stop()


def test_a_window_that_is_over_begins_anew_with_the_next_use() -> None:
    plan = Plan(4, 100, used=4, began=1_000.0, week_used=9, week_began=1_000.0)
    plan.at(1_099.0)
    assert plan.used == 4
    plan.at(1_100.0)
    assert (plan.used, plan.ends, plan.week_used) == (0, 0, 9), "and nobody has used the next"
    plan.use(1_150.0)
    assert (plan.used, plan.ends, plan.week_used, plan.week_ends) == (1, 1_250, 10, 605_800)
