"""Tokens are renewed by one holder at a time, and kept before they are used, whatever is killed when."""

import asyncio
import os
import subprocess
import sys

import msgspec
import pytest
from omni_auth.adapters.login_catalogue import OVERRIDES
from omni_auth.adapters.store.logins import SqlLogins
from omni_core.ports.configuration import ANYBODY
from omni_core.ports.logins import NewLogin
from omni_wire.errors import CredentialUnavailable, DependencyUnavailable

from tests.contract.logins.conftest import CODEX, SETTINGS, log_in
from tests.support.killed_login import STEPS

HANG = 40.0


async def until(condition) -> None:
    async with asyncio.timeout(HANG):
        while not condition():  # noqa: ASYNC110 - what it waits for is in another thread
            await asyncio.sleep(0.02)


async def test_tokens_are_renewed_before_they_end_while_the_old_ones_are_given_out(opened, provider):
    provider.oauth.lives = 20  # and a lead of 60 s: from the second half of its life on
    house = opened()
    info = await log_in(house, provider)
    first = await house.renewing.credential(info.id)
    assert provider.oauth.seen["refresh_token"] == 0
    house.renewing._now = lambda: info.ends - 9_000
    assert (await house.renewing.credential(info.id)).secret == first.secret
    await until(lambda: provider.oauth.seen["refresh_token"] == 1)
    await until(lambda: not house.renewing._renewing)
    renewed = await house.renewing.credential(info.id)
    assert renewed.secret != first.secret
    assert provider.oauth.is_live(renewed.secret)


async def test_the_look_renews_what_nobody_asks_for(opened, provider):
    provider.oauth.lives = 20
    house = opened()
    info = await log_in(house, provider)
    await house.renewing.look()
    assert provider.oauth.seen["refresh_token"] == 0
    house.renewing._now = lambda: info.ends - 9_000
    await house.renewing.look()
    await until(lambda: provider.oauth.seen["refresh_token"] == 1)
    await house.renewing.close()


async def test_who_asks_when_it_is_over_waits_for_the_new_one(opened, provider):
    house = opened()
    info = await log_in(house, provider)
    house.renewing._now = lambda: info.ends + 1
    assert provider.oauth.is_live((await house.renewing.credential(info.id)).secret)


async def test_ten_who_were_refused_renew_once(opened, provider):
    house = opened()
    info = await log_in(house, provider)
    seen = await house.renewing.credential(info.id)
    fresh = await asyncio.gather(*(house.renewing.refused(info.id, seen.version) for _ in range(10)))
    assert len({one.secret for one in fresh}) == 1
    assert fresh[0].version != seen.version
    assert provider.oauth.seen["refresh_token"] == 1


async def test_ten_processes_renew_once(opened, provider):
    """Each with its own pool of connections to the one database, as processes have them."""
    info = await log_in(opened(), provider)
    houses = [opened() for _ in range(10)]
    seen = str((await houses[0].renewing.credential(info.id)).version)
    fresh = await asyncio.gather(*(house.renewing.refused(info.id, seen) for house in houses))
    assert len({one.secret for one in fresh}) == 1
    assert provider.oauth.seen["refresh_token"] == 1


async def test_a_refusal_right_after_a_renewal_renews_nothing_more(opened, provider):
    house = opened(msgspec.structs.replace(SETTINGS, login_gap=30.0))
    info = await log_in(house, provider)
    seen = await house.renewing.credential(info.id)
    fresh = await house.renewing.refused(info.id, seen.version)
    with pytest.raises(CredentialUnavailable, match="only just now"):
        await house.renewing.refused(info.id, fresh.version)
    assert provider.oauth.seen["refresh_token"] == 1


async def test_a_holder_that_was_held_up_overwrites_nothing(opened, provider):
    house = opened()
    info = await log_in(house, provider)
    stored = house.store.get(info.id)
    stale = house.store.lease(info.id, stored.version, 1)
    await asyncio.sleep(0.05)  # longer than its lease lasts
    fresh = await opened().renewing.renew(info.id)
    late = msgspec.structs.replace(stored.tokens, access="late", refresh="late")
    assert house.store.keep(info.id, stale.fence, late, ends=0, now=0, done=True) is None
    assert house.store.close_login(info.id, stale.fence, "late", 0) is False
    assert house.store.get(info.id).tokens == fresh.tokens


