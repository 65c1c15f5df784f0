"""How accounts' quotas stand, as people read it."""

from typing import Any

import pytest
from omni_launch.quota_lines import lasting, lines


def window(name: str, **changes: Any) -> dict[str, Any]:
    fields = {
        "name": name, "of": "percent", "used": 81.5, "total": 100.0, "remaining": 18.5, "remaining_percent": 18.5,
        "resets_at": 20_000.0, "resets_in": 11_100.0, "unlimited": False, "models": [], "source": "header",
        "as_of": 8_900.0, "stale": False, "forecast_exhausted_at": 11_300.0,
    }  # fmt: skip
    return fields | changes


def account(name: str, state: str, *windows: dict[str, Any], **changes: Any) -> dict[str, Any]:
    fields = {
        "account": name, "plan": "", "message": "", "state": state, "windows": list(windows), "reason": "",
        "failures": 0, "asks": True, "fetched_at": None, "forecast_exhausted_at": None,
    }  # fmt: skip
    return fields | changes


def test_accounts_are_a_table_of_their_windows_with_what_went_wrong_under_it() -> None:
    counted = window(
        "day",
        of="requests",
        used=990.0,
        total=1000.0,
        remaining_percent=1.0,
        source="counted",
        forecast_exhausted_at=None,
    )
    money = window(
        "once", of="usd", used=2.5, total=None, remaining_percent=None, resets_at=None, resets_in=None,
        source="fetched", stale=True, forecast_exhausted_at=None,
    )  # fmt: skip
    free = window("month:chat", unlimited=True, remaining_percent=None, used=0.0, total=None, of="requests")
    free |= {"forecast_exhausted_at": None}
    found = [
        account("claude/a", "low", window("5h"), plan="max"),
        account("acme/first", "used_up", counted, money, failures=3, reason="HTTP 500"),
        account("copilot/me", "ok", free),
        account("kiro/me", "unknown"),
    ]
    assert list(lines(found)) == [
        "ACCOUNT     PLAN  WINDOW      USED                   LEFT    ANEW IN     USED UP IN  KNOWN",
        "claude/a    max   5h          81.5 %                 18.5 %  3 h 05 min  40 min      header          low",
        "acme/first        day         990 of 1,000 requests  1 %     3 h 05 min              counted         USED UP",
        "                  once        2.5 USD                                                fetched, stale",
        "copilot/me        month:chat  0 requests             any     3 h 05 min              header",
        "kiro/me           -                                                                  nothing yet",
        "acme/first: its provider gave no answer 3 times: HTTP 500",
    ]


def test_nobody_is_told_how_to_begin() -> None:
    (line,) = lines([])
    assert "quota:" in line


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "now"), (59, "now"), (60, "1 min"), (3_599, "59 min"), (3_900, "1 h 05 min"), (93_600, "1 d 2 h")],
)
def test_times_are_as_long_as_people_say_them(seconds: float, said: str) -> None:
    assert lasting(seconds) == said
