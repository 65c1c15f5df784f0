"""The gateway: edge, router and translator in one process, in front of a control plane over gRPC."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from openai import OpenAI

from tests.support.household import HEADERS, KEY, SHORT, Household, household
from tests.support.service import Service, until


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Household]:
    with household(tmp_path_factory.mktemp("house")) as made:
        yield made


@pytest.fixture
def gateway(house: Household) -> Iterator[Service]:
    running = Service("gateway", house.home, house.env).ready()
    yield running
    running.close()


@contextmanager
def stream(gateway: Service, model: str) -> Iterator[httpx.Response]:
    body = {**SHORT, "model": model, "stream": True}
    with (
        httpx.Client(base_url=gateway.url, headers=HEADERS, timeout=30) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        yield answer


def test_it_answers_as_one_process_with_one_port(gateway: Service) -> None:
    with OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=30) as client:
        chunks = client.chat.completions.create(
            model="acme/gpt-x+say:hello", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello"
    named = gateway.get("/readyz").json()["checks"]
    assert {"router", "auth", "configuration", "router.redis", "router.config", "translator.codecs"} <= set(named)
    page = gateway.get("/metrics").text
    assert all(family in page for family in ("omniroute_edge_requests_total", "omniroute_router_requests_total"))
    listening = [
        found.laddr.port
        for found in psutil.Process(gateway.process.pid).net_connections("tcp")
        if found.status == psutil.CONN_LISTEN
    ]
    assert listening == [gateway.port], "what is wired inside needs no port"
    assert gateway.end() == 0


def test_on_sigterm_it_takes_nothing_new_finishes_its_stream_and_hands_over_what_was_used(
    house: Household, gateway: Service
) -> None:
    before = house.usage()
    with stream(gateway, "acme/gpt-x+tokens:20+tps:15") as slow:
        lines = slow.iter_lines()
        next(lines)
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: gateway.status("/healthz") == 0, "its port is closed", within=5)
        assert gateway.process.poll() is None
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert gateway.process.wait(20) == 0
    until(lambda: house.usage() == before + 1, "the request is counted", within=10)
    assert "Traceback" not in gateway.log


def test_before_it_drains_it_goes_on_for_as_long_as_others_need_to_notice(house: Household) -> None:
    gateway = Service("gateway", house.home, house.env | {"OMNIROUTE_DRAIN_DELAY": "3"}).ready()
    try:
        with httpx.Client(base_url=gateway.url, headers=HEADERS, timeout=30) as client:
            kept = client.post("/v1/chat/completions", json=SHORT)
            assert "connection" not in kept.headers
            gateway.process.send_signal(signal.SIGTERM)
            until(lambda: gateway.status("/readyz") == 503, "/readyz says no")
            told = client.post("/v1/chat/completions", json=SHORT)
            assert (told.status_code, told.headers["connection"]) == (200, "close")
            assert gateway.lacking() == {"process.accepting"}
        with stream(gateway, "acme/gpt-x+tokens:30+tps:10") as slow:
            assert slow.status_code == 200
            assert slow.headers["connection"] == "close"
            assert list(slow.iter_lines())[-2:] == ["data: [DONE]", ""]
        assert gateway.process.wait(20) == 0
    finally:
        gateway.close()


def test_what_does_not_end_in_time_is_ended_with_an_error_of_its_dialect(house: Household) -> None:
    gateway = Service("gateway", house.home, house.env | {"OMNIROUTE_DRAIN_SECONDS": "1"}).ready()
    try:
        before = house.usage()
        with stream(gateway, "acme/gpt-x+tokens:1000+tps:5") as hanging:
            lines = hanging.iter_lines()
            next(lines)
            gateway.process.send_signal(signal.SIGTERM)
            last = [line for line in lines if line][-1]
        assert '"error"' in last
        assert "shutting down" in last
        assert gateway.process.wait(15) == 0
        until(lambda: house.usage() == before + 1, "the request is counted", within=10)
    finally:
        gateway.close()


def test_a_second_signal_ends_it_at_once(gateway: Service) -> None:
    with stream(gateway, "acme/gpt-x+tokens:1000+tps:1") as hanging:
        lines = hanging.iter_lines()  # dropping it would close the connection
        next(lines)
        gateway.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in gateway.log, "it has heard")
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.process.wait(20) == 128 + signal.SIGINT


def test_it_says_which_server_it_misses_and_that_a_router_has_no_workers(tmp_path: Path) -> None:
    alone = Service("gateway", tmp_path, {})
    assert alone.process.wait(20) == 1
    assert "'omniroute run gateway' needs Redis. Set OMNIROUTE_REDIS_URL" in alone.log
    several = Service("router", tmp_path, {}, "--workers", "2")
    assert several.process.wait(20) == 1
    assert "'omniroute run router' cannot have workers" in several.log
