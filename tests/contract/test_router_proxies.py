"""A router whose accounts go out through proxies: what clients get, and what is written down."""

from collections.abc import AsyncIterator

import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.proxies import Egress, Proxy
from omni_core.outbound_health import FAILURES
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_wire.errors import CredentialUnavailable, GatewayError, ProxyFailed

from tests.support.proxies import ConnectProxy, SocksProxy
from tests.support.router import Harness, harness, provider

USER, PASSWORD = "secret-of-proxy", "office"  # as the harness' auth tells


@pytest.fixture
async def router(redis_url: str) -> AsyncIterator[Harness]:
    async with harness(redis_url) as made:
        yield made


def account(name: str, *ways: Egress) -> s.Account:
    return s.Account(id=f"acme/{name}", name=name, secret_version="1", egress=ways)


def way(kind: str, port: int, level: str) -> Egress:
    office = Proxy(name="office", kind=kind, host="127.0.0.1", port=port, secret_version="1", allow_private=True)
    return Egress(proxy=office, level=level)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_account_goes_out_through_its_proxy_with_its_password(router: Harness, stream: bool) -> None:
    async with SocksProxy(USER, PASSWORD) as proxy:
        accounts = (account("first", way("socks5", proxy.port, "account")),)
        router.configure(provider("acme", f"{router.simulator.url}/v1", accounts=accounts))
        head, body = await router.ask("acme/m", stream=stream)
        assert (head.status, bool(body), len(proxy.asked)) == (200, True, 1)
    (attempt,), _ = await router.events()
    assert (attempt.proxy, attempt.proxy_level, attempt.outcome) == ("office", "account", "ok")
    assert router.auth.asked == ["acme/first", "proxy:office"]


async def test_a_broken_proxy_is_no_evidence_against_the_account_and_the_next_one_answers(router: Harness) -> None:
    async with ConnectProxy(USER, PASSWORD) as proxy:
        proxy.manner = "garbage"
        accounts = (account("first", way("http", proxy.port, "global")), account("second"))
        routing = s.Routing(breaker=s.BreakerPolicy(failures=1))
        router.configure(provider("acme", f"{router.simulator.url}/v1", accounts=accounts), routing=routing)
        for _ in range(FAILURES):
            assert (await router.ask("acme/m"))[0].status == 200
        proxy.manner = "well"
    attempts, _ = await router.events()
    assert [(each.account_id, each.error_kind, each.proxy, each.proxy_level) for each in attempts] == [
        ("acme/first", "proxy_failed", "office", "global"),
        ("acme/second", "", "", ""),
    ] * FAILURES
    assert not [name async for name in router.redis.scan_iter("circuit:*acme/first*")]


async def test_the_client_is_told_which_proxy_it_was_and_never_its_password(router: Harness) -> None:
    async with ConnectProxy("somebody", "else") as proxy:
        accounts = (account("first", way("http", proxy.port, "provider")),)
        router.configure(provider("acme", f"{router.simulator.url}/v1", accounts=accounts))
        with pytest.raises(GatewayError, match="the proxy office does not take its user and password") as raised:
            await router.ask("acme/m")
        assert isinstance(raised.value, ProxyFailed)
        assert USER not in str(raised.value)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_proxy_whose_password_cannot_be_had_is_not_gone_around_and_nothing_is_charged(
    router: Harness, stream: bool
) -> None:
    credential = router.auth.credential

    async def without_the_proxys(context: CallContext, account_id: str) -> Credential:
        if account_id.startswith("proxy:"):
            raise CredentialUnavailable("the vault is sealed")
        return await credential(context, account_id)

    router.auth.credential = without_the_proxys  # type: ignore[method-assign]
    async with ConnectProxy(USER, PASSWORD) as proxy:
        ways = (way("http", proxy.port, "account"), Egress(level="account"))
        router.configure(provider("acme", f"{router.simulator.url}/v1", accounts=(account("first", *ways),)))
        with pytest.raises(CredentialUnavailable):
            await router.ask("acme/m", stream=stream)
        assert (len(proxy.asked), len(router.simulator.requests)) == (0, 0)
    attempts, (request,) = await router.events()
    assert [(each.cost_nano_usd, each.usage.input_tokens) for each in attempts] in ([], [(0, 0)])
    assert request.cost_nano_usd == 0
