"""What vendors answer about quotas: read in one way, whatever it is."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omni_catalogue.quotas import VENDORS, Quota
from omni_catalogue.snapshot import Account
from omni_quota.domain.usage import SHAPES, Asked, Usage, UsageUnreadable, ask, read
from omni_quota.domain.usage.base import Window, ends, number

NOW = 1_900_000_000.0  # 2030-03-17T17:46:40Z
AN_HOUR = "2030-03-17T18:46:40Z"
HOUR = NOW + 3_600
DAYS = NOW + 5 * 86_400


def answer(vendor: str, said: Any, now: float = NOW) -> Usage:
    return read(Quota(ask=vendor), 200, {}, json.dumps(said).encode(), now)


def windows(vendor: str, said: Any) -> dict[str, Window]:
    return {window.name: window for window in answer(vendor, said).windows}


def percent(name: str, used: float, end: float = 0.0, models: tuple[str, ...] = ()) -> Window:
    return Window(name, "percent", round(used * 100), 10_000, end, models=models)


# ---- each vendor's own shape ----------------------------------------------------------------------------------------


def test_claude_code_has_windows_for_all_models_and_for_a_family() -> None:
    found = windows(
        "claude-code",
        {
            "five_hour": {"utilization": 37.5, "resets_at": AN_HOUR},
            "seven_day": {"utilization": 12, "resets_at": "2030-03-22T17:46:40.000000+00:00"},
            "seven_day_opus": {"utilization": 99.0, "resets_at": None},
            "seven_day_sonnet": None,
            "seven_day_oauth_apps": {"utilization": 100.0, "resets_at": AN_HOUR},
            "extra_usage": {"is_enabled": False, "utilization": None},
        },
    )
    assert found == {
        "5h": percent("5h", 37.5, HOUR),
        "week": percent("week", 12, DAYS),
        "week:opus": percent("week:opus", 99, models=("*opus*",)),
    }


def test_codex_has_a_plan_and_names_its_windows_by_how_long_they_are() -> None:
    said = {
        "plan_type": "business",
        "rate_limit": {
            "limit_reached": True,
            "primary_window": {"used_percent": 100, "limit_window_seconds": 18_000, "reset_at": int(HOUR)},
            "secondary_window": {"used_percent": 20, "limit_window_seconds": 604_800, "reset_after_seconds": 432_000},
        },
        "code_review_rate_limit": {"primary_window": {"used_percent": 5, "reset_at": int(DAYS)}},
    }
    assert answer("codex", said).plan == "business"
    assert windows("codex", said) == {
        "5h": percent("5h", 100, HOUR),
        "week": percent("week", 20, DAYS),
        "week:code-review": percent("week:code-review", 5, DAYS),
    }
    # A free plan has one window only, and a long one.
    free = {"rate_limit": {"primary_window": {"used_percent": 1, "limit_window_seconds": 604_800}}}
    assert windows("codex", free) == {"week": percent("week", 1)}


def test_copilot_paid_for_has_snapshots() -> None:
    said = {
        "copilot_plan": "individual_pro",
        "quota_reset_date": "2030-03-18",
        "quota_reset_date_utc": AN_HOUR,
        "quota_snapshots": {
            "chat": {"entitlement": 0, "remaining": 0, "unlimited": True},
            "completions": {"unlimited": True},
            "premium_interactions": {"entitlement": 300, "remaining": 74, "unlimited": False},
            "something_new": {"entitlement": 1},
        },
    }
    assert answer("copilot", said).plan == "individual_pro"
    assert windows("copilot", said) == {
        "month:chat": Window("month:chat", "requests", 0, 0, HOUR, unlimited=True),
        "month:completions": Window("month:completions", "requests", 0, 0, HOUR, unlimited=True),
        "month:premium": Window("month:premium", "requests", 226, 300, HOUR),
    }
    said["quota_snapshots"] = {
        "premium_interactions": {"entitlement": 300, "remaining": 0, "overage_permitted": True},
        "chat": {"unlimited": True},
    }
    assert list(windows("copilot", said)) == ["month:chat"], "what is beyond is sold one by one"


def test_copilot_for_nothing_has_what_there_is_a_month_and_what_is_left() -> None:
    said = {
        "access_type_sku": "free_limited_copilot",
        "monthly_quotas": {"chat": 50, "completions": 2000},
        "limited_user_quotas": {"chat": 10, "completions": 1999},
        "limited_user_reset_date": "2030-03-18",
    }
    assert answer("copilot", said).plan == "free_limited_copilot"
    end = 1_900_022_400.0
    assert windows("copilot", said) == {
        "month": Window("month", "requests", 40, 50, end),
        "month:completions": Window("month:completions", "requests", 1, 2000, end),
    }


def test_gemini_cli_and_antigravity_have_shares_that_are_left_of_models() -> None:
    bucket = {"modelId": "gemini-2.5-pro", "remainingFraction": 0.25, "resetTime": AN_HOUR, "remainingAmount": "25"}
    found = windows("gemini-cli", {"buckets": [bucket, {"modelId": "gemini-2.5-flash"}, {"remainingFraction": 1}]})
    assert found == {"day:gemini-2.5-pro": percent("day:gemini-2.5-pro", 75, HOUR, ("gemini-2.5-pro",))}
    said = {"models": {"claude": {"quotaInfo": {"resetTime": AN_HOUR}}, "x": {"quotaInfo": {"remainingFraction": 1}}}}
    assert windows("antigravity", said) == {
        "5h:claude": percent("5h:claude", 100, HOUR, ("claude",)),
        "5h:x": percent("5h:x", 0, models=("x",)),
    }


def test_kiro_has_credits_with_parts_of_them_and_a_trial() -> None:
    said = {
        "nextDateReset": DAYS,
        "subscriptionInfo": {"subscriptionTitle": "KIRO PRO"},
        "usageBreakdownList": [
            {
                "resourceType": "CREDIT",
                "currentUsage": 12,
                "currentUsageWithPrecision": 12.34,
                "usageLimitWithPrecision": 1000.0,
                "freeTrialInfo": {
                    "freeTrialStatus": "ACTIVE", "freeTrialExpiry": HOUR, "currentUsage": 5, "usageLimit": 500,
                },
            }
        ],
    }  # fmt: skip
    assert answer("kiro", said).plan == "KIRO PRO"
    assert windows("kiro", said) == {
        "month": Window("month", "credits", 1234, 100_000, DAYS),
        "once:trial": Window("once:trial", "credits", 500, 50_000, HOUR),
    }


def test_glm_has_tokens_by_the_hour_and_tools_by_the_month_and_errors_under_200() -> None:
    limits = [
        {"type": "TIME_LIMIT", "unit": 5, "number": 1, "usage": 100, "percentage": 28, "nextResetTime": DAYS * 1000},
        {"type": "TOKENS_LIMIT", "unit": 3, "number": 5, "percentage": 1, "nextResetTime": HOUR * 1000},
        {"type": "TOKENS_LIMIT", "unit": 6, "number": 1, "percentage": 40},
    ]
    said = {"code": 200, "success": True, "data": {"level": "lite", "limits": limits}}
    assert answer("glm", said).plan == "lite"
    assert windows("glm", said) == {
        "month:tools": percent("month:tools", 28, DAYS),
        "5h": percent("5h", 1, HOUR),
        "week": percent("week", 40),
    }
    with pytest.raises(UsageUnreadable, match="token expired"):
        answer("glm", {"code": 401, "msg": "token expired or incorrect", "success": False})


def test_kimi_writes_its_figures_as_texts() -> None:
    said = {
        "usage": {"limit": "1000", "used": "10", "resetTime": "2030-03-22T17:46:40Z"},
        "limits": [
            {
                "window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"},
                "detail": {"limit": "100", "remaining": "40", "resetTime": AN_HOUR},
            }
        ],
        "user": {"membership": {"level": "LEVEL_INTERMEDIATE"}},
    }
    assert answer("kimi", said).plan == "LEVEL_INTERMEDIATE"
    assert windows("kimi", said) == {
        "week": Window("week", "requests", 10, 1000, DAYS),
        "5h": Window("5h", "requests", 60, 100, HOUR),
    }


def test_minimax_calls_usage_what_is_left() -> None:
    said = {
        "base_resp": {"status_code": 0, "status_msg": "success"},
        "model_remains": [
            {
                "model_name": "MiniMax-M2", "end_time": HOUR * 1000, "current_interval_total_count": 1500,
                "current_interval_usage_count": 1400, "current_weekly_total_count": 0,
            },
            {"model_name": "image-01", "remains_time": 3_600_000, "current_interval_remaining_percent": 90},
        ],
    }  # fmt: skip
    assert windows("minimax", said) == {
        "5h": Window("5h", "requests", 100, 1500, HOUR),
        "5h:image-01": percent("5h:image-01", 10, HOUR),
    }
    with pytest.raises(UsageUnreadable, match="cookie is missing"):
        answer("minimax", {"base_resp": {"status_code": 1004, "status_msg": "cookie is missing, log in again"}})


def test_openrouter_has_a_keys_limit_or_credits() -> None:
    key = {"data": {"usage": 12.5, "limit": 100, "limit_remaining": 87.5, "limit_reset": "monthly"}}
    assert windows("openrouter", key) == {"month": Window("month", "usd", 12_500_000_000, 100_000_000_000)}
    credits = {"data": {"total_credits": 25.0, "total_usage": 24.75}}
    assert windows("openrouter", credits) == {"once": Window("once", "usd", 24_750_000_000, 25_000_000_000)}
    free = {"data": {"usage": 0.25, "limit": None, "is_free_tier": True}}
    assert answer("openrouter", free).plan == "free"
    assert windows("openrouter", free) == {"once": Window("once", "usd", 250_000_000, 0, unlimited=True)}


# ---- whatever comes -------------------------------------------------------------------------------------------------

ABSURD: tuple[object, ...] = (
    float("nan"),
    float("inf"),
    -1,
    -0.5,
    1e300,
    2**63,
    "NaN",
    "-3",
    "1e400",
    "",
    "ten",
    True,
    [],
    {},
    None,
)
EXAMPLES: dict[str, Any] = {
    "claude-code": {"five_hour": {"utilization": 1, "resets_at": AN_HOUR}},
    "codex": {"rate_limit": {"primary_window": {"used_percent": 1, "reset_at": HOUR}}},
    "copilot": {"quota_snapshots": {"premium_interactions": {"entitlement": 3, "remaining": 1}}},
    "gemini-cli": {"buckets": [{"modelId": "m", "remainingFraction": 0.5, "resetTime": AN_HOUR}]},
    "antigravity": {"models": {"m": {"quotaInfo": {"remainingFraction": 0.5, "resetTime": AN_HOUR}}}},
    "kiro": {"usageBreakdownList": [{"currentUsage": 1, "usageLimit": 5}], "nextDateReset": DAYS},
    "glm": {"code": 200, "data": {"limits": [{"unit": 3, "number": 5, "percentage": 3, "nextResetTime": 1}]}},
    "kimi": {"usage": {"limit": 5, "used": 1, "resetTime": AN_HOUR}},
    "minimax": {"model_remains": [{"current_interval_total_count": 5, "current_interval_usage_count": 3}]},
    "openrouter": {"data": {"limit": 5, "usage": 1}},
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([AN_HOUR, NOW]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def check(usage: Usage, now: float) -> None:
    """What everybody may rely on."""
    names = [window.name for window in usage.windows]
    assert len(names) == len(set(names))
    for window in usage.windows:
        assert 0 <= window.used < 2**53
        assert 0 <= window.total < 2**53
        assert window.of != "percent" or window.used <= window.total == 10_000
        assert window.ends == 0 or now - 86_400 <= window.ends <= now + 400 * 86_400
        assert len(window.name) < 300


def tried(vendor: str, body: bytes, now: float = NOW) -> None:
    with suppress(UsageUnreadable):
        check(read(Quota(ask=vendor), 200, {}, body, now), now)


@pytest.mark.parametrize("vendor", SHAPES)
@given(st.binary(max_size=200))
@settings(max_examples=60)
@example(b"[" * 100_000)
@example(b'{"a":' * 5_000)
@example(b"\xff{}")
@example(b"[]")
@example(b"null")
def test_any_bytes_are_read_or_told_to_be_unreadable(vendor: str, body: bytes) -> None:
    tried(vendor, body)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a document."""
    if isinstance(value, dict):
        return [path, *(place for key, each in value.items() for place in places(each, (*path, key)))]
    if isinstance(value, list):
        return [path, *(place for key, each in enumerate(value) for place in places(each, (*path, key)))]
    return [path]


def replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    first, *rest = path
    if isinstance(value, dict):
        return value | {first: replaced(value[first], tuple(rest), other)}
    return [replaced(each, tuple(rest), other) if at == first else each for at, each in enumerate(value)]


@pytest.mark.parametrize("vendor", SHAPES)
@given(st.data())
@settings(max_examples=150)
def test_any_part_may_be_anything_else(vendor: str, data: st.DataObject) -> None:
    said = EXAMPLES[vendor]
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(said)))
        said = replaced(said, place, data.draw(st.sampled_from(ABSURD) | json_values))
    body = json.dumps(said).encode("utf-8", "surrogatepass")
    tried(vendor, body, data.draw(st.sampled_from([NOW, 0.0, 4e9])))


@pytest.mark.parametrize("vendor", SHAPES)
def test_each_example_is_read_and_an_empty_object_is_not(vendor: str) -> None:
    assert answer(vendor, EXAMPLES[vendor]).windows
    with pytest.raises(UsageUnreadable, match="no window that is known"):
        answer(vendor, {})


@pytest.mark.parametrize("status", [204, 301, 401, 403, 404, 429, 500, 503])
def test_any_other_status_is_told_with_the_wait_that_it_tells(status: int) -> None:
    with pytest.raises(UsageUnreadable, match=f"HTTP {status}") as raised:
        read(Quota(ask="codex"), status, {"retry-after": "120"}, b"{}", NOW)
    assert raised.value.wait == 120.0
    with pytest.raises(UsageUnreadable) as raised:
        read(Quota(ask="codex"), status, {"retry-after": "soon"}, b"{}", NOW)
    assert raised.value.wait == 0.0


