"""The headers of Cursor's own client, read back by the simulator, which shares no code with them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.snapshot import Account
from omni_router.domain.cursor_client import bearer, checksum
from omni_simulator.formats.cursor import check_client, machine_of
from omni_wire.errors import PermissionDenied

MACHINES = st.from_regex(r"[A-Za-z0-9-]{8,20}(/[A-Za-z0-9-]{8,20})?", fullmatch=True)


@given(MACHINES, st.integers(0, 1 << 40))
def test_a_checksum_tells_the_machine_and_the_time(machine: str, now: int) -> None:
    assert machine_of(checksum(machine, now)) == ((now // 1000) & 0xFFFFFFFF, machine)


def test_it_stays_the_same_for_a_thousand_seconds() -> None:
    assert checksum("0123abcd", 1_764_380_000) == checksum("0123abcd", 1_764_380_999)
    assert checksum("0123abcd", 1_764_380_000) != checksum("0123abcd", 1_764_381_000)


def test_an_account_that_did_not_ask_has_its_credential_only() -> None:
    account = Account(id="c/a", name="a", secret_version="1")
    assert bearer("s", account, 1) == bearer("s", None, 1) == {"authorization": "Bearer s"}


@pytest.mark.parametrize("told", ["", "short", "AAAAAAAA0123abcd", "########0123abcd", checksum("", 1_764_380_000)])
def test_the_simulator_takes_no_invented_checksum(told: str) -> None:
    with pytest.raises(PermissionDenied):
        check_client({b"x-cursor-checksum": told.encode(), b"x-cursor-client-version": b"1"})