async def test_a_holder_from_before_a_login_was_forgotten_overwrites_nothing_of_its_successor(opened, provider):
    house = opened()
    info = await log_in(house, provider)
    stored = house.store.get(info.id)
    stale = house.store.lease(info.id, stored.version, 60_000)
    await house.flows.forget(ANYBODY, info.id)
    await log_in(house, provider)
    fresh = house.store.get(info.id)
    assert house.store.lease(info.id, fresh.version, 60_000).fence != stale.fence
    assert house.store.keep(info.id, stale.fence, stored.tokens, ends=0, now=0, done=True) is None
    assert house.store.get(info.id).tokens == fresh.tokens


async def test_tokens_are_kept_though_the_store_goes_away_while_the_provider_is_asked(opened, provider):
    """The provider has taken the old refresh token by then, and gives it to nobody again."""
    house = opened()
    info = await log_in(house, provider)
    provider.oauth.grace = 0.0
    keep, away = house.store.keep, [True, True, True]

    def kept_later(*asked, **more):
        if away:
            away.pop()
            raise DependencyUnavailable("the key store cannot be used")
        return keep(*asked, **more)

    house.store.keep = kept_later
    assert (await house.renewing.renew(info.id)).is_good
    assert (await house.renewing.renew(info.id)).is_good
    assert away == []


async def test_while_one_holds_the_lease_nobody_else_asks(opened, provider):
    house = opened()
    info = await log_in(house, provider)
    provider.oauth.hold.clear()
    first = asyncio.create_task(house.renewing.renew(info.id))
    await until(lambda: provider.oauth.seen["refresh_token"] == 1)
    second = asyncio.create_task(opened().renewing.renew(info.id))
    await asyncio.sleep(0.3)
    assert provider.oauth.seen["refresh_token"] == 1
    provider.oauth.hold.set()
    assert (await first).version == (await second).version


async def test_a_dead_refresh_token_closes_the_login_and_says_what_to_do(opened, provider):
    house = opened()
    info = await log_in(house, provider)
    provider.oauth.revoke(refresh=True)
    with pytest.raises(CredentialUnavailable, match=r"log in again: run `omniroute login codex --account ann"):
        await house.renewing.renew(info.id)
    asked = provider.oauth.seen["/token"]
    with pytest.raises(CredentialUnavailable, match="log in again"):
        await house.renewing.credential(info.id)
    assert provider.oauth.seen["/token"] == asked  # nobody goes on asking
    await house.renewing.look()
    assert "log in again" in house.renewing.notices()[0]
    again = await log_in(house, provider)
    assert (again.id, again.state) == (info.id, "good")
    assert provider.oauth.is_live((await house.renewing.credential(info.id)).secret)


@pytest.mark.parametrize("spoil", ["html", "huge", "error"])
async def test_an_answer_that_is_none_changes_nothing_and_is_asked_for_again(opened, provider, spoil):
    house = opened()
    info = await log_in(house, provider)
    before = house.store.get(info.id)
    provider.oauth.spoil = spoil
    with pytest.raises(CredentialUnavailable, match="cannot be renewed now"):
        await house.renewing.renew(info.id)
    after = house.store.get(info.id)
    assert (after.tokens, after.version, after.state) == (before.tokens, before.version, "good")
    assert (await house.renewing.credential(info.id)).version == str(before.version)  # it is good still
    provider.oauth.spoil = ""
    assert (await house.renewing.renew(info.id)).version > before.version


async def test_no_secret_stands_in_clear_in_the_store_the_log_or_a_repr(opened, provider, tmp_path, caplog):
    caplog.set_level("DEBUG", "omniroute")
    house = opened()
    info = await log_in(house, provider)
    await house.renewing.renew(info.id)
    secrets = [token.said[name] for token in provider.oauth.tokens for name in ("access_token", "refresh_token")]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    ours = [record.getMessage() + str(record.__dict__) for record in caplog.records if "omniroute" in record.name]
    told = "".join(ours) + repr(house.store.get(info.id)) + repr(await house.renewing.credential(info.id))
    assert len(secrets) == 4
    for secret in secrets:
        assert secret.encode() not in stored
        assert secret not in told


