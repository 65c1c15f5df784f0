"""The simulator as a process of its own, on the event loop it is run with."""

import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.unit.simulator.asking import Told, body

PROGRAM = """
from omni_simulator import Options, run
run("127.0.0.1", 0, options=Options(script="tokens:2"), ready=lambda simulator: print(simulator.url, flush=True))
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as running:
        yield running
        if running.poll() is None:
            running.kill()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_asked_to_stop(process: subprocess.Popen[str], sign: signal.Signals):
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    with httpx.Client(base_url=url, trust_env=False) as http:
        told = Told.of("chat", http.post("/v1/chat/completions", json=body("chat", "sim+latency:1", stream=True)))
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            http.post("/v1/chat/completions", json=body("chat", "sim+reset"))
    assert told.text == "the gateway"
    process.send_signal(sign)
    assert process.wait(30) == 0
