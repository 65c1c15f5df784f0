"""What still works, in real processes, while auth, its database and NATS are away, and that it mends itself."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from omni_core.bus import Bus
from omni_core.config_feed import BUCKET
from omni_core.config_feed import KEY as KEY_IN_BUCKET

from tests.support.fleet import HELLO, KEY, Fleet, eventually, fleet
from tests.support.signed import read, signed
from tests.support.stack import simulator

SECRET = "provider-secret-that-no-disk-may-see"
TTL = 6.0

CONFIG = """
server: {{require_api_key: {keys}}}
providers:
  - {{id: acme, format: openai.chat, base_url: "{base}/v1", allow_private_address: true,
     accounts: [{{name: first, api_key: {{value: {secret}}}}}], models: [{{id: "*"}}]}}
  - {{id: local, format: openai.chat, base_url: "{base}/v1", allow_private_address: true,
     accounts: [{{name: any, api_key: none}}], models: [{{id: "*"}}]}}
combos:
  - {{name: safe, strategy: fill-first, targets: [acme/sim, local/sim]}}
keys:
  - {{name: ci, secret: {{value: {key}}}}}
  - {{name: boss, secret: {{value: or-test-fleet-admin-0123456789}}, role: admin}}
routing: {{retries: 0, breaker: {{failures: 1, window: 60, open_for: 60}}, cache: off}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("away")
    env = {"OMNIROUTE_ROUTER_CREDENTIAL_TTL": str(TTL)}
    with simulator() as provider:
        text = CONFIG.format(base=provider.url, secret=SECRET, key=KEY, keys="false")
        with fleet(home, text, edges=0, translators=0, dashboards=1, env=env) as running:
            # Without NATS there is no list of routers to start from, so this edge is told.
            running.start("edge", {"OMNIROUTE_ROUTER_ADDR": running["router"][0].grpc}).ready()
            yield running


def ask(made: Fleet, model: str, key: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.post(
        f"{made.edge}/v1/chat/completions", json={"model": model, "messages": HELLO}, headers=headers, timeout=30
    )


def said(answer: httpx.Response) -> tuple[int, Any]:
    """Status and, where there is one, the error's code, as an OpenAI SDK reads them."""
    return answer.status_code, answer.json().get("error", {}).get("code")


def recovered(made: Fleet) -> None:
    needed = [made[name][0] for name in ("auth", "router", "edge")]
    for replica in needed:
        if not replica.running:
            replica.start()
    for replica in needed:
        replica.ready()
    eventually(lambda: said(ask(made, "acme/sim")) == (200, None), 20)


def on_disk(folder: Path, *texts: str) -> list[str]:
    """The files of a service's folder that hold one of ``texts``."""
    return [
        str(file)
        for file in folder.rglob("*")
        if file.is_file() and any(t.encode() in file.read_bytes() for t in texts)
    ]


def test_a_short_restart_of_auth_is_not_noticed(made: Fleet) -> None:
    recovered(made)
    auth, until = made["auth"][0], time.monotonic() + TTL / 2
    auth.kill()
    answers = set()
    while time.monotonic() < until:
        answers.add(said(ask(made, "acme/sim")))
        time.sleep(0.05)
        if not auth.running and time.monotonic() > until - TTL / 4:
            auth.start()
    assert answers == {(200, None)}
    auth.ready()


def test_a_running_router_goes_on_as_long_as_its_credentials_last_and_recovers_by_itself(made: Fleet) -> None:
    recovered(made)
    made["auth"][0].kill()
    gone, last = time.monotonic(), 0.0
    while said(ask(made, "acme/sim")) == (200, None):
        last = time.monotonic() - gone
        assert last < TTL + 1, "a credential outlives its time"
        time.sleep(0.1)
    assert last > 0  # how long depends on how old the credential was by then, which a busy machine decides
    assert said(ask(made, "acme/sim")) == (503, "credential_unavailable")
    assert said(ask(made, "local/sim")) == (200, None)
    assert said(ask(made, "safe")) == (200, None)
    made["auth"][0].start()
    eventually(lambda: said(ask(made, "acme/sim")) == (200, None), 20)
    recovered(made)


def test_router_and_edge_start_from_their_last_good_snapshot_and_serve_what_needs_no_credential(made: Fleet) -> None:
    recovered(made)
    auth, router, edge = made["auth"][0], made["router"][0], made["edge"][0]
    made.nats.kill()
    for replica in (auth, router, edge):
        replica.kill()
    kept = [
        read((one.data_dir / one.service / "snapshot.json").read_bytes(), made.token).revision for one in (router, edge)
    ]
    router.start().ready()
    edge.start().ready()  # it serves those who need no key
    assert router.metric("omniroute_router_config_revision") == kept[0]
    assert said(ask(made, "local/sim")) == (200, None)
    assert said(ask(made, "acme/sim")) == (503, "credential_unavailable")
    assert said(ask(made, "safe")) == (200, None)
    # Nobody can say whose key this is, which does not make it a wrong one.
    assert said(ask(made, "local/sim", KEY)) == (503, "service_unavailable")
    # What changes meanwhile arrives when the way is free again.
    made.file.write_text(made.file.read_text().replace("name: safe", "name: safer"))
    auth.start()
    made.nats.start()
    eventually(lambda: said(ask(made, "safer")) == (200, None), 20, router.log)
    eventually(lambda: said(ask(made, "acme/sim")) == (200, None), 20)
    eventually(lambda: said(ask(made, "acme/sim", KEY)) == (200, None), 20)
    made.file.write_text(made.file.read_text().replace("name: safer", "name: safe"))
    eventually(lambda: said(ask(made, "safe")) == (200, None), 20)
    recovered(made)


def test_where_a_key_is_required_an_edge_without_auth_says_503_and_not_401(made: Fleet) -> None:
    recovered(made)
    text = made.file.read_text()
    made.file.write_text(text.replace("require_api_key: false", "require_api_key: true"))
    eventually(lambda: said(ask(made, "local/sim")) == (401, "invalid_api_key"), 20)
    made["auth"][0].kill()
    made["edge"][0].kill()
    made["edge"][0].start()
    eventually(lambda: _answers(made), 30)
    assert said(ask(made, "local/sim", KEY)) == (503, "service_unavailable")
    assert said(ask(made, "local/sim")) == (401, "invalid_api_key")
    made["auth"][0].start()
    eventually(lambda: said(ask(made, "local/sim", KEY)) == (200, None), 20)
    made.file.write_text(text)
    recovered(made)


def _answers(made: Fleet) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"{made.edge}/healthz", timeout=2).status_code == 200
    return False


def test_a_process_that_will_not_take_what_is_published_is_named_with_its_reason(made: Fleet) -> None:
    """It has a newer one on disk, as after a loss of both auth's data and NATS's: nothing older overrules that."""
    recovered(made)
    router = made["router"][0]
    file = router.data_dir / "router" / "snapshot.json"
    router.terminate()
    assert router.wait() == 0
    good = file.read_bytes()
    ahead = msgspec.structs.replace(read(good, made.token), revision=1_000_000)
    file.write_bytes(signed(ahead, made.token))
    router.start().ready()

    def named() -> bool:
        found = made.get("/api/system").json()
        router_now = [one for one in found["processes"] if one["service"] == "router" and one["revision"] == 1_000_000]
        return (
            not found["in_step"]
            and bool(router_now)
            and router_now[0]["refused_revision"] == found["config"]["revision"]
            and "older" in router_now[0]["refused_reason"]
        )

    eventually(named, 15, lambda: made.get("/api/system").text)
    router.terminate()
    assert router.wait() == 0
    file.write_bytes(good)
    router.start().ready()
    eventually(lambda: bool(made.get("/api/system").json()["in_step"]), 25, lambda: made.get("/api/system").text)


def test_a_configuration_that_auth_has_not_signed_changes_nothing_for_anybody(made: Fleet) -> None:
    """Neither in NATS nor on a router's disk."""
    recovered(made)
    router, auth = made["router"][0], made["auth"][0]
    file = router.data_dir / "router" / "snapshot.json"
    good = file.read_bytes()
    evil = msgspec.structs.replace(read(good, made.token), revision=(1 << 53) - 1, providers=(), combos=(), keys=())
    asyncio.run(_put(made.nats.url, signed(evil, "another token")))

    def refused() -> bool:
        return all(
            one.metric(f"omniroute_{one.service}_config_not_signed_total") >= 1
            for one in (auth, router, made["edge"][0])
        )

    eventually(refused, 15, router.log)
    assert said(ask(made, "acme/sim")) == (200, None)
    eventually(lambda: bool(made.get("/api/system").json()["in_step"]), 15, lambda: made.get("/api/system").text)
    assert auth.metric("omniroute_auth_config_revision") == read(good, made.token).revision
    made.nats.kill()
    router.terminate()
    assert router.wait() == 0
    file.write_bytes(good.replace(b'"created":', b'"created":1', 1))
    router.start()
    eventually(lambda: "snapshot.json: its signature is wrong" in router.log(), 15, router.log)
    assert not router.is_ready()
    made.nats.start()
    router.ready()
    recovered(made)
    assert said(ask(made, "acme/sim")) == (200, None)
    assert file.read_bytes() == good


async def _put(url: str, value: bytes) -> None:
    bus = Bus(url, name="somebody")
    try:
        await bus.kv_put(BUCKET, KEY_IN_BUCKET, value)
    finally:
        await bus.close()


def test_no_secret_is_on_the_disk_of_a_router_or_an_edge(made: Fleet) -> None:
    recovered(made)
    for replica in (made["router"][0], made["edge"][0]):
        assert (replica.data_dir / replica.service / "snapshot.json").exists()
        assert on_disk(replica.data_dir, SECRET, KEY) == []
