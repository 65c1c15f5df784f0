"""Accounts' quotas over real HTTP, from the simulator's usage addresses, with real Redis: asked for by one at a time,
kept, shown, and acted on."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import msgspec
import pytest
from omni_catalogue import snapshot as s
from omni_catalogue.proxies import Egress, Proxy
from omni_catalogue.quotas import Quota, QuotaWindow
from omni_core.ports.auth import Credential
from omni_core.ports.context import CallContext
from omni_core.ports.quota import AccountQuota
from omni_core.redis import open_redis
from omni_core.telemetry import new_registry
from omni_core.web import HttpWeb
from omni_ledger import Grant, Janitor, Quotas, Refusal
from omni_quota.adapters.metrics import PrometheusMeter
from omni_quota.service.accounts import Accounts
from omni_quota.settings import QuotaSettings
from omni_simulator import Options, Simulator
from omni_simulator.plans import ADDRESSES
from omni_simulator.script import read_script
from omni_wire.errors import CredentialUnavailable, InvalidRequest, RateLimited
from omni_wire.formats import WireFormat

from tests.support.ledger import POLICY, allowance, hold, level, open_ledger, settlement
from tests.support.proxies import ConnectProxy

# By vendor: the path at the simulator, and the windows that a plan of ten with one used has.
VENDORS = {
    "claude-code": ("/api/oauth/usage", {"5h": 0.9, "week": 0.99}),
    "codex": ("/backend-api/wham/usage", {"5h": 0.9, "week": 0.99}),
    "copilot": ("/copilot_internal/user", {"month:premium": 0.9, "month:chat": None}),
    "gemini-cli": ("/v1internal:retrieveUserQuota", {"day:gemini-2.5-pro": 0.9}),
    "antigravity": ("/v1internal:fetchAvailableModels", {"5h:gemini-3-pro": 0.9}),
    "kiro": ("/usage-limits", {"month": 0.9}),
    "glm": ("/api/monitor/usage/quota/limit", {"5h": 0.9}),
    "kimi": ("/coding/v1/usages", {"5h": 0.9, "week": 0.99}),
    "minimax": ("/v1/api/openplatform/coding_plan/remains", {"5h": 0.9}),
    "openrouter": ("/api/v1/key", {"once": 0.9}),
}
SETTINGS = QuotaSettings(refresh_gap=0.0, ask_within=2.0)
TOKEN = "a-static-token-of-nobody"


class Vault:
    """AuthPort, as far as quotas need it."""

    def __init__(self) -> None:
        self.asked = 0
        self.failure: Exception | None = None

    async def credential(self, context: CallContext, account_id: str) -> Credential:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return Credential(TOKEN, "1")


class Desk:
    """Replicas of what looks after accounts, over one Redis and one simulated provider."""

    def __init__(self, url: str, simulator: Simulator, stack: AsyncExitStack) -> None:
        self.url, self.simulator, self.stack, self.vault = url, simulator, stack, Vault()
        self.snapshot: s.Snapshot | None = None
        self.registry = new_registry()
        self.meter = PrometheusMeter(self.registry)

    def configure(
        self,
        quota: Quota,
        *,
        names: tuple[str, ...] = ("first",),
        allow_private: bool = True,
        egress: tuple[Egress, ...] = (),
    ) -> None:
        self.snapshot = s.Snapshot(
            revision=1, created=0, server=s.Server(), combos=(), keys=(), routing=s.Routing(breaker=POLICY),
            providers=(
                s.Provider(
                    id="acme", format=WireFormat.OPENAI_CHAT, base_url=self.simulator.url,
                    allow_private_address=allow_private, models=(s.Model(id="*"), s.Model(id="small")),
                    accounts=tuple(
                        s.Account(id=f"acme/{name}", name=name, secret_version="1", quota=quota, egress=egress)
                        for name in names
                    ),
                ),
            ),
        )  # fmt: skip

    def ask(self, vendor: str, **more: object) -> Quota:
        return Quota(ask=vendor, url=self.simulator.url + VENDORS[vendor][0], **more)  # type: ignore[arg-type]

    async def replica(self, settings: QuotaSettings = SETTINGS) -> Accounts:
        redis = open_redis(self.url)
        book, janitor = Quotas(redis), Janitor(redis)
        for closing in (redis.aclose, janitor.close, book.close):
            self.stack.push_async_callback(closing)
        return Accounts(book, janitor, HttpWeb(), self.vault, self.meter, lambda: self.snapshot, settings)

    def says(self, vendor: str, body: bytes, status: int = 200) -> None:
        self.simulator.plans.said[VENDORS[vendor][0]] = (status, body)

    @property
    def questions(self) -> int:
        return sum(self.simulator.requests[path] for path in ADDRESSES)

    def left(self, window: str, account: str = "acme/first") -> float | None:
        labels = {"account": account, "window": window}
        return self.registry.get_sample_value("omniroute_provider_quota_remaining_ratio", labels)


@pytest.fixture
async def desk(clean_redis: str) -> AsyncIterator[Desk]:
    simulator = Simulator(options=Options(script="plan:10,plan-for:3600", require_key=TOKEN))
    await simulator.start()
    async with AsyncExitStack() as stack:
        yield Desk(clean_redis, simulator, stack)
    await simulator.stop()


def use(desk: Desk, times: int = 1) -> None:
    """As if the key had been used."""
    for _ in range(times):
        desk.simulator.plans.take(TOKEN, read_script("plan:10,plan-for:3600", "", ""), time.time())


def only(states: list[AccountQuota]) -> AccountQuota:
    (state,) = states
    return state


def shares(state: AccountQuota) -> dict[str, float | None]:
    return {window.name: None if window.share_left is None else round(window.share_left, 2) for window in state.windows}


@pytest.mark.parametrize("vendor", VENDORS)
async def test_every_vendors_address_is_asked_with_the_token_and_read(desk: Desk, vendor: str) -> None:
    use(desk)
    desk.configure(Quota(ask=vendor, url=desk.simulator.url + VENDORS[vendor][0], workspace="ws-12345678"))
    accounts = await desk.replica()
    state = await accounts.refresh("acme/first")
    assert shares(state) == VENDORS[vendor][1]
    assert (state.failures, state.reason, state.asks) == (0, "", True)
    assert all(window.source == "fetched" and not window.stale for window in state.windows)
    timed = [window.resets_at for window in state.windows if vendor != "openrouter"]
    assert all(time.time() < at for at in timed)
    (seen,) = desk.simulator.recent[-1:]
    assert TOKEN in (seen.header("authorization") or "")
    assert seen.header("chatgpt-account-id") == ("ws-12345678" if vendor == "codex" else None)
    assert only(await accounts.states()) == state


async def test_the_question_goes_out_as_the_accounts_calls_do(desk: Desk) -> None:
    async with ConnectProxy() as proxy:
        way = Proxy(name="office", kind="http", host="127.0.0.1", port=proxy.port, allow_private=True)
        desk.configure(desk.ask("claude-code"), egress=(Egress(proxy=way, level="global"),))
        accounts = await desk.replica()
        assert (await accounts.refresh("acme/first")).failures == 0
        assert len(proxy.asked) == desk.questions == 1


async def test_of_many_replicas_one_asks_and_all_know(desk: Desk) -> None:
    desk.configure(desk.ask("claude-code"), names=("first", "second", "third"))
    replicas = [await desk.replica() for _ in range(4)]
    await asyncio.gather(*(replica.poll() for replica in replicas))
    assert desk.questions == 3, "once an account"
    await asyncio.gather(*(replica.poll() for replica in replicas))
    assert desk.questions == 3, "and no more until it is due"
    for replica in replicas:
        assert [len(state.windows) for state in await replica.states()] == [2, 2, 2]


async def test_asked_for_by_hand_it_is_not_due_but_not_twice_in_a_moment(desk: Desk) -> None:
    desk.configure(desk.ask("codex"))
    accounts = await desk.replica(QuotaSettings(refresh_gap=30.0))
    await accounts.poll()
    with pytest.raises(RateLimited) as raised:
        await accounts.refresh("acme/first")
    assert 0 < (raised.value.retry_after or 0) <= 30
    again = await desk.replica(QuotaSettings(refresh_gap=0.0))
    await again.refresh("acme/first")
    assert desk.questions == 2
    with pytest.raises(InvalidRequest) as refused:
        await again.refresh("acme/nobody")
    assert refused.value.status == 404
    desk.configure(Quota(windows=(QuotaWindow(window="day", of="requests"),)))
    with pytest.raises(InvalidRequest):
        await again.refresh("acme/first")


def garbage(desk: Desk) -> None:
    desk.says("claude-code", b"<html>one moment please</html>")


def refused(desk: Desk) -> None:
    desk.says("claude-code", b'{"error":{"message":"bad token a-static-token-of-nobody"}}', 401)


def moved(desk: Desk) -> None:
    desk.says("claude-code", b'{"five_hour":{"utilization":"a lot"}}')


def huge(desk: Desk) -> None:
    desk.says("claude-code", b'{"x":"' + b"x" * (2 << 20) + b'"}')


def vault_away(desk: Desk) -> None:
    desk.vault.failure = CredentialUnavailable("the credential cannot be had")


def private(desk: Desk) -> None:
    desk.configure(desk.ask("claude-code"), allow_private=False)


def nobody_there(desk: Desk) -> None:
    desk.configure(Quota(ask="claude-code", url="http://127.0.0.1:1/api/oauth/usage"))


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (garbage, "not JSON"), (refused, "HTTP 401"), (moved, "no window"), (huge, "more than"),
        (vault_away, "credential"), (private, "private address"), (nobody_there, "cannot be reached"),
    ],
)  # fmt: skip
async def test_when_it_cannot_be_asked_what_was_known_stays_with_the_reason(
    desk: Desk, fault: Callable[[Desk], None], why: str
) -> None:
    use(desk, 5)
    desk.configure(desk.ask("claude-code"))
    accounts = await desk.replica()
    before = await accounts.refresh("acme/first")
    fault(desk)
    after = await accounts.refresh("acme/first")
    assert why in after.reason
    assert TOKEN not in after.reason
    assert after.failures == 1
    assert shares(after) == shares(before)
    assert all(window.stale for window in after.windows)
    assert after.fetched_ms == before.fetched_ms
    assert (await accounts.refresh("acme/first")).failures == 2


async def test_a_provider_that_never_answers_is_given_up_on_and_asked_later_each_time(desk: Desk) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    desk.configure(Quota(ask="codex", url=f"http://127.0.0.1:{port}/", every=100.0))
    accounts = await desk.replica(msgspec.structs.replace(SETTINGS, ask_within=0.2))
    redis = open_redis(desk.url)
    book = Quotas(redis)
    waits = []
    for _ in range(3):
        state = await accounts.refresh("acme/first")
        assert "within 0.2 s" in state.reason or "in 0.2 s" in state.reason
        waits.append((await book.claim("acme/first", 1.0)).wait)
    assert 180 <= waits[0] <= 220 < 360 <= waits[1] <= 440 < 720 <= waits[2] <= 880
    await book.close()
    await redis.aclose()
    server.close()
    await server.wait_closed()


async def test_an_account_with_nothing_left_is_skipped_until_it_has_some_again(desk: Desk) -> None:
    desk.configure(desk.ask("claude-code"))
    accounts = await desk.replica()
    use(desk, 9)
    await accounts.refresh("acme/first")
    await accounts.watch()
    assert desk.left("5h") == pytest.approx(0.1)
    async with open_ledger(desk.url) as (ledger, _, _registry):
        assert isinstance(await ledger.admit(hold("a", breaker=POLICY)), Grant)
        use(desk)
        await accounts.refresh("acme/first")
        await accounts.watch()
        assert desk.left("5h") == 0.0
        skipped = await ledger.admit(hold("b", breaker=POLICY))
        assert isinstance(skipped, Refusal)
        assert (skipped.circuit, skipped.cause, skipped.told) == ("acme/first", "quota", True)
        assert 3_500 < skipped.retry_after <= 3_600
        desk.simulator.plans.clear()  # bought more, or the provider had mercy
        await accounts.refresh("acme/first")
        await accounts.watch()
        assert isinstance(await ledger.admit(hold("c", breaker=POLICY)), Grant)


async def test_that_little_is_left_is_told_once_each_time_that_it_comes_to_be_so(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.configure(desk.ask("claude-code"))
    accounts = await desk.replica()

    async def looked() -> list[str]:
        caplog.clear()
        await accounts.refresh("acme/first")
        await accounts.watch()
        await accounts.watch()
        return [record.message for record in caplog.records if "quota" in record.message]

    use(desk, 7)
    assert await looked() == []
    use(desk)
    assert await looked() == ["a quota is running low"]
    assert await looked() == []
    desk.simulator.plans.clear()
    assert await looked() == []
    use(desk, 10)
    assert await looked() == ["a quota is used up"]


async def test_what_is_counted_is_gone_round_too_and_a_fetch_that_fails_lets_everybody_in(desk: Desk) -> None:
    day = QuotaWindow(window="day", of="requests", most=100)
    desk.configure(Quota(windows=(day,)))
    accounts = await desk.replica()
    async with open_ledger(desk.url) as (ledger, _, _registry):
        owner = day.owner("acme/first")
        for number in range(98):
            asked = level(owner, None, 0, allowance("requests", 100, "day", 1, warn=()))
            await ledger.admit(hold(f"a{number}", levels=(asked,)))
            ledger.settle_soon(settlement(f"a{number}"))
        assert await ledger.flush(5.0)
        await accounts.watch()
        skipped = await ledger.admit(hold("b", breaker=POLICY))
        assert isinstance(skipped, Refusal)
        assert skipped.cause == "quota"
        use(desk, 10)
        desk.configure(desk.ask("claude-code"))
        await accounts.refresh("acme/first")
        garbage(desk)
        await accounts.refresh("acme/first")
        await accounts.watch()
        assert isinstance(await ledger.admit(hold("c", breaker=POLICY)), Grant), "stale: it is tried"


async def test_one_models_window_closes_it_for_that_model_alone(desk: Desk) -> None:
    desk.configure(desk.ask("antigravity"))
    desk.says(
        "antigravity",
        b'{"models":{"small":{"quotaInfo":{"remainingFraction":0,"resetTime":"%d"}}}}' % (time.time() + 900),
    )
    accounts = await desk.replica()
    await accounts.refresh("acme/first")
    await accounts.watch()
    async with open_ledger(desk.url) as (ledger, _, _registry):
        assert isinstance(await ledger.admit(hold("a", breaker=POLICY, circuits=("acme/first other",))), Grant)
        skipped = await ledger.admit(hold("b", breaker=POLICY, circuits=("acme/first small",)))
        assert isinstance(skipped, Refusal)
        assert skipped.circuit == "acme/first small"


async def test_without_breakers_nobody_is_left_alone(desk: Desk) -> None:
    use(desk, 10)
    desk.configure(desk.ask("claude-code"))
    assert desk.snapshot is not None
    desk.snapshot = msgspec.structs.replace(desk.snapshot, routing=s.Routing(breaker=None))
    accounts = await desk.replica()
    assert shares(await accounts.refresh("acme/first"))["5h"] == 0.0
    await accounts.watch()
    async with open_ledger(desk.url) as (ledger, _, _registry):
        assert isinstance(await ledger.admit(hold("a", breaker=POLICY)), Grant)
