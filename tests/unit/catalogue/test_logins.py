"""The data of logins: whole, without secrets, and what an operator may say instead of it."""

import re
from importlib import resources

import pytest
from omni_catalogue.logins import LOGINS, NAMES, LoginDataError, override
from omni_catalogue.quotas import VENDORS
from omni_wire.formats import WireFormat

ASKED_FOR = (
    "claude-code", "codex", "gemini-cli", "antigravity", "copilot", "kiro", "kiro-idc", "kiro-social", "qwen", "iflow",
    "kimi-coding", "kilo", "cline", "cursor",
)  # fmt: skip


def test_every_provider_that_is_logged_in_to_has_a_file() -> None:
    assert sorted(LOGINS) == sorted(ASKED_FOR)
    assert len(NAMES) == sum(1 + len(login.aka) for login in LOGINS.values()), "no name stands for two"


@pytest.mark.parametrize("login", LOGINS.values(), ids=lambda login: login.id)
def test_a_login_is_for_a_provider_that_can_be_configured(login) -> None:
    assert login.served.format in [each.value for each in WireFormat]
    assert login.served.base_url.startswith("https://")
    assert login.served.quota in ("", *VENDORS)
    for part in (login.authorize, login.token, login.refresh, login.device):
        assert part is None or part.url.startswith("https://")
    assert not login.allow_private_address


def test_who_minds_it_says_so_in_words() -> None:
    minded = {login.id for login in LOGINS.values() if login.risk}
    assert minded >= {"claude-code", "codex", "gemini-cli", "antigravity", "copilot", "kiro", "cursor"}
    assert all(len(login.risk) > 60 for login in LOGINS.values() if login.risk)


def test_tokens_are_renewed_as_long_before_their_end_as_is_known_to_be_good() -> None:
    leads = {login.id: login.lead for login in LOGINS.values() if login.lead != 300}
    assert leads == {"codex": 5 * 86_400, "claude-code": 4 * 3_600, "iflow": 86_400, "qwen": 1_200}


def test_no_file_holds_a_client_secret() -> None:
    for entry in resources.files("omni_catalogue.logins").iterdir():
        if entry.name.endswith(".toml"):
            said = entry.read_text("utf-8")
            assert not re.search(r"GOCSPX|(?m:^(client_)?secret\s*=)", said), entry.name
    assert {login.id for login in LOGINS.values() if login.client.needs_secret} == {
        "gemini-cli",
        "antigravity",
        "iflow",
    }
    assert all(login.client.env for login in LOGINS.values() if login.client.id)


def test_an_operators_words_stand_for_the_files_key_by_key() -> None:
    found = override(LOGINS, {"codex": {"token": {"url": "http://127.0.0.1:1/t"}, "lead": 7}}, "mine.toml")["codex"]
    assert (found.token.url, found.lead) == ("http://127.0.0.1:1/t", 7)
    assert (found.client, found.authorize, found.title) == (
        LOGINS["codex"].client, LOGINS["codex"].authorize, LOGINS["codex"].title,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"codexx": {}}, "no login 'codexx'"),
        ({"codex": 7}, "no login 'codex'"),
        ({"codex": {"tokens": {}}}, "unknown field"),
        ({"codex": {"lead": "soon"}}, "lead"),
        ({"codex": {"flows": ["dance"]}}, "flows"),
        ({"codex": {"token": {"body": "xml"}}}, "body"),
        ({"codex": {"renewal": "often"}}, "renewal"),
    ],
)
def test_an_operators_words_that_do_not_fit_are_told(said, told) -> None:
    with pytest.raises(LoginDataError, match=told):
        override(LOGINS, said, "mine.toml")
