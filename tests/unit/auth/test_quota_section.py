"""``quota`` of a provider and an account: what may be written, and what it comes to."""

from typing import Any

import pytest
from omni_auth.domain.compilation import compile_snapshot
from omni_auth.domain.compiled_quotas import compile_quota
from omni_auth.domain.configuration import load
from omni_auth.domain.schema import validate_section
from omni_auth.domain.sections.providers import ProviderSection, QuotaSection, QuotaWindowSection
from omni_catalogue.quotas import RESETS, SPANS, VENDORS, Quota, QuotaWindow
from omni_catalogue.snapshot import decode, encode
from pydantic import ValidationError

PROVIDER = """\
providers:
  - id: acme
    format: openai.chat
    base_url: https://acme.example/v1
    {provider}
    accounts:
      - {{name: first, api_key: {{value: k}}{account}}}
keys: [{{name: ci, secret: {{value: or-test-0123456789}}}}]
"""


def quota(provider: str = "", account: str = "") -> Quota | None:
    """Of the account, as every service sees it."""
    wider = f"quota: {provider}" if provider else ""
    own = f", quota: {account}" if account else ""
    loaded = load(PROVIDER.format(provider=wider, account=own), "omniroute.yaml", {}, lambda path: path)
    snapshot = decode(encode(compile_snapshot(loaded, (), b"pepper").content))
    return snapshot.providers[0].accounts[0].quota


def problem(section: Any, kind: Any = QuotaSection) -> str:
    found, problems = validate_section(kind, section)
    assert found is None
    return problems[0].message


def test_who_says_nothing_has_none() -> None:
    assert quota() is None
    assert quota("on", "off") is None
    assert quota("off") is None


def test_on_takes_what_is_told() -> None:
    assert quota("on") == quota(account="on") == Quota()


def test_a_list_is_its_windows() -> None:
    money = QuotaWindow(window="once", of="usd", most=2_500_000_000)
    windows = (QuotaWindow(window="day", of="requests", most=1000), money)
    said = "[{window: day, of: requests, most: 1000}, {window: once, of: usd, most: 2.5}]"
    assert quota(said) == Quota(windows=windows)


def test_each_word_of_the_accounts_own_stands_before_its_providers() -> None:
    found = quota("{ask: codex, cutoff: 5, warn: 30, every: 10m}", "{cutoff: 10, workspace: ws-12345678}")
    assert found == Quota(
        ask="codex", cutoff=10.0, warn=30.0, every=600.0, workspace="ws-12345678", windows=VENDORS["codex"].windows
    )


def test_windows_that_are_written_stand_before_what_is_known_of_the_vendor() -> None:
    found = quota("{ask: claude-code, windows: [{window: 5h, of: tokens, most: 7}]}")
    assert found is not None
    assert found.windows == (QuotaWindow(window="5h", of="tokens", most=7, resets="first-use"),)


def test_a_day_may_begin_at_a_time_of_some_place() -> None:
    found = quota('[{window: day, of: requests, at: "10:00", time_zone: Asia/Shanghai}]')
    assert found is not None
    (day,) = found.windows
    window = day.at(1_900_000_000)
    assert isinstance(window, tuple)
    assert len(window) == 5
    name, first, begins, *_ = window
    assert (name, begins - first) == ("day", 86_400)
    assert begins % 86_400 == 2 * 3_600, "ten in the morning there"


@pytest.mark.parametrize(
    ("window", "why"),
    [
        ({"window": "hour"}, "must be one of"), ({"window": "5h", "resets": "calendar"}, "none of the calendar"),
        ({"window": "week", "resets": "rolling"}, "only a window of 5h"),
        ({"window": "once", "resets": "first-use"}, "does not begin anew"),
        ({"window": "5h", "at": "10:00"}, "for a window of the calendar"),
        ({"window": "once", "time_zone": "UTC"}, "for a window of the calendar"),
        ({"window": "week", "at": "10:00"}, "for a window of a day"), ({"window": "day", "at": "25:00"}, "time of day"),
        ({"window": "day", "of": "percent", "most": "90"}, "a hundred"), ({"window": "day", "most": "0"}, "from 1"),
        ({"window": "day", "most": "1.5"}, "whole number"), ({"window": "day", "most": "many"}, "a number"),
        ({"window": "day", "of": "usd", "most": "1e9"}, "USD"), ({"window": "day", "name": "two words"}, "no blank"),
        ({"window": "day", "most": "-3"}, "must be from 1"), ({"window": "day", "time_zone": "Mars/Base"}, "time zone"),
    ],
)  # fmt: skip
def test_a_window_that_cannot_be_is_refused(window: dict[str, str], why: str) -> None:
    assert why in problem(window, QuotaWindowSection)


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"windows": [{"window": "5h"}, {"window": "5h", "of": "tokens"}]}, "one name"),
        ({"windows": [{"window": "day", "name": "5h"}, {"window": "5h"}]}, "one name"),
        ({"cutoff": "30"}, "more than the 20 of warn"), ({"cutoff": "101"}, "0 to 100"), ({"every": "5"}, "10s"),
        ({"ask": "claude"}, "must be one of"), ({"url": "ftp://x"}, "http"),
    ],
)  # fmt: skip
def test_a_quota_that_cannot_be_is_refused(section: dict[str, Any], why: str) -> None:
    assert why in problem(section)


def test_any_window_that_may_be_written_can_be_asked_for() -> None:
    for window in SPANS:
        for resets in (None, *RESETS):
            said: dict[str, Any] = {"window": window, "of": "tokens"} | ({"resets": resets} if resets else {})
            section, _ = validate_section(QuotaWindowSection, said)
            if section is not None:
                found = compile_quota(None, QuotaSection(windows=(section,)))
                assert found is not None
                assert found.windows[0].at(1_900_000_000)


def test_what_an_account_says_goes_with_what_its_provider_says() -> None:
    with pytest.raises(ValidationError, match="more than the 10 of warn"):
        provider(quota={"warn": "10"}, accounts=[{"name": "a", "api_key": {"env": "K"}, "quota": {"cutoff": "15"}}])
    provider(quota={"warn": "10"}, accounts=[{"name": "a", "api_key": {"env": "K"}, "quota": {"cutoff": "5"}}])


def provider(**said: object) -> ProviderSection:
    whole = {"id": "acme", "format": "openai.chat", "base_url": "https://acme.example/v1"} | said
    return ProviderSection.model_validate(whole)
