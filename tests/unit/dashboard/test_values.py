"""Money and times are exact."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_dashboard.domain.access import allow, presented_key
from omni_dashboard.domain.values import epoch_ms, nano_usd, usd
from omni_wire.errors import InvalidRequest, PermissionDenied, Unauthenticated


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "0.00"),
        (1, "0.000000001"),
        (1_250_000, "0.00125"),
        (1_500_000_000, "1.50"),
        (25 * 10**9, "25.00"),
        (-5, "-0.000000005"),
    ],
)
def test_money_is_shown_exactly(nano: int, text: str) -> None:
    assert usd(nano) == text


@given(st.integers(-(10**18), 10**18))
def test_money_comes_back_as_it_went(nano: int) -> None:
    assert nano_usd(Decimal(usd(nano))) == nano


def test_times_are_milliseconds_or_iso_8601() -> None:
    expected = 1_767_225_600_000
    for text in (str(expected), "2026-01-01T00:00:00Z", "2026-01-01", "2026-01-01T01:00:00+01:00"):
        assert epoch_ms(text, "from") == expected


@pytest.mark.parametrize(
    "text",
    [
        "yesterday",
        "-1",
        "1e9",
        "9" * 15,
        "9" * 16,
        "1969-12-31",
        "9999-12-31T23:59:59",
        "٣",
        "2026-01-01T00:00:00 01:00",
    ],
)
def test_other_times_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        epoch_ms(text, "until")
    assert caught.value.param == "until"


@given(st.text(max_size=40))
def test_no_text_breaks_the_reading_of_times(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert 0 <= epoch_ms(text, "from") < 10**14


def test_a_key_is_a_bearer_token_or_x_api_key() -> None:
    assert presented_key(b"Bearer or-1", b"") == b"or-1"
    assert presented_key(b"bearer  or-1 ", b"or-2") == b"or-1"
    assert presented_key(b"", b" or-2 ") == b"or-2"
    for authorization, x_api_key in (
        (b"", b""),
        (b"Bearer", b""),
        (b"Basic abc", b""),
        (b"Bearer a b", b""),
        (b"", b"x" * 600),
    ):
        with pytest.raises(Unauthenticated):
            presented_key(authorization, x_api_key)


def test_roles_have_what_their_table_says_and_an_unknown_one_has_nothing() -> None:
    allow("admin", "developer", "usage")
    allow("admin", "admin", "keys", write=True)
    allow("developer", "developer", "usage", write=True)
    allow("billing", "admin", "limits", write=True)
    for role, needed, area, write in (
        ("developer", "admin", "usage", False),
        ("", "developer", "", False),
        ("Admin", "admin", "usage", False),
        ("billing", "admin", "keys", False),
        ("viewer", "admin", "limits", True),
        ("admin", "admin", "people", True),
        ("owner", "admin", "an area that nobody named", False),
        ("service", "developer", "usage", False),
    ):
        with pytest.raises(PermissionDenied):
            allow(role, needed, area, write)
