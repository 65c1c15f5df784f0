"""How an account's quota stands: counted, corrected by what is told, and what follows from it."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.quota_states import QuotaWindowState
from omni_catalogue.quotas import SPANS, Quota, QuotaWindow
from omni_ledger import Known, QuotaStanding
from omni_quota.domain.standing import counts_of, is_used_up, pauses, shares_left, state_of

NOW = 1_900_000_000_000  # ms; 2030-03-17T17:46:40Z, a Sunday
HOUR = 3_600_000
FIVE = QuotaWindow(window="5h", of="tokens", most=1_000, resets="first-use")
DAY = QuotaWindow(window="day", of="requests", most=100)
ONCE = QuotaWindow(window="once", of="usd", most=25_000_000_000)


def known(name: str = "5h", used: int = 4_000, **changes: object) -> Known:
    fields: dict[str, object] = {
        "name": name, "of": "percent", "used": used, "total": 10_000, "ends_ms": NOW + HOUR, "unlimited": False,
        "models": (), "at_ms": NOW - 60_000, "how": "header", "counted": -1,
    }  # fmt: skip
    return Known(**(fields | changes))  # type: ignore[arg-type]


def standing(*windows: Known, counts: tuple[tuple[int, int, int], ...] = (), failures: int = 0) -> QuotaStanding:
    return QuotaStanding("max", "", NOW - HOUR, windows, NOW - HOUR, failures, "HTTP 500" if failures else "", counts)


def shown(quota: Quota, found: QuotaStanding, now_ms: int = NOW) -> dict[str, QuotaWindowState]:
    return {window.name: window for window in state_of("acme/first", quota, found, now_ms).windows}


def test_what_nobody_told_is_what_was_counted() -> None:
    quota = Quota(windows=(FIVE, DAY, ONCE))
    ends = (NOW + 2 * HOUR) // 1000
    found = shown(quota, standing(counts=((250, 5, ends), (80, 0, 1_900_022_400), (0, 0, 0))))
    assert (found["5h"].used, found["5h"].total, found["5h"].resets_at) == (250, 1_000, ends)
    assert (found["5h"].source, found["5h"].as_of_ms, found["5h"].stale) == ("counted", NOW, False)
    assert found["5h"].exhausts_at == 0, "a quarter in three hours lasts"
    assert found["day"].share_left == pytest.approx(0.2)
    assert NOW / 1000 < found["day"].exhausts_at < found["day"].resets_at
    assert (found["once"].resets_at, found["once"].share_left) == (0, 1.0)


def test_what_is_told_stands_before_what_was_counted_and_what_is_used_since_is_added() -> None:
    quota = Quota(windows=(FIVE,))
    (five,) = shown(quota, standing(known(counted=250), counts=((350, 0, 1),))).values()
    assert (five.of, five.used, five.total, five.source) == ("percent", 5_000, 10_000, "header")
    same = known(of="tokens", used=600, total=2_000, counted=250, how="fetched")
    (five,) = shown(quota, standing(same, counts=((350, 0, 1),))).values()
    assert (five.of, five.used, five.total, five.source) == ("tokens", 700, 2_000, "fetched")


@pytest.mark.parametrize("counted", [-1, 400])
def test_what_was_counted_in_another_window_is_not_added(counted: int) -> None:
    (five,) = shown(Quota(windows=(FIVE,)), standing(known(counted=counted), counts=((350, 0, 1),))).values()
    assert five.used == 4_000


def test_a_window_that_shrinks_is_taken_as_it_is_told() -> None:
    found = known(of="tokens", used=900, total=500, counted=0)
    (five,) = shown(Quota(windows=(FIVE,)), standing(found, counts=((0, 0, 1),))).values()
    assert (five.used, five.total, five.share_left) == (900, 500, 0.0)


@pytest.mark.parametrize(
    "over",
    [
        known(ends_ms=NOW), known(ends_ms=NOW - HOUR), known(at_ms=NOW + 2 * HOUR),
        known(ends_ms=0, at_ms=NOW - 5 * HOUR), known(ends_ms=NOW + 90 * 24 * HOUR, at_ms=NOW - 6 * HOUR),
    ],
    ids=["just ended", "ended", "told in the future", "without an end, too old", "an end that no such window has"],
)  # fmt: skip
def test_what_is_told_of_a_window_that_is_over_is_forgotten(over: Known) -> None:
    (five,) = shown(Quota(windows=(FIVE,)), standing(over, counts=((70, 0, 1),))).values()
    assert (five.source, five.used) == ("counted", 70)
    assert shown(Quota(), standing(over)) == {}


def test_what_is_told_of_windows_that_nobody_configured_is_shown_too() -> None:
    opus, tools = known("week:opus", 9_900, models=("*opus*",)), known("month:tools", 9_999)
    found = shown(Quota(), standing(known(), opus, tools))
    assert {name: window.is_aside for name, window in found.items()} == {
        "5h": False, "week:opus": False, "month:tools": True,
    }  # fmt: skip
    own = QuotaWindow(window="month", of="percent", label="month:tools", models=("glm-*",))
    mine = shown(Quota(windows=(own,)), standing(tools))["month:tools"]
    assert (mine.is_aside, mine.models) == (False, ("glm-*",)), "the configuration says which models those are"


def test_what_was_fetched_is_stale_when_the_next_fetch_failed_or_is_long_overdue() -> None:
    quota = Quota(ask="codex", every=300)
    fetched = known(how="fetched", at_ms=NOW - 600_000)
    assert not shown(quota, standing(fetched))["5h"].stale
    assert shown(quota, standing(fetched, failures=1))["5h"].stale
    assert shown(quota, standing(known(how="fetched", at_ms=NOW - 1_000_000)))["5h"].stale
    header = known(at_ms=NOW - 600_000)
    assert not shown(quota, standing(header, failures=9))["5h"].stale, "headers come by themselves"
    assert shown(quota, standing(known(at_ms=NOW - 2 * HOUR)))["5h"].stale


def test_the_whole_has_a_word_and_the_first_forecast() -> None:
    week = known("week", 5_000, ends_ms=NOW + 6 * 24 * HOUR)
    for used, word in ((4_000, "ok"), (8_500, "low"), (9_850, "used_up")):
        state = state_of("a/b", Quota(), standing(known(used=used), week), NOW)
        assert state.word == word
    assert state.forecast_exhausted_at == min(each.exhausts_at for each in state.windows)
    assert state_of("a/b", Quota(), standing(), NOW).word == "unknown"


# ---- leaving it alone -----------------------------------------------------------------------------------------------


def test_an_account_is_left_alone_until_the_last_of_its_used_up_windows_begins_anew() -> None:
    state = state_of("a/b", Quota(), standing(known(used=9_800), known("week", 10_000, ends_ms=NOW + 50 * HOUR)), NOW)
    assert pauses(state, [], NOW / 1000) == (50 * 3_600.0, {})
    state = state_of("a/b", Quota(cutoff=1.0), standing(known(used=9_800)), NOW)
    assert pauses(state, [], NOW / 1000) == (0.0, {}), "two percent are left, and one is the cutoff"


def test_a_window_of_some_models_is_for_these_alone() -> None:
    opus = known("week:opus", 10_000, models=("*opus*",))
    state = state_of("a/b", Quota(), standing(known(), opus), NOW)
    whole, parts = pauses(state, ["claude-opus-4-6", "claude-sonnet-4-5"], NOW / 1000)
    assert (whole, parts) == (0.0, {"claude-opus-4-6": 3_600.0})
    assert state.word == "ok"


def test_what_is_stale_or_aside_keeps_nobody_out() -> None:
    stale = state_of("a/b", Quota(ask="codex"), standing(known(used=10_000, how="fetched"), failures=1), NOW)
    assert pauses(stale, [], NOW / 1000)[0] == 0.0
    tools = state_of("a/b", Quota(), standing(known("month:tools", 10_000)), NOW)
    assert pauses(tools, [], NOW / 1000)[0] == 0.0
    free = state_of("a/b", Quota(), standing(known("month", 0, total=0, unlimited=True, of="requests")), NOW)
    assert (pauses(free, [], NOW / 1000)[0], free.word) == (0.0, "ok")


def test_what_does_not_say_when_it_has_some_again_is_looked_at_again_in_a_while() -> None:
    gone = known("once", 25_000_000_000, of="usd", total=25_000_000_000, ends_ms=0)
    whole, _ = pauses(state_of("a/b", Quota(), standing(gone), NOW), [], NOW / 1000)
    assert 0 < whole <= 900


names = st.sampled_from([*SPANS, "week:opus", "month:tools", "90m"])
ints = st.integers(0, 2**53)
told = st.builds(
    Known, names, st.sampled_from(["percent", "requests", "usd"]), ints, ints, st.integers(0, 2 * NOW), st.booleans(),
    st.sampled_from([(), ("*opus*",)]), st.integers(0, 2 * NOW), st.sampled_from(["header", "fetched"]),
    st.integers(-1, 2**53),
)  # fmt: skip


@given(
    st.lists(told, max_size=5), st.lists(st.tuples(ints, ints, ints), min_size=3, max_size=3), st.integers(1, 2 * NOW)
)
def test_whatever_redis_has_a_state_is_made_of_it(
    windows: list[Known], counts: list[tuple[int, int, int]], now_ms: int
) -> None:
    quota = Quota(windows=(FIVE, DAY, ONCE), ask="codex")
    state = state_of("a/b", quota, standing(*windows, counts=tuple(counts)), now_ms)
    shares = [window.share_left for window in state.windows]
    assert all(share is None or 0 <= share <= 1 for share in shares)
    whole, parts = pauses(state, ["opus", "x"], now_ms / 1000)
    assert whole >= 0
    assert all(wait >= 0 for wait in parts.values())
    for window in state.windows:
        assert window.exhausts_at == 0 or now_ms / 1000 <= window.exhausts_at
        if whole == 0 and is_used_up(window, quota.cutoff) and not window.models:
            assert 0 < window.resets_at <= now_ms / 1000
    assert msgspec.json.encode(state)


def test_the_ledger_is_asked_for_what_is_counted_only() -> None:
    told_only = QuotaWindow(window="week", of="percent")
    opus = QuotaWindow(window="week", of="requests", models=("*opus*",))
    asked = counts_of(Quota(windows=(FIVE, told_only, opus, ONCE)), "a/b", NOW / 1000)
    assert [(each.owner, each.of) for each in asked] == [
        ("account:a/b", "tokens"), ("account:a/b week:*opus*", "requests"), ("account:a/b", "usd"),
    ]  # fmt: skip
    assert [each.window for each in asked][::2] == [("5h", 18_000), "total"]


def test_credits_are_used_up_as_fast_as_in_the_last_days() -> None:
    days = ((NOW - 48 * HOUR, 1_000), (NOW - 24 * HOUR, 1_500))
    credits = known("once", 2_000, of="credits", ends_ms=0, how="fetched", days=days)
    state = state_of("acme/first", Quota(), standing(credits), NOW)
    assert state.windows[0].exhausts_at == state.forecast_exhausted_at == NOW / 1000 + 16 * 86_400
    told = known("once", 2_000, of="credits", ends_ms=0, how="fetched", days=days, unlimited=True)
    assert state_of("acme/first", Quota(), standing(told), NOW).forecast_exhausted_at == 0


def test_an_account_has_as_much_left_as_the_tightest_of_its_windows() -> None:
    windows = (
        known("5h", 4_000), known("week", 9_000), known("day", 7_000, models=("big*",)),
        known("once:tools", 9_900), known("month", 9_999, at_ms=NOW - 9 * HOUR),
    )  # fmt: skip
    state = state_of("acme/first", Quota(), standing(*windows), NOW)
    assert shares_left(state, ["big-1", "small"]) == (0.1, {"big-1": 0.3})
    assert shares_left(state_of("acme/first", Quota(), standing(), NOW), ["m"]) == (None, {})
