"""What is sent to authorization servers, and what their answers mean, without one."""

import base64
import contextlib
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.adapters.login_web import AuthorizationServers
from omni_auth.domain.logins import pasted, reading, steps
from omni_auth.domain.logins.calls import Asked, ClientId, authorize_url, challenge
from omni_auth.domain.logins.deviations import FOLLOWS
from omni_auth.domain.logins.steps import Answered
from omni_auth.domain.logins.stored import StoredLogin
from omni_auth.domain.logins.tokens import LoginRefused, LoginUnreadable, Person, Tokens, base_url, carried, name_of
from omni_catalogue.logins import LOGINS
from omni_catalogue.proxies import DIRECT
from omni_core.web import WebAnswer
from omni_wire.errors import InvalidRequest

NOW = 1_800_000_000_000
CLIENT = ClientId("client", "client-secret")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip
_WORDS = st.sampled_from(
    ["access_token", "refresh_token", "expires_in", "id_token", "error", "data", "accessToken", "token", "expiresAt"]
)


def said(status: int = 200, **answer: Any) -> Answered:
    return Answered(status, {}, json.dumps(answer).encode())


def run(generator: Any, *answers: Answered) -> tuple[list[Any], Any]:
    """The calls that were made, and what came of them."""
    asked = [next(generator)]
    for answer in answers:
        try:
            asked.append(generator.send(answer))
        except StopIteration as ended:
            return asked, ended.value
    raise AssertionError(f"it asks for more: {asked[-1]}")


def jwt(**claims: Any) -> str:
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.c2ln"


def test_the_challenge_is_that_of_rfc_7636() -> None:
    assert challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize("login", [one for one in LOGINS.values() if "code" in one.flows], ids=lambda one: one.id)
def test_every_page_is_asked_with_a_state_and_where_to_go_back(login) -> None:
    words = dict.fromkeys(login.parameters, "Google")
    url = authorize_url(login, CLIENT, "http://localhost:1/cb", "the-state", "v" * 64, words)
    assert url.startswith(f"{login.authorize.url}?")
    assert "state=the-state" in url
    assert f"{login.authorize.redirect_name}=http%3A%2F%2Flocalhost%3A1%2Fcb" in url
    assert "client-secret" not in url
    assert ("code_challenge_method=S256" in url) is login.authorize.pkce


@pytest.mark.parametrize("login", [one for one in LOGINS.values() if one.renews], ids=lambda one: one.id)
def test_every_refresh_sends_the_token_and_keeps_what_is_not_said_again(login) -> None:
    old = Tokens("old", "old-refresh", 1, {"client_id": "made", "x": "y"}, {"region": "eu-west-1"}, followed=True)
    (asked,), fresh = run(steps.refreshed(login, CLIENT, old, NOW), said(**_token_answer(login)))
    assert b"old-refresh" in asked.body
    assert "{" not in asked.url
    assert (fresh.access, fresh.refresh, fresh.facts["x"]) == ("fresh", "old-refresh", "y")
    assert not fresh.followed
    assert "old-refresh" not in repr(asked)


def _token_answer(login: Any) -> dict[str, Any]:
    answer: Any = "fresh"
    for key in reversed(login.answer.access):
        answer = {key: answer}
    return dict(answer)


def test_kiro_registers_itself_and_redeems_what_it_was_given_as_that_client() -> None:
    login = LOGINS["kiro"]
    made = {"clientId": "made", "clientSecret": "made-secret"}
    device = {
        "deviceCode": "dc",
        "userCode": "UC",
        "verificationUri": "https://x.example",
        "interval": 1,
        "expiresIn": 600,
    }
    asked, code = run(steps.device_begun(login, ClientId(), "", {}), said(**made), said(**device))
    assert asked[0].url.endswith("/client/register")
    assert json.loads(asked[1].body)["startUrl"] == "https://view.awsapps.com/start"
    assert code.client == ClientId("made", "made-secret")
    answer = said(accessToken="at", refreshToken="rt", expiresIn=3600)
    (asked_tokens,), found = run(steps.device_polled(login, code.client, "dc", "", {}, NOW), answer)
    assert json.loads(asked_tokens.body)["deviceCode"] == "dc"
    (refresh,), _ = run(steps.refreshed(login, ClientId(), found.tokens, NOW), answer)
    assert json.loads(refresh.body) == {
        "grantType": "refresh_token", "refreshToken": "rt", "clientId": "made", "clientSecret": "made-secret",
    }  # fmt: skip


