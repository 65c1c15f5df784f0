"""What answers tell of rate limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain.told_rates import NOTHING, Told, told
from omni_wire.errors import UpstreamFailed, UpstreamRejected

NOW = 1_800_000_000.0


def openai(limit: object = 100, left: object = 50, reset: str = "6s", what: str = "requests") -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{what}": str(limit),
        f"x-ratelimit-remaining-{what}": str(left),
        f"x-ratelimit-reset-{what}": reset,
    }


def test_limits_are_read_and_what_is_left_only_where_it_is_little() -> None:
    assert told(openai() | openai(9_000, 8_000, what="tokens"), None, NOW) == Told(100, 9_000)
    assert told(openai(left=7), None, NOW) == Told(100, 0, requests_left=7, left_for=6.0)
    assert told(openai(9_000, 900, "1m0s", "tokens"), None, NOW) == Told(0, 9_000, tokens_left=900, left_for=60.0)


def test_anthropics_headers_say_the_same_with_a_date() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:30Z",
        "anthropic-ratelimit-tokens-limit": "40000",
    }
    assert told(headers, None, NOW) == Told(50, 40_000, requests_left=0, left_for=30.0)


def test_what_lasts_for_long_is_believed_for_a_while() -> None:
    assert told(openai(left=1, reset="2h"), None, NOW).left_for == 120.0


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (UpstreamRejected("rate limit reached", status=429), "rate"),
        (UpstreamRejected("Too many concurrent requests", status=429), "at_once"),
        (UpstreamRejected("nothing left", status=429, code="upstream_quota_spent"), ""),
        (UpstreamRejected("no", status=403), ""),
        (UpstreamFailed("broken"), ""),
    ],
)
def test_a_refusal_tells_why(error: UpstreamFailed, refused: str) -> None:
    assert told({}, error, NOW).refused == refused


def test_of_most_answers_nothing_is_told() -> None:
    assert told({"content-type": "text/event-stream"}, None, NOW) is NOTHING


@given(st.dictionaries(st.sampled_from(sorted(openai() | openai(what="tokens"))), st.text(max_size=30)))
def test_whatever_a_header_says_limits_are_counts(headers: dict[str, str]) -> None:
    found = told(headers, None, NOW)
    assert min(found.requests_per_minute, found.tokens_per_minute) >= 0
    assert min(found.requests_left, found.tokens_left) >= -1
    assert 0.0 <= found.left_for <= 120.0
