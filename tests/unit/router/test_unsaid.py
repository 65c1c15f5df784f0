"""A provider that repeats the credential which it refuses tells it to nobody."""

import base64
from urllib.parse import quote

import pytest
from omni_router.domain.unsaid import without

SECRET = 'sk/abcdef0123456789+"='


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        f"Bearer {SECRET}",
        SECRET.replace('"', '\\"'),
        quote(SECRET, safe=""),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
        *(base64.b64encode(user + SECRET.encode()).decode() for user in (b"", b"u:", b"us:", b"use:")),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_it_is_left_out_in_whatever_form(form: str) -> None:
    shown = without(SECRET, f"Incorrect API key provided: {form}. Try another.")
    assert "[redacted]" in shown
    assert shown.startswith("Incorrect API key provided: ")
    assert shown.endswith(". Try another.")
    for part in (SECRET[:12], SECRET.encode().hex()[:24], base64.b64encode(SECRET.encode()).decode()[:12]):
        assert part not in shown


@pytest.mark.parametrize("length", [8, 12, len(SECRET) - 1])
def test_its_beginning_is_left_out_where_the_words_were_cut_off_in_it(length: int) -> None:
    assert without(SECRET, f"wrong: {SECRET[:length]}") == "wrong: [redacted]"


def test_other_words_stay() -> None:
    assert without(SECRET, "no such model: sk/abc") == "no such model: sk/abc"
    assert without("none", "none of these") == "none of these"
    assert without("", "anything") == "anything"