def test_more_than_a_hundred_percent_is_all_of_it_and_more_used_than_there_is_is_told() -> None:
    assert windows("claude-code", {"five_hour": {"utilization": 140}})["5h"].used == 10_000
    over = windows("kimi", {"usage": {"limit": 100, "used": 130}})["week"]
    assert (over.used, over.total) == (130, 100)
    back = windows("kimi", {"usage": {"limit": 100, "remaining": 130}})["week"]
    assert back.used == 0, "more left than there is"


@pytest.mark.parametrize("value", [*ABSURD])
def test_what_cannot_be_a_figure_is_none(value: object) -> None:
    assert number(value) is None


@pytest.mark.parametrize(
    ("value", "end"),
    [
        (AN_HOUR, HOUR), (HOUR, HOUR), (HOUR * 1000, HOUR), (str(int(HOUR)), HOUR), ("2030-03-17T19:46:40+01:00", HOUR),
        (NOW - 3_600, NOW - 3_600), (NOW - 2 * 86_400, 0.0), (NOW + 500 * 86_400, 0.0), (0, 0.0), ("tomorrow", 0.0),
        ("9999-99-99", 0.0), (None, 0.0), (-5, 0.0), (float("nan"), 0.0), ([1], 0.0),
    ],
)  # fmt: skip
def test_an_end_is_a_date_or_an_epoch_and_near_enough_to_be_one(value: object, end: float) -> None:
    assert ends(value, NOW) == end


# ---- asking ---------------------------------------------------------------------------------------------------------


def test_every_vendor_of_the_configuration_can_be_asked() -> None:
    assert set(SHAPES) == set(VENDORS)
    assert ask(Quota(ask="of-a-later-version"), Account(id="a/b", name="b", secret_version="1"), "s") is None


@pytest.mark.parametrize("vendor", SHAPES)
def test_a_call_has_the_secret_in_its_headers_and_nowhere_that_is_shown(vendor: str) -> None:
    account = Account(id="a/b", name="b", secret_version="1", project="my-project")
    asked = ask(Quota(ask=vendor, workspace="ws-12345678"), account, "the-secret")
    assert isinstance(asked, Asked)
    assert asked.url == VENDORS[vendor].url
    assert [name for name, value in asked.headers.items() if "the-secret" in value] == ["authorization"]
    assert "the-secret" not in repr(asked)
    assert (asked.headers.get("chatgpt-account-id") == "ws-12345678") is (vendor == "codex")
    assert (b"my-project" in asked.body) is (vendor in ("gemini-cli", "antigravity", "kiro"))
