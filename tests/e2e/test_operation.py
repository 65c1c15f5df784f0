"""Running it: configuration that changes, keys made on the side, calls without the service token."""

import subprocess
import time
from pathlib import Path

import grpc
import httpx
import openai
import pytest
from omni_core.clients.router import RouterClient
from omni_core.identity import Caller
from omni_core.ports.context import CallContext
from omni_core.rpc import open_channel
from omni_wire.errors import GatewayError
from omniroute_proto.router.v1 import router_pb2

from tests.e2e.conftest import ADMIN, KEY, Gateway
from tests.support.stack import omniroute

HELLO = [{"role": "user", "content": "Hello there"}]


def cli(gateway: Gateway, *arguments: str) -> str:
    done = subprocess.run(
        omniroute(*arguments, "--data-dir", str(gateway.stack.data_dir)),
        capture_output=True, text=True, timeout=60, cwd=gateway.stack.data_dir.parent, check=True,
    )  # fmt: skip
    return done.stdout


def within(seconds: float, attempt: object) -> None:
    """Until ``attempt`` passes."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            attempt()  # type: ignore[operator]
        except (AssertionError, openai.APIStatusError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def test_a_key_made_on_the_side_works_at_once_and_not_after_it_is_revoked(gateway: Gateway) -> None:
    name = f"side-{gateway.stack.shape}"
    key = next(word for word in cli(gateway, "keys", "create", name).split() if word.startswith("or-"))
    ask = gateway.client(key).chat.completions.create
    within(3, lambda: ask(model="acme/sim", messages=HELLO))
    assert name in cli(gateway, "keys", "list")
    cli(gateway, "keys", "revoke", name)

    def refused() -> None:
        try:
            ask(model="acme/sim", messages=HELLO)
        except openai.AuthenticationError:
            return
        raise AssertionError("the revoked key still works")

    within(3, refused)


def test_a_changed_file_takes_effect_and_a_bad_one_keeps_the_old(gateway: Gateway) -> None:
    file = Path(gateway.stack.data_dir.parent / "omniroute.yaml")
    original = file.read_text()
    ask = gateway.client().chat.completions.create
    try:
        file.write_text(original.replace("always-on", "renamed"))
        within(5, lambda: ask(model="renamed", messages=HELLO))
        file.write_text(original.replace("tier: api_key", "tier: platinum"))

        def reported() -> None:
            rejected = gateway.stack.get("/api/system", ADMIN).text
            assert "tier" in rejected
            assert "omniroute.yaml" in rejected

        within(5, reported)
        ask(model="renamed", messages=HELLO)
    finally:
        file.write_text(original)
    within(5, lambda: ask(model="always-on", messages=HELLO))


def test_what_is_switched_off_is_gone_within_a_second_and_a_stream_of_it_ends_well(gateway: Gateway) -> None:
    file = Path(gateway.stack.data_dir.parent / "omniroute.yaml")
    original = file.read_text()
    client = gateway.client()
    ask = client.chat.completions.create
    paths = ("/v1/models", "/v1beta/models", "/api/tags")

    def listed(*names: str) -> bool:
        told = [httpx.get(gateway.stack.edge + path, headers={"authorization": f"Bearer {KEY}"}) for path in paths]
        return all(f'{name}"' in one.raise_for_status().text for one in told for name in names)

    def is_refused(model: str, why: str) -> None:
        told = f"{model} is served"
        try:
            ask(model=model, messages=HELLO)
        except openai.NotFoundError as error:
            told = error.message
        assert why in told

    assert listed("acme/gpt-x", "always-on", "falls-back")
    stream = ask(model="acme/sim+tokens:60+tps:20", messages=HELLO, stream=True)
    try:
        next(stream)
        file.write_text(original.replace("id: acme ", "id: acme\n    enabled: off "))
        within(5, lambda: is_refused("acme/gpt-x", "the provider 'acme' is switched off"))
        assert not any(listed(name) for name in ("acme/gpt-x", "acme/gpt-x+status:503"))
        assert listed("always-on")
        assert ask(model="always-on", messages=HELLO).choices, "the other target goes on"
        assert [chunk.choices[0].finish_reason for chunk in stream if chunk.choices][-1] == "stop"
        file.write_text(original.replace("cache: off, timeouts", "cache: off, blocked_providers: [claude], timeouts"))
        within(5, lambda: is_refused("claude/claude-x", "the provider 'claude' is switched off or blocked"))
        file.write_text(original.replace("name: always-on,", "name: always-on, enabled: off,"))
        within(5, lambda: is_refused("always-on", "there is no model 'always-on' here"))
        assert not listed("always-on")
        ask(model="claude/claude-x", messages=HELLO)
    finally:
        stream.close()
        file.write_text(original)
    within(5, lambda: ask(model="acme/gpt-x", messages=HELLO))


def test_the_last_good_snapshot_is_on_the_routers_disk_without_a_secret(gateway: Gateway) -> None:
    copy = (gateway.stack.data_dir / "router" / "snapshot.json").read_text()
    assert "acme/first" in copy
    assert "provider-secret-acme" not in copy


async def test_a_call_without_the_service_token_is_refused(gateway: Gateway) -> None:
    if gateway.stack.shape == "all":
        assert not gateway.stack.grpc, "one process listens for no gRPC"
        return
    for token in ("", "wrong"):
        metadata = [("omniroute-service-token", token)] if token else []
        async with grpc.aio.insecure_channel(gateway.stack.grpc["router"]) as channel:
            call = channel.unary_unary(
                "/omniroute.router.v1.RouterPort/Models",
                request_serializer=router_pb2.ModelsRequest.SerializeToString,
                response_deserializer=router_pb2.ModelsResponse.FromString,
            )
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(router_pb2.ModelsRequest(key_id="key-ci"), metadata=metadata, timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    channel = open_channel(gateway.stack.grpc["router"], Caller(("edge",), gateway.stack.token))
    try:
        assert await RouterClient(channel).models(CallContext("r"), "key-ci")
        with pytest.raises(GatewayError):
            await RouterClient(channel).models(CallContext("r"), "key-nobody")
    finally:
        await channel.close()


def test_the_page_and_its_parts_are_served(gateway: Gateway) -> None:
    page = httpx.get(f"{gateway.stack.dashboard}/")
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