def test_an_organisations_region_leads_to_its_own_servers() -> None:
    words = {"region": "eu-west-1", "start_url": "https://my.example/start"}
    generator = steps.device_begun(LOGINS["kiro-idc"], ClientId(), "", words)
    assert next(generator).url == "https://oidc.eu-west-1.amazonaws.com/client/register"


def test_kilos_own_flow_waits_and_ends_by_status() -> None:
    login = LOGINS["kilo"]

    def poll(status: int, **answer: Any) -> Any:
        return run(steps.device_polled(login, CLIENT, "c/d", "", {}, NOW), said(status, **answer))

    (asked,), pending = poll(202)
    assert asked.url == "https://api.kilo.ai/api/device-auth/codes/c%2Fd"
    assert pending == steps.Pending()
    assert poll(200, token="at", userEmail="a@b.c")[1].person == Person("a@b.c", "a@b.c")
    for status, told in ((403, "refused"), (410, "over")):
        with pytest.raises(LoginRefused, match=told):
            poll(status)


def test_clines_answer_is_read_from_within_and_its_token_is_prefixed() -> None:
    login = LOGINS["cline"]
    data = {
        "accessToken": "at",
        "refreshToken": "rt",
        "expiresAt": "2027-01-15T08:00:10Z",
        "userInfo": {"email": "a@b.c"},
    }
    _, found = run(steps.exchanged(login, CLIENT, "c", "s", "v", "http://x", {}, NOW), said(success=True, data=data))
    assert found.tokens.expires == NOW + 10_000
    assert carried(login, found.tokens).headers["authorization"] == "Bearer workos:at"


def test_iflows_requests_carry_the_key_of_whoever_is_logged_in() -> None:
    login = LOGINS["iflow"]
    (asked,), tokens = run(steps.followed(login, Tokens("a t"), NOW), said(success=True, data={"apiKey": "sk-1"}))
    assert asked.url.endswith("?accessToken=a%20t")
    assert carried(login, tokens).secret == "sk-1"
    assert carried(login, tokens).headers == {}


def test_antigravity_takes_in_who_is_not_there_yet() -> None:
    tiers = {"allowedTiers": [{"id": "a"}, {"id": "b", "isDefault": True}]}
    done = {"done": True, "response": {"cloudaicompanionProject": {"id": "p-1"}}}
    asked, tokens = run(steps.followed(LOGINS["antigravity"], Tokens("at"), NOW), said(**tiers), said(), said(**done))
    assert json.loads(asked[1].body)["tierId"] == "b"
    assert tokens.facts["project"] == "p-1"


def test_a_copilot_without_a_plan_is_refused_in_words() -> None:
    with pytest.raises(LoginRefused, match="has no Copilot"):
        run(FOLLOWS["copilot_token"](LOGINS["copilot"], Tokens("at"), NOW), said(403))


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"iss": "https://evil.example", "aud": "client"}, "another issuer"),
        ({"iss": "https://auth.openai.com", "aud": "somebody"}, "another client"),
        ({"iss": "https://auth.openai.com", "aud": "client", "exp": 1}, "over already"),
        ({"aud": "client"}, "another issuer"),
    ],
)
def test_an_id_token_that_is_not_for_us_is_refused(claims, told) -> None:
    answer = {"access_token": "at", "id_token": jwt(**claims)}
    with pytest.raises(LoginUnreadable, match=told):
        reading.grant(LOGINS["codex"], answer, "client", NOW)


@given(st.dictionaries(_WORDS | st.text(max_size=8), JSON, max_size=6), st.sampled_from(sorted(LOGINS)))
def test_no_answer_raises_anything_but_what_it_says(answer, name) -> None:
    login = LOGINS[name]
    with contextlib.suppress(LoginUnreadable, LoginRefused):
        reading.grant(login, answer, "client", NOW)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()), st.integers(100, 599))
