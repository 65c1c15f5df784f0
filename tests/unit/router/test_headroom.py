"""What a provider's headers tell of the quota that is left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain.headroom import headroom


@pytest.mark.parametrize(
    ("headers", "share"),
    [
        ({"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "15"}, 0.25),
        ({"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "0"}, 0.0),
        (
            {
                "anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-input-tokens-limit": "100", "anthropic-ratelimit-input-tokens-remaining": "10",
            },
            0.1,
        ),
        ({"anthropic-ratelimit-unified-5h-utilization": "0.75"}, 0.25),
        ({"x-codex-primary-used-percent": "20", "x-codex-secondary-used-percent": "60"}, 0.4),
        ({"x-codex-primary-used-percent": "130"}, 0.0),
        ({"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "12"}, 1.0),
    ],
)  # fmt: skip
def test_the_least_share_of_anything_is_what_is_left(headers: dict[str, str], share: float) -> None:
    told = headroom(headers)
    assert told is not None
    assert told[0] == pytest.approx(share)
    assert told[1] > 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-limit-requests": "60"},
        {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "1"},
        {"x-ratelimit-limit-requests": "nan", "x-ratelimit-remaining-requests": "nan"},
        {"x-codex-primary-used-percent": "-5"},
        {"x-codex-primary-used-percent": "inf"},
    ],
)
def test_nothing_told_is_nothing_known(headers: dict[str, str]) -> None:
    assert headroom(headers) is None


@given(st.text(max_size=8), st.text(max_size=8))
def test_whatever_a_provider_writes_a_share_is_a_share(limit: str, remaining: str) -> None:
    told = headroom({"x-ratelimit-limit-tokens": limit, "x-ratelimit-remaining-tokens": remaining})
    assert told is None or 0 <= told[0] <= 1
