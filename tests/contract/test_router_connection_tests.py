"""Tests of accounts and proxies by a real router: what is asked, what is told, and what is written down."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.proxies import Egress, Proxy
from omni_core.ports.context import CallContext
from omni_wire.errors import InvalidRequest
from omni_wire.formats import WireFormat

from tests.support.proxies import ConnectProxy
from tests.support.router import Harness, harness, provider
from tests.support.scripted import answering, scripted

CONTEXT = CallContext("a-test")
SEEN = b'HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\n{"origin": "203.0.113.77"}'


@pytest.fixture
async def router(redis_url: str) -> AsyncIterator[Harness]:
    async with harness(redis_url) as made:
        yield made


def configured(router: Harness, made: s.Provider, **changes: Any) -> None:
    router.configure(made)
    assert router.service._catalogue is not None
    router.use(msgspec.structs.replace(router.service._catalogue.snapshot, revision=99, **changes))


def office(port: int, **more: Any) -> Proxy:
    return Proxy(name="office", kind="http", host="127.0.0.1", port=port, allow_private=True, **more)


async def test_the_models_are_listed_where_there_is_a_list_and_nothing_is_used(router: Harness) -> None:
    configured(router, provider("acme", f"{router.simulator.url}/v1"))
    found = await router.service.test_account(CONTEXT, "acme/first")
    assert (found.ok, found.asked, found.status, found.code) == (True, "models", 200, ""), found
    assert await router.events() == ([], [])


@pytest.mark.parametrize("wire_format", [WireFormat.OPENAI_CHAT, WireFormat.ANTHROPIC_MESSAGES])
async def test_a_model_that_is_named_is_asked_for_a_token_on_nobodys_budget(
    router: Harness, wire_format: WireFormat
) -> None:
    base = router.simulator.url + ("/v1" if wire_format is WireFormat.OPENAI_CHAT else "")
    configured(router, provider("acme", base, wire_format))
    found = await router.service.test_account(CONTEXT, "acme/first", "m")
    assert (found.ok, found.asked, found.model) == (True, "completion", "m"), found
    (attempt,), requests = await router.events()
    assert (attempt.key_id, attempt.account_id, attempt.outcome, requests) == ("internal", "acme/first", "ok", [])
    assert attempt.usage.output_tokens > 0
    assert attempt.cost_nano_usd > 0
    assert await router.open_holds() == 0


async def test_it_goes_the_way_of_the_accounts_calls_and_tells_from_where_that_is(router: Harness) -> None:
    async with ConnectProxy() as proxy, scripted(answering(SEEN)) as echo:
        account = s.Account(
            id="acme/first", name="first", secret_version="1",
            egress=(Egress(proxy=office(proxy.port), level="provider"),),
        )  # fmt: skip
        configured(router, provider("acme", f"{router.simulator.url}/v1", accounts=(account,)), echo_url=echo.url)
        found = await router.service.test_account(CONTEXT, "acme/first")
        assert (found.ok, found.proxy, found.level) == (True, "office", "provider"), found
        assert len(proxy.asked) == 2
        proxy.manner = "cuts"
        found = await router.service.test_account(CONTEXT, "acme/first")
        assert (found.ok, found.code, found.proxy, found.level) == (False, "proxy_cut", "office", "provider")
        assert "proxies/office" in found.message


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", "does not take this account's key"),
        (b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", "look at base_url"),
        (b"HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n", "the key is taken"),
        (b"HTTP/1.1 302 No\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n", "302"),
        (b"garbage\r\n\r\n", "not HTTP"),
    ],
    ids=["a wrong key", "a wrong address", "too often", "a redirect, not followed", "not HTTP"],
)
async def test_what_went_wrong_is_told_with_what_to_do(router: Harness, answer: bytes, says: str) -> None:
    async with scripted(_to_gets(answer)) as server:
        configured(router, provider("acme", server.url))
        found = await router.service.test_account(CONTEXT, "acme/first")
    assert not found.ok
    assert says in found.message
    assert "secret-of" not in found.message


def _to_gets(answer: bytes) -> Any:
    async def play(peer: Any) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(answer)

    return play


async def test_a_provider_at_a_private_address_is_told_as_such(router: Harness) -> None:
    configured(router, provider("acme", "http://10.1.2.3/v1", allow_private_address=False))
    found = await router.service.test_account(CONTEXT, "acme/first")
    assert (found.ok, found.code) == (False, "address_refused")


async def test_what_is_not_there_is_told_apart(router: Harness) -> None:
    configured(router, provider("acme", router.simulator.url))
    for asked in (router.service.test_account(CONTEXT, "acme/none"), router.service.test_proxy(CONTEXT, "none")):
        with pytest.raises(InvalidRequest) as raised:
            await asked
        assert raised.value.status == 404


async def test_a_proxy_tells_its_address_or_that_its_tunnel_opened(router: Harness) -> None:
    async with ConnectProxy() as proxy, scripted(_to_gets(SEEN)) as echo:
        proxies = (office(proxy.port),)
        configured(router, provider("acme", f"{router.simulator.url}/v1"), proxies=proxies)
        found = await router.service.test_proxy(CONTEXT, "office")
        assert (found.ok, found.asked, found.egress) == (True, "tunnel", ""), found
        configured(router, provider("acme", f"{router.simulator.url}/v1"), proxies=proxies, echo_url=echo.url)
        router.use(msgspec.structs.replace(router.service._catalogue.snapshot, revision=100))  # type: ignore[union-attr]
        found = await router.service.test_proxy(CONTEXT, "office")
        assert (found.ok, found.asked, found.egress) == (True, "echo", "203.0.113.77"), found
        proxy.manner = "says 403"
        found = await router.service.test_proxy(CONTEXT, "office")
        assert (found.ok, found.code) == (False, "proxy_refused")