def _killed(folder, login_id: str, step: str, provider) -> None:
    """Renew in another process and kill it at ``step``."""
    env = {**os.environ, OVERRIDES: str(folder / "logins.toml")}
    command = [sys.executable, "-m", "tests.support.killed_login", str(folder), login_id, step]
    if step == "asked":
        provider.oauth.hold.clear()
    with subprocess.Popen(command, env=env) as child:
        if step == "asked":
            provider.oauth.until_asked(0, HANG)
            child.kill()
            provider.oauth.hold.set()
        assert child.wait(HANG) == -9


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_the_next_one_goes_on(opened, provider, tmp_path, step):
    house = opened()
    info = await log_in(house, provider)
    await asyncio.to_thread(_killed, tmp_path, info.id, step, provider)
    before = house.store.get(info.id)
    renewed = await house.renewing.renew(info.id)
    assert renewed.is_good
    assert renewed.version > before.version
    assert provider.oauth.is_live(renewed.tokens.access)
    refreshed = await house.renewing.renew(info.id)  # the refresh token that was kept is one that works
    assert provider.oauth.is_live(refreshed.tokens.access)


async def test_killed_after_the_answer_a_provider_without_grace_is_told_of(opened, provider, tmp_path):
    house = opened()
    info = await log_in(house, provider)
    provider.oauth.grace = 0.0
    await asyncio.to_thread(_killed, tmp_path, info.id, "answered", provider)
    assert house.store.get(info.id).begun
    with pytest.raises(CredentialUnavailable, match=r"was broken off.*log in again: run `omniroute login codex"):
        await house.renewing.renew(info.id)
    assert (await log_in(house, provider)).state == "good"


async def test_a_second_token_is_renewed_with_the_first(opened, provider):
    house = opened()
    started = await house.flows.begin(ANYBODY, NewLogin("copilot", accept_terms="copilot"))
    provider.oauth.approve(started.user_code)
    house.store.turn = lambda *_: 0
    info = (await house.flows.poll(ANYBODY, started.id)).login
    assert (info.id, info.label) == ("copilot/ann", "ann")
    first = await house.renewing.credential(info.id)
    assert first.secret.startswith("second-")
    assert provider.oauth.is_live(first.usage_secret)
    assert first.headers["copilot-integration-id"] == "vscode-chat"
    second = await house.renewing.refused(info.id, first.version)
    assert second.secret != first.secret
    assert second.usage_secret == first.usage_secret
    assert provider.oauth.seen["refresh_token"] == 0
    provider.oauth.revoke()
    with pytest.raises(CredentialUnavailable, match="GitHub does not take the token"):
        await house.renewing.refused(info.id, second.version)


async def test_one_store_serves_postgresql_too(provider, postgres, tmp_path):
    from omni_auth.adapters.keyring import open_keyring
    from omni_auth.adapters.store.credentials import Vault

    from tests.support.logins import Logins
    from tests.support.store import Place

    store = Place("postgresql", tmp_path, postgres).store()
    store.open()
    (tmp_path / "logins.toml").write_text(provider.overrides())
    env = {OVERRIDES: str(tmp_path / "logins.toml")}
    vault = Vault(store.database, open_keyring(tmp_path, {}), os.urandom)
    houses = [Logins(store.database, vault, env, SETTINGS) for _ in range(4)]
    info = await log_in(houses[0], provider)
    assert isinstance(houses[0].store, SqlLogins)
    seen = (await houses[0].renewing.credential(info.id)).version
    fresh = await asyncio.gather(*(house.renewing.refused(info.id, seen) for house in houses))
    assert len({one.secret for one in fresh}) == 1
    assert provider.oauth.seen["refresh_token"] == 1
    assert CODEX.login == info.login
    store.close()
