"""What is masked in bodies before they leave a router."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_core.masking import bare, masked
from omni_core.redaction import keep_secret


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("mail ann.b+c@mail.example.com now", "mail [e-mail] now"),
        ("card 4111 1111 1111 1111.", "card [card]."),
        ("card 4111-1111-1111-1112", "card 4111-1111-1111-1112"),  # its check digit is wrong
        ("pay DE89 3704 0044 0532 0130 00 please", "pay [iban] please"),
        ("pay DE89 3704 0044 0532 0130 01 please", "pay DE89 3704 0044 0532 0130 01 please"),
        ("my key is sk-abcdefghij1234", "my key is sk-[redacted]"),
        ("at 1700000000000 ms", "at 1700000000000 ms"),
        ("a@b is no address", "a@b is no address"),
    ],
)
def test_secrets_and_what_tells_of_people_are_masked_and_nothing_else(said: str, kept: str) -> None:
    assert masked(said.encode()).decode() == kept


@given(st.binary(max_size=300))
def test_any_bytes_may_be_masked_and_masking_again_changes_nothing(body: bytes) -> None:
    once = masked(body)
    assert masked(once) == once


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=60) | st.just("ann@example.com, 4111111111111111")))
def test_json_stays_json(document: dict[str, str]) -> None:
    json.loads(masked(json.dumps(document).encode()))


@given(st.from_regex(r"[a-z]{1,10}@[a-z]{1,10}\.(com|org)", fullmatch=True), st.text(alphabet=" .,;\n", max_size=5))
def test_no_address_is_left_wherever_it_stands(address: str, around: str) -> None:
    assert address.encode() not in masked(f"{around}<{address}>{around}".encode())


def test_credentials_of_this_process_go_even_where_nothing_is_masked() -> None:
    keep_secret("no-shape-at-all-of-a-key")
    assert bare(b"ann@example.com has no-shape-at-all-of-a-key") == b"ann@example.com has [redacted]"
