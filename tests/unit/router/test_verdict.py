"""What a provider's failure tells a client: its status, its words, how long to wait."""

import json

import pytest
from omni_router.domain.verdict import (
    QUOTA_SPENT,
    UNAFFORDABLE,
    from_status,
    from_told,
    may_pass,
    other_account_may_help,
)

DATE = "Sat, 28 Nov 2026 21:00:00 GMT"
NOW = 1795899630.0  # half a minute later


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, b"", 7.0),
        ({"retry-after": "1.5"}, b"", 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, b"", 0.25),
        ({"retry-after": "Sat, 28 Nov 2026 21:00:42 GMT", "date": DATE}, b"", 42.0),
        ({"retry-after": "Sat, 28 Nov 2026 20:59:00 GMT", "date": DATE}, b"", 0.0),
        ({"retry-after": "Sat, 28 Nov 2026 21:00:42 GMT"}, b"", 12.0),  # by our clock, where it tells none
        ({"retry-after": "Sat, 28 Nov 2026 21:00:42 -0000", "date": DATE}, b"", 42.0),
        ({"retry-after": "soon", "date": DATE}, b"", None),
        ({"retry-after": "-1"}, b"", None),
        ({}, b'{"error":{"details":[{"retryDelay":"13s"}]}}', 13.0),
        ({}, b"", None),
    ],
)
def test_the_wait_is_kept_however_it_is_told(headers: dict[str, str], body: bytes, seconds: float | None) -> None:
    assert from_status(429, headers, body, NOW).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [(400, 400, "upstream_rejected"), (429, 429, "upstream_rejected"), (529, 529, "upstream_failed"),
     (302, 502, "upstream_failed"), (700, 502, "upstream_failed")],
)  # fmt: skip
def test_the_providers_status_is_kept_where_it_is_one_of_an_error(status: int, told: int, kind: str) -> None:
    error = from_status(status, {}, b'{"error":{"message":"no"}}', NOW)
    assert (error.status, error.kind, error.message) == (told, kind, "no")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, b'{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'),
        (429, b'{"error":{"type":"usage_limit_reached","message":"The usage limit has been reached"}}'),
        (402, b'{"error":{"message":"Insufficient credits","type":"insufficient_credits"}}'),
        (400, b'{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}'),
    ],
)
def test_a_spent_account_is_told_from_a_rate_limit_and_from_a_bad_request(status: int, body: bytes) -> None:
    error = from_status(status, {}, body, NOW)
    assert error.code == QUOTA_SPENT
    assert other_account_may_help(error)
    assert may_pass(error)


@pytest.mark.parametrize("left", [0, 900])
def test_an_account_that_cannot_pay_for_a_large_request_is_not_spent(left: int) -> None:
    told = f"This request requires more credits, or fewer max_tokens. You requested 4096, but can only afford {left}"
    error = from_status(402, {}, json.dumps({"error": {"message": told, "code": 402}}).encode(), NOW)
    assert (error.code == UNAFFORDABLE) is (left > 0)
    assert other_account_may_help(error)


def test_a_prompt_that_speaks_of_quotas_spends_none() -> None:
    body = b'{"error":{"message":"bad value: \\"insufficient_quota\\" Your credit balance is too low","code":"x"}}'
    assert from_status(400, {}, body, NOW).code != QUOTA_SPENT


def test_an_error_under_status_200_is_judged_as_one_with_its_own() -> None:
    error = from_told(b'{"error":{"code":"insufficient_quota","message":"no","resets_in_seconds":90}}', "it broke off")
    assert (error.status, error.code, error.retry_after) == (429, QUOTA_SPENT, 90.0)
    assert error.message == "it broke off: no"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_where_waiting_is_no_matter_words_are_not_searched_for_a_wait(status: int) -> None:
    body = b'{"error":{"message":"try again in 5s"}}'
    assert from_status(status, {}, body, NOW).retry_after is None
    assert from_status(status, {"retry-after": "9"}, body, NOW).retry_after == 9.0
