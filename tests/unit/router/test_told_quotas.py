"""What an answer's headers tell of its account's quota, and what of that is news."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.quotas import Quota, QuotaWindow
from omni_ledger import Counts, Told
from omni_router.domain.told_quotas import told
from omni_router.domain.waits import Spent, spent
from omni_router.service.quota_news import QuotaNews

NOW = 1_900_000_000.0
CLAUDE = {
    "anthropic-ratelimit-unified-5h-utilization": "0.375",
    "anthropic-ratelimit-unified-5h-reset": str(int(NOW) + 3_600),
    "anthropic-ratelimit-unified-7d-utilization": "1.2",
    "anthropic-ratelimit-unified-7d-reset": str(int(NOW) + 86_400),
}
CODEX = {
    "x-codex-primary-used-percent": "40",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-after-seconds": "1800",
    "x-codex-secondary-used-percent": "12.5",
    "x-codex-secondary-window-minutes": "10080",
}
COPILOT = {
    "x-quota-snapshot-premium_interactions": "ent=300&ov=0.0&ovPerm=false&rem=25.0&rst=2030-03-17T18:46:40Z",
    "x-quota-snapshot-chat": "ent=-1&ov=0.0&ovPerm=false&rem=100.0&rst=2030-03-17T18:46:40Z",
    "x-usage-ratelimit-session": "ent=50&rem=67.5&rst=2030-03-17T18:46:40Z",
}
HEADERS = {*CLAUDE, *CODEX, *COPILOT}


def shares(headers: dict[str, str], now: float = NOW) -> dict[str, tuple[float, float]]:
    return {share.window: (share.used, share.ends_in) for share in told(headers, now)}


def test_claude_tells_shares_and_ends() -> None:
    assert shares(CLAUDE) == {"5h": (0.375, 3_600.0), "week": (1.0, 86_400.0)}


def test_codex_tells_percents_and_names_its_windows_by_their_minutes() -> None:
    assert shares(CODEX) == {"5h": (0.4, 1_800.0), "week": (0.125, 0.0)}
    free = CODEX | {"x-codex-primary-window-minutes": "10080"}
    assert "5h" not in shares(free)
    assert shares(CODEX | {"x-codex-primary-window-minutes": "90"})["90m"] == (0.4, 1_800.0)


def test_copilot_tells_what_is_left_where_there_is_a_number_of_it() -> None:
    assert shares(COPILOT) == {"month:premium": (0.75, 3_600.0), "5h": (pytest.approx(0.325), 3_600.0)}
    more = COPILOT["x-quota-snapshot-premium_interactions"].replace("ovPerm=false", "ovPerm=true")
    assert "month:premium" not in shares({"x-quota-snapshot-premium_interactions": more})


def test_the_providers_own_clock_counts() -> None:
    an_hour_late = CLAUDE | {"date": "Sun, 17 Mar 2030 17:46:40 GMT"}
    assert shares(an_hour_late, NOW + 3_600)["5h"] == (0.375, 3_600.0)


@given(
    st.dictionaries(
        st.sampled_from(sorted(HEADERS)), st.text(max_size=30) | st.floats().map(str) | st.integers().map(str)
    )
)
def test_whatever_headers_say_it_is_a_share_and_a_time(headers: dict[str, str]) -> None:
    found = told(headers, NOW)
    assert len({share.window for share in found}) == len(found)
    for share in found:
        assert 0 <= share.used <= 1
        assert 0 <= share.ends_in < 1e10


def test_an_account_counts_as_used_up_from_its_cutoff_on() -> None:
    nearly = {"anthropic-ratelimit-unified-5h-utilization": "0.98", "anthropic-ratelimit-unified-5h-reset": "600"}
    assert spent(nearly, NOW) is None
    assert spent(nearly, NOW, cutoff=0.02) == Spent(600.0, whole_account=True)
    assert spent({"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "9s"}, NOW, cutoff=0.5) is None


QUOTA = Quota(
    windows=(QuotaWindow(window="5h", of="tokens", resets="first-use"), QuotaWindow(window="week", of="percent"))
)


def test_what_is_told_comes_with_what_we_count_of_the_same_window() -> None:
    news = QuotaNews().news("a/b", QUOTA, CLAUDE, NOW)
    assert news == (
        Told(
            name="5h", of="percent", used=3_750, total=10_000, ends_in=3_600.0,
            counts=Counts("account:a/b", "tokens", ("5h", 18_000)),
        ),
        Told(name="week", of="percent", used=10_000, total=10_000, ends_in=86_400.0),
    )  # fmt: skip


def test_the_same_is_told_once_a_minute_and_a_percent_more_at_once() -> None:
    heard = QuotaNews()

    def news(used: str, at: float, ends: int = 3_600) -> bool:
        said = {
            "anthropic-ratelimit-unified-5h-utilization": used,
            "anthropic-ratelimit-unified-5h-reset": str(int(NOW) + ends),
        }
        return bool(heard.news("a/b", QUOTA, said, NOW + at))

    assert news("0.40", 0)
    assert not news("0.40", 5)
    assert not news("0.405", 10)
    assert news("0.41", 11)
    assert not news("0.41", 12)
    assert news("0.41", 13, ends=9_000), "another window"
    assert news("0.41", 80, ends=9_000), "a minute later"
    assert news("0.41", -500, ends=9_000), "a clock that was put back"
    assert not heard.news("a/b", QUOTA, {}, NOW)
    assert heard.news("a/other", QUOTA, CLAUDE, NOW), "each account by itself"
