"""USD as written become nano-USD exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain import scalars
from pydantic_core import PydanticCustomError


@pytest.mark.parametrize(
    ("written", "nano"),
    [
        ("1.25", 1_250_000_000), ("10", 10_000_000_000), ("0.125", 125_000_000), ("0", 0), ("0.1", 100_000_000),
        ("0.000000001", 1), ("1e-9", 1), ("2.5E1", 25_000_000_000), (".5", 500_000_000), ("3.", 3_000_000_000),
        ("1_000", 1_000_000_000_000), ("+1", 1_000_000_000), ("0.30000000000000000", 300_000_000),
        ("1000000", 1_000_000_000_000_000), ("999999.999999999", 999_999_999_999_999),
    ],
)  # fmt: skip
def test_prices_are_exact_to_the_nano(written, nano):
    assert scalars.usd(written) == nano


@given(st.decimals(min_value=0, max_value=scalars.MAX_USD, places=9, allow_nan=False))
def test_every_amount_in_nanos_survives(amount):
    assert scalars.usd(f"{amount:f}") == int(amount * Decimal(10**9))


@pytest.mark.parametrize("written", ["", "-1", "1,5", "$1", "inf", "nan", "1:30", "1e400", "0.0000000001", "1000001",
                                     "0x10", "1e", "--1", None, [], {}, "9" * 500])  # fmt: skip
def test_what_is_no_amount_is_refused(written):
    with pytest.raises(PydanticCustomError):
        scalars.usd(written)


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://127.0.0.1", True), ("http://127.8.9.1:80/x", True), ("http://LOCALHOST", True),
        ("http://api.localhost./v1", True), ("http://[::1]", True), ("http://192.168.0.1", True),
        ("http://100.64.0.1", True), ("http://0.0.0.0", True), ("http://[fe80::1]", True), ("http://[fd00::1]", True),
        ("http://224.0.0.1", True), ("http://8.8.8.8", False), ("https://api.openai.com/v1", False),
        ("http://[2606:4700::1]", False), ("http://localhost.example", False), ("http://[::", False),
    ],
)  # fmt: skip
def test_private_addresses_are_recognised(url, private):
    assert scalars.is_private(url) is private


def test_a_base_url_loses_its_last_slash():
    assert scalars.base_url("https://a.example/v1/") == "https://a.example/v1"
    assert scalars.base_url("HTTPS://A.example:8443") == "HTTPS://A.example:8443"
