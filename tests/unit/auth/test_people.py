"""Passwords, tries, codes and sessions, without a store."""

import asyncio

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.adapters.passwords import Argon2
from omni_auth.domain import people, throttle, totp
from omni_auth.domain.throttle import Tries
from omni_catalogue import roles
from omni_wire.errors import InvalidRequest, RateLimited

SECRET = totp.secret(bytes(range(20)))


@pytest.mark.parametrize("password", [
    "short", "password1234", "Password!!!!2026", "123456789012", "aaaaaaaaaaaa", "abababababab", "abcdefghijkl",
    "987654321098", "ada@example.org", "ada@example.org1", "adaadaada123", "qwertyuiop123", "LetMeIn12345", "x" * 257,
    "omniroute2026", "changeme!!!!!",
])  # fmt: skip
def test_what_is_guessed_first_is_no_password(password: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        people.check_password(password, "ada@example.org")
    assert password not in caught.value.message or len(password) < 6


@pytest.mark.parametrize("password", ["a horse and a staple", "Tr0ub4dor&3xyz", "пароль из трёх слов", "kX8#vQz1!mPw"])
def test_several_words_or_chance_are_one(password: str) -> None:
    people.check_password(password, "ada@example.org")


@given(st.lists(st.integers(0, 2_000_000), max_size=60))
def test_tries_never_wait_longer_than_a_bound_and_are_forgotten(gaps: list[int]) -> None:
    subject, tries, now = throttle.account("default", "ada"), Tries(), 1_000_000
    for gap in gaps:
        now += gap
        wait = throttle.waits(subject, tries, now)
        assert 0 <= wait <= throttle.LONGEST
        assert throttle.waits(subject, tries, now + wait) == 0
        tries = throttle.tried(tries, now + wait)
        now += wait
    assert throttle.waits(subject, tries, now + throttle.FORGOTTEN) == 0


@given(st.integers(5, 40))
def test_a_day_of_guessing_is_few_guesses(start: int) -> None:
    subject, tries, now, count = "account:x", Tries(start, 0), 0, 0
    while now < 86_400_000:
        now += throttle.waits(subject, tries, now)
        tries, count = throttle.tried(tries, now), count + 1
    assert count < 110


def test_an_account_is_its_organisations_and_an_ipv6_household_is_one() -> None:
    assert throttle.account("a", "Ada") == throttle.account("a", "ada") != throttle.account("b", "ada")
    assert throttle.address("2001:db8::1") == throttle.address("2001:db8::ffff") != throttle.address("2001:db8:0:1::1")
    assert throttle.address("nonsense") == throttle.address("")


@given(st.integers(10**9 * 1000, 4 * 10**9 * 1000), st.integers(-5, 5))
def test_a_code_counts_in_its_half_minute_and_those_beside_it_and_once(now: int, off: int) -> None:
    code = pyotp.TOTP(SECRET).generate_otp(now // totp.STEP + off)
    step = totp.step_of(SECRET, code, now, 0)
    if abs(off) <= totp.AROUND:
        assert step
        assert not any(totp.step_of(SECRET, code, now, used) == step for used in (step, step + 1))
    else:
        assert step == 0 or pyotp.TOTP(SECRET).generate_otp(step) == code


@given(st.text(max_size=12))
def test_no_text_makes_a_code_fail(text: str) -> None:
    assert totp.step_of(SECRET, text, 1_700_000_000_000, 0) in (0, *range(56_666_660, 56_666_670))
    assert len(totp.recovery_digest(text)) == 32


def test_recovery_codes_are_told_apart_and_read_however_they_are_written() -> None:
    codes = totp.recovery_codes(bytes(range(100)))
    assert len({totp.recovery_digest(code) for code in codes}) == totp.CODES
    assert totp.recovery_digest(codes[0].upper().replace("-", " ")) == totp.recovery_digest(codes[0])


@given(st.sampled_from(roles.ROLES), st.sampled_from(roles.ROLES))
def test_who_hands_out_a_role_has_all_that_it_has(one: str, other: str) -> None:
    if roles.gives(one, other):
        assert all(roles.may(one, area, level) for area, level in roles.POLICY[other].items())
    assert roles.gives("owner", other)
    assert not roles.gives("a role of tomorrow", "developer")
    assert not roles.gives(one, "a role of tomorrow")
    assert roles.gives("admin", "owner") is False


async def test_a_flood_of_log_ins_takes_no_more_memory_than_two() -> None:
    hasher = Argon2(kib=64, passes=1, at_once=2)
    stored = await hasher.hashed("right")
    assert await hasher.matches(stored, "right")
    assert not await hasher.matches(stored, "wrong")
    assert not await hasher.matches("", "nobody's"), "the password of nobody lets nobody in"
    assert not await hasher.matches("not argon2", "x")
    answers = await asyncio.gather(*(hasher.matches(stored, "right") for _ in range(200)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, RateLimited)]
    assert len(refused) == 200 - 34
    assert all(error.retry_after for error in refused)
    assert await hasher.matches(stored, "right")
    hasher.close()


def test_what_is_asked_for_is_at_least_what_owasp_asks_for() -> None:
    from omni_auth.adapters import passwords

    assert passwords.KIB >= 19 * 1024
    assert passwords.PASSES >= 2


def test_no_secret_is_shown() -> None:
    login = people.Login(id="u", organisation="o", name="n", role="owner", password="$argon2id$x", recovery=(b"r",))
    assert "argon2" not in repr(login)
