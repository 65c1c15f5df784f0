"""What a provider's failure tells a client: its status, its words, how long to wait."""

import pytest
from omni_router.domain.verdict import from_status

DATE = "Sat, 28 Nov 2026 21:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, b"", 7.0),
        ({"retry-after": "1.5"}, b"", 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, b"", 0.25),
        ({"retry-after": "Sat, 28 Nov 2026 21:00:42 GMT", "date": DATE}, b"", 42.0),
        ({"retry-after": "Sat, 28 Nov 2026 20:59:00 GMT", "date": DATE}, b"", 0.0),
        ({"retry-after": "Sat, 28 Nov 2026 21:00:42 GMT"}, b"", None),
        ({"retry-after": "Sat, 28 Nov 2026 21:00:42 -0000", "date": DATE}, b"", None),
        ({"retry-after": "soon", "date": DATE}, b"", None),
        ({"retry-after": "-1"}, b"", None),
        ({}, b'{"error":{"details":[{"retryDelay":"13s"}]}}', 13.0),
        ({}, b"", None),
    ],
)
def test_the_wait_is_kept_however_it_is_told(headers: dict[str, str], body: bytes, seconds: float | None) -> None:
    assert from_status(429, headers, body).retry_after == seconds


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [(400, 400, "upstream_rejected"), (429, 429, "upstream_rejected"), (529, 529, "upstream_failed"),
     (302, 502, "upstream_failed"), (700, 502, "upstream_failed")],
)  # fmt: skip
def test_the_providers_status_is_kept_where_it_is_one_of_an_error(status: int, told: int, kind: str) -> None:
    error = from_status(status, {}, b'{"error":{"message":"no"}}')
    assert (error.status, error.kind, error.message) == (told, kind, "no")