def test_no_bytes_raise_anything_but_what_they_say(body, status) -> None:
    with contextlib.suppress(LoginUnreadable, LoginRefused):
        reading.document(status, {}, body)


@given(st.text(max_size=300))
def test_nothing_that_is_pasted_raises_anything_but_a_refusal(text) -> None:
    for ask in (
        lambda: pasted.callback(text),
        lambda: pasted.imported(LOGINS["qwen"], text, "client", {}, NOW),
    ):
        with contextlib.suppress(InvalidRequest, LoginRefused):
            ask()


@pytest.mark.parametrize("code", sorted(reading.FINAL))
def test_a_final_no_is_told_from_one_that_may_pass(code) -> None:
    with pytest.raises(LoginRefused):
        reading.document(400, {}, json.dumps({"error": code}).encode())
    with pytest.raises(LoginUnreadable) as later:
        reading.document(429, {"retry-after": "7"}, b'{"error": "temporarily_unavailable"}')
    assert later.value.wait == 7


@pytest.mark.parametrize(
    ("told", "url"),
    [
        ("portal.qwen.ai", "https://portal.qwen.ai/v1"),
        ("https://dashscope.example/v1", "https://dashscope.example/v1"),
        ("http://plain.example", ""),
        ("https://user@evil.example", ""),
        ("https://a.example/?x=", ""),
        ("https://a.example/#", ""),
        ("ftp://a.example", ""),
        ("a b", ""),
        ("", ""),
    ],
)
def test_a_provider_leads_to_no_place_that_is_no_base_url(told, url) -> None:
    assert base_url(LOGINS["qwen"], told) == url


@given(st.integers(1, 10**9), st.integers(0, 2 * 10**9), st.integers(1, 10**6))
def test_nothing_is_due_in_the_first_half_of_its_life_and_everything_before_its_end(life, passed, lead) -> None:
    login = msgspec.structs.replace(LOGINS["codex"], lead=lead)
    stored = StoredLogin("codex/a", "codex", "", "", "good", "", 1, 0, NOW + life, NOW, NOW)
    due, over = stored.is_due(login, NOW + passed), stored.is_over(NOW + passed)
    assert not due or passed >= life // 2
    assert due or not over
    assert due or passed < life
    assert over is (NOW + passed >= stored.ends - min(10_000, life // 4))


def test_a_name_is_made_of_what_a_person_is_called() -> None:
    assert name_of(Person("1", "Ann.B+x@example.com"), LOGINS["codex"]) == "ann.b-x-example.com"
    assert name_of(Person(), LOGINS["codex"]) == "main"


def test_headers_hold_facts_or_are_left_out() -> None:
    login = LOGINS["codex"]
    assert "chatgpt-account-id" not in carried(login, Tokens("at")).headers
    assert carried(login, Tokens("at", facts={"account_id": "a-1"})).headers["chatgpt-account-id"] == "a-1"
    assert "chatgpt-account-id" not in carried(login, Tokens("at", facts={"account_id": "a\r\nx: y"})).headers


def test_no_repr_shows_a_secret() -> None:
    shown = repr([
        Tokens("s3cret", "s3cret"), carried(LOGINS["codex"], Tokens("s3cret")), ClientId("a", "s3cret"),
        pasted.Callback("s3cret", "s3cret"), SimpleNamespace(),
    ])  # fmt: skip
    assert "s3cret" not in shown


@pytest.mark.parametrize("ways", [0, 1, 3])
async def test_all_ways_out_together_take_no_longer_than_one_call_may(ways: int) -> None:
    """A lease lasts longer than a call; a second holder would ask with the same refresh token."""
    given: list[float] = []

    async def fetch_for(ways: Any, asked: Any, *, allow_private: bool, within: float) -> WebAnswer:
        given.append(within * max(1, len(ways)))
        return WebAnswer(200, {}, b"{}")

    servers = AuthorizationServers(SimpleNamespace(fetch_for=fetch_for), lambda _: (DIRECT,) * ways)
    await servers.fetch(Asked("GET", "https://a.example", {}), allow_private=False, within=15.0, login_id="codex/work")
    assert given == [15.0]
