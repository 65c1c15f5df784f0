"""How long a provider tells to wait, in whichever of its many ways."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain import waits
from omni_router.domain.waits import Spent

NOW = 1_796_000_000.0  # 2026-11-30T00:53:20Z


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"13.5s"}]}}', 13.5),
        (b'{"error":{"details":[{"metadata":{"quotaResetDelay":"1h16m0.5s"}}]}}', 4560.5),
        (b'{"error":{"type":"usage_limit_reached","resets_in_seconds":4000}}', 4000.0),
        (b'{"error":{"type":"usage_limit_reached","resets_at":1796000090}}', 90.0),
        (b'{"error":{"message":"Rate limit reached. Please try again in 1m3.5s. Visit us"}}', 63.5),
        (b'{"error":{"message":"Please try again in 250ms"}}', 0.25),
        (b'{"error":{"message":"retry after 5 minutes"}}', 300.0),
        (b'{"error":{"message":"Wait 2 hours"}}', 900.0),  # words may be a client's
        (b'{"error":{"message":"retry after 20 messages"}}', None),
        (b'{"error":{"message":"you said: {\\"retryDelay\\": \\"99s\\"}"}}', None),
        (b'{"error":{"message":"no"}}', None),
        (b"\xff\x00", None),
        (b"", None),
    ],
)
def test_bodies_tell_it_in_fields_and_in_words(body: bytes, seconds: float | None) -> None:
    assert waits.told_wait({}, body, NOW) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("6m0s", 360.0), ("1h2m3s", 3723.0), ("500ms", 0.5), ("7", 7.0), ("0", 0.0), ("1796000042", 42.0),
        ("1796000042000", 42.0), ("2026-11-30T00:53:30Z", 10.0), ("2026-11-30T01:53:30+01:00", 10.0),
        ("2020-01-01T00:00:00Z", 0.0), ("soon", None), ("", None), ("nan", None), ("-5", None), ("5x", None),
    ],
)  # fmt: skip
def test_resets_are_a_span_a_number_an_epoch_time_or_a_date(value: str, seconds: float | None) -> None:
    assert waits.until(value, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "6m0s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, Spent(360.0, False)),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "12ms"}, None),  # not worth telling
        ({"x-ratelimit-remaining-tokens": "0"}, None),
        (
            {"anthropic-ratelimit-requests-remaining": "0",
             "anthropic-ratelimit-requests-reset": "2026-11-30T00:53:50Z"},
            Spent(30.0, False),
        ),
        (
            {"anthropic-ratelimit-unified-5h-utilization": "1.0", "anthropic-ratelimit-unified-5h-reset": "1796003600",
             "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"},
            Spent(3600.0, True),
        ),
        ({"x-codex-primary-used-percent": "100", "x-codex-primary-reset-after-seconds": "700"}, Spent(700.0, True)),
        ({"x-codex-primary-used-percent": "99.5", "x-codex-primary-reset-after-seconds": "700"}, None),
    ],
)  # fmt: skip
def test_a_good_answer_may_tell_that_it_was_the_last(headers: dict[str, str], found: Spent | None) -> None:
    assert waits.spent(headers, NOW) == found


def test_a_refusal_that_says_nothing_else_is_waited_for_by_its_used_up_windows() -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"}
    assert waits.told_wait(headers, b"{}", NOW) == 20.0
    assert waits.told_wait({**headers, "retry-after": "3"}, b"{}", NOW) == 3.0


HEADERS = ("retry-after", "retry-after-ms", "date", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests")


@given(st.dictionaries(st.sampled_from(HEADERS), st.text(max_size=30) | st.just("0")), st.binary(max_size=60))
def test_whatever_is_told_is_a_wait_or_nothing(headers: dict[str, str], body: bytes) -> None:
    wait = waits.told_wait(headers, body, NOW)
    assert wait is None or (0 <= wait <= 1e9 and math.isfinite(wait))


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["d", "h", "m", "s", "ms"])), min_size=1, max_size=5))
def test_spans_add_up(parts: list[tuple[int, str]]) -> None:
    unit = {"d": 86_400, "h": 3600, "m": 60, "s": 1, "ms": 0.001}
    text = "".join(f"{number}{name}" for number, name in parts)
    assert waits.duration(text) == pytest.approx(sum(number * unit[name] for number, name in parts))
