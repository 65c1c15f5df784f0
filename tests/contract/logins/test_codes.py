"""Logging in with a code, at a real authorization server."""

import asyncio
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest
from omni_core.ports.configuration import ANYBODY, Caller
from omni_core.ports.logins import NewLogin
from omni_wire.errors import InvalidRequest, PermissionDenied, UpstreamError

from tests.contract.logins.conftest import CODEX, log_in


async def test_a_code_becomes_a_login_whose_tokens_requests_carry(opened, provider):
    house = opened()
    info = await log_in(house, provider, msgspec.structs.replace(CODEX, account="work"))
    assert (info.id, info.state, info.label) == ("codex/work", "good", "ann@example.com")
    credential = await house.renewing.credential("codex/work")
    assert provider.oauth.is_live(credential.secret)
    assert credential.headers["authorization"] == f"Bearer {credential.secret}"
    assert credential.headers["chatgpt-account-id"] == "acct-ann"
    assert credential.login == "codex/work"
    assert credential.expires == info.ends


async def test_the_page_is_asked_with_a_challenge_and_goes_back_to_this_machine(opened, provider):
    started = await opened().flows.begin(ANYBODY, CODEX)
    query = dict(parse_qsl(urlsplit(started.url).query))
    assert query["code_challenge_method"] == "S256"
    assert len(query["code_challenge"]) == 43
    assert query["redirect_uri"] == started.redirect == "http://localhost:1455/auth/callback"
    assert query["originator"] == "codex_cli_rs"


async def test_a_code_with_its_state_behind_a_hash_is_taken_too(opened, provider):
    house = opened()
    started = await house.flows.begin(ANYBODY, NewLogin("claude", accept_terms="claude-code"))
    query = dict(parse_qsl(urlsplit(provider.browse(started.url)).query))
    info = await house.flows.finish(ANYBODY, f"{query['code']}#{query['state']}")
    assert info.id == "claude-code/ann-example.com"


async def test_the_same_person_again_is_the_same_login_with_other_tokens(opened, provider):
    house = opened()
    first = await log_in(house, provider)
    before = (await house.renewing.credential(first.id)).secret
    again = await log_in(house, provider, msgspec.structs.replace(CODEX, account="another"))
    assert again.id == first.id
    assert (await house.renewing.credential(first.id)).secret != before
    assert [login.id for login in (await house.flows.list(ANYBODY)).logins] == [first.id]


async def test_another_person_is_another_login_and_not_under_a_name_that_is_taken(opened, provider):
    house = opened()
    named = msgspec.structs.replace(CODEX, account="work")
    await log_in(house, provider, named)
    provider.oauth.user = "bob"
    with pytest.raises(InvalidRequest, match=r"codex/work is ann@example.com's") as refused:
        await log_in(house, provider, named)
    assert refused.value.status == 409
    await log_in(house, provider)
    assert [one.id for one in (await house.flows.list(ANYBODY)).logins] == ["codex/bob-example.com", "codex/work"]


async def test_a_login_with_a_risk_is_refused_in_its_words_until_somebody_takes_it(opened):
    house = opened()
    with pytest.raises(InvalidRequest, match=r"another program.*accept_terms: codex") as refused:
        await house.flows.begin(ANYBODY, NewLogin("codex"))
    assert refused.value.code == "terms_not_accepted"
    with pytest.raises(InvalidRequest, match="accept_terms: codex"):
        await house.flows.begin(ANYBODY, NewLogin("codex", accept_terms="claude-code"))


async def test_a_login_that_needs_a_secret_says_which_variable(opened):
    with pytest.raises(InvalidRequest, match="set ANTIGRAVITY_OAUTH_CLIENT_SECRET"):
        await opened().flows.begin(ANYBODY, NewLogin("antigravity", accept_terms="antigravity"))


async def test_googles_project_is_asked_for_and_told_to_requests(opened, provider):
    house = opened()
    info = await log_in(house, provider, NewLogin("gemini-cli", accept_terms="gemini-cli"))
    assert info.label == "ann@example.com"
    assert (await house.renewing.credential(info.id)).project == "project-of-ann"


async def test_a_state_that_is_not_ours_gets_nowhere(opened, provider):
    house = opened()
    started = await house.flows.begin(ANYBODY, CODEX)
    callback = provider.browse(started.url)
    wrong = callback.replace("state=", "state=x")
    with pytest.raises(InvalidRequest, match="no such login is under way"):
        await house.flows.finish(ANYBODY, wrong)
    assert provider.oauth.seen["/token"] == 0
    await house.flows.finish(ANYBODY, callback)  # who has the true one is not kept from it


async def test_a_callback_is_good_once(opened, provider):
    house = opened()
    started = await house.flows.begin(ANYBODY, CODEX)
    callback = provider.browse(started.url)
    answers = await asyncio.gather(*(house.flows.finish(ANYBODY, callback) for _ in range(5)), return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == 1
    assert provider.oauth.seen["/token"] == 1


@pytest.mark.parametrize(
    ("pasted", "told"),
    [
        ("", "paste the whole address"),
        ("just-a-code", "a state"),
        ("http://localhost:1455/auth/callback?state=abc", "a code"),
        ("http://localhost:1455/auth/callback?error=access_denied&state=a", "refused there: access_denied"),
        ("x" * 70_000, "paste the whole address"),
    ],
)
async def test_what_is_no_callback_is_told_apart(opened, pasted, told):
    with pytest.raises(InvalidRequest, match=told):
        await opened().flows.finish(ANYBODY, pasted)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [("html", "a web page"), ("huge", "more than"), ("error", "server_error"), ("issuer", "another issuer")],
)
async def test_an_answer_that_is_none_leaves_nothing_behind(opened, provider, spoil, told):
    house = opened()
    provider.oauth.spoil = spoil
    with pytest.raises(UpstreamError, match=told):
        await log_in(house, provider)
    assert (await house.flows.list(ANYBODY)).logins == ()


async def test_guests_log_in_nowhere(opened):
    guest = Caller("key:x", "acme")
    house = opened()
    for asking in (
        house.flows.begin(guest, CODEX),
        house.flows.finish(guest, "a#b"),
        house.flows.poll(guest, "f"),
        house.flows.take_in(guest, CODEX, "{}"),
        house.flows.list(guest),
        house.flows.forget(guest, "codex/a"),
        house.flows.renew(guest, "codex/a"),
    ):
        with pytest.raises(PermissionDenied):
            await asking


async def test_a_forgotten_login_says_how_to_get_it_back(opened, provider):
    house = opened()
    info = await log_in(house, provider)
    await house.flows.forget(ANYBODY, info.id)
    with pytest.raises(Exception, match=r"omniroute login codex --account ann-example.com"):
        await house.renewing.credential(info.id)
    with pytest.raises(InvalidRequest) as refused:
        await house.flows.forget(ANYBODY, info.id)
    assert refused.value.status == 404
