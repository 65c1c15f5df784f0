"""Logging in with a device's code (RFC 8628), and with tokens of another program."""

import base64
import json

import pytest
from omni_core.ports.configuration import ANYBODY
from omni_core.ports.logins import NewLogin
from omni_wire.errors import InvalidRequest

from tests.contract.logins.conftest import SETTINGS

QWEN = NewLogin("qwen", account="main")


@pytest.fixture
def house(opened):
    house = opened(SETTINGS)
    house.clock = 0
    real = house.flows._now
    house.flows._now = lambda: real() + house.clock
    return house


async def test_somebody_says_yes_and_the_next_poll_has_the_login(house, provider):
    started = await house.flows.begin(ANYBODY, QWEN)
    assert started.flow == "device"
    assert started.user_code
    assert started.url.startswith("https://")
    first = await house.flows.poll(ANYBODY, started.id)
    assert first.login is None
    assert 0 < first.wait <= 1
    assert provider.oauth.seen["/token"] == 0  # not before the interval is over
    house.clock += 1_100
    assert (await house.flows.poll(ANYBODY, started.id)).login is None
    assert provider.oauth.seen["/token"] == 1
    provider.oauth.approve(started.user_code)
    house.clock += 1_100
    info = (await house.flows.poll(ANYBODY, started.id)).login
    assert info.id == "qwen/main"
    assert provider.oauth.is_live((await house.renewing.credential(info.id)).secret)


async def test_who_is_told_to_slow_down_does(house, provider):
    started = await house.flows.begin(ANYBODY, QWEN)
    provider.oauth.slow |= set(provider.oauth.devices)
    house.clock += 1_100
    assert (await house.flows.poll(ANYBODY, started.id)).wait == 6.0


async def test_who_says_no_ends_it(house, provider):
    started = await house.flows.begin(ANYBODY, QWEN)
    provider.oauth.approve(started.user_code, yes=False)
    house.clock += 1_100
    with pytest.raises(InvalidRequest, match="the login was refused there"):
        await house.flows.poll(ANYBODY, started.id)
    with pytest.raises(InvalidRequest, match="no such login is under way"):
        await house.flows.poll(ANYBODY, started.id)


async def test_a_code_that_is_over_is_told(house, provider):
    started = await house.flows.begin(ANYBODY, QWEN)
    for device in provider.oauth.devices.values():
        device["expires_at"] = 1
    house.clock += 1_100
    with pytest.raises(InvalidRequest, match="the code is over; begin anew"):
        await house.flows.poll(ANYBODY, started.id)


async def test_after_five_minutes_a_flow_is_over_and_swept(house, provider):
    started = await house.flows.begin(ANYBODY, QWEN)
    house.clock += 300_001
    with pytest.raises(InvalidRequest, match="more than 5 minutes"):
        await house.flows.poll(ANYBODY, started.id)
    house.store.sweep(house.flows._now())
    assert house.store.look_flow(started.id, 0) is None


def _jwt(**claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


async def test_a_token_file_of_another_program_is_taken_in(house, provider):
    access = _jwt(sub="user|1", exp=4_102_444_800)
    info = await house.flows.take_in(
        ANYBODY,
        NewLogin("cursor", account="desk", accept_terms="cursor"),
        json.dumps({"cursorAuth/accessToken": access}),
    )
    assert (info.id, info.ends) == ("cursor/desk", 0) or info.ends > 0
    credential = await house.renewing.credential("cursor/desk")
    assert credential.secret == access
    assert "authorization" not in credential.headers


async def test_codex_own_file_is_taken_in_with_its_account(house, provider):
    started = await house.flows.begin(ANYBODY, NewLogin("codex", accept_terms="codex"))
    await house.flows.finish(ANYBODY, provider.browse(started.url))
    said = provider.oauth.tokens[-1].said
    file = {
        "OPENAI_API_KEY": None,
        "tokens": {name: said[name] for name in ("access_token", "refresh_token", "id_token")},
    }
    info = await house.flows.take_in(ANYBODY, NewLogin("codex", account="new", accept_terms="codex"), json.dumps(file))
    assert info.id == "codex/ann-example.com"  # the same person is the same login
    assert (await house.renewing.credential(info.id)).headers["chatgpt-account-id"] == "acct-ann"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "no access_token"),
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no access_token"),
        ('{"access_token": 7}', "is no token"),
        ('{"access_token": "a\\nb"}', "is no token"),
        ('{"access_token": "abc"}', "no refresh_token"),
        ("x" * 70_000, "more than"),
        ('{"access_token": "' + "x" * 20_000 + '"}', "is no token"),
    ],
)
async def test_what_is_no_token_file_leaves_nothing_behind(house, said, told):
    with pytest.raises(InvalidRequest, match=told):
        await house.flows.take_in(ANYBODY, NewLogin("qwen", account="main"), said)
    assert (await house.flows.list(ANYBODY)).logins == ()
