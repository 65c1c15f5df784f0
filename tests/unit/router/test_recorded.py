"""Under which name a request is recorded, and what an entry is in the store: pure decisions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.snapshot import Idempotency
from omni_core.ports.router import Head
from omni_router.adapters.recordings import decode_entry, encode_entry
from omni_router.domain.recorded import HEADER, MAX_KEY, Named, fingerprint, named, wait_for
from omni_router.ports import Ended
from omni_wire.errors import KINDS, InvalidRequest, RateLimited, from_kind

REQUEST = st.tuples(st.sampled_from(["openai.chat", "ollama.chat"]), st.text(), st.booleans(), st.text(), st.binary())
TEXT = st.text(min_size=1, max_size=MAX_KEY)
ON = Idempotency(request_id=True, dedup=5.0)


def name(policy: Idempotency = ON, key_id: str = "k", key: str = "", own_id: str = "", print_: str = "p") -> Named:
    found = named(policy, key_id, {HEADER: key} if key else {}, own_id, print_)
    assert found is not None
    return found


@given(REQUEST, REQUEST)
def test_two_requests_have_one_fingerprint_only_where_they_are_the_same(one: Any, other: Any) -> None:
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


@given(TEXT, TEXT, TEXT, TEXT)
def test_a_name_is_of_one_api_key_and_one_key_alone(key_id: str, key: str, other_id: str, other: str) -> None:
    assert (name(key_id=key_id, key=key).name == name(key_id=other_id, key=other).name) == (
        (key_id, key) == (other_id, other)
    )


@given(TEXT, st.text(), st.text())
def test_a_name_can_stand_in_a_key_of_redis_whatever_the_client_wrote(key: str, own_id: str, print_: str) -> None:
    found = name(key=key, own_id=own_id, print_=print_).name
    assert found.isascii()
    assert found.isalnum()
    assert len(found) == 40


def test_the_header_is_heard_before_the_request_id_and_that_before_the_request_itself() -> None:
    assert name(key="a", own_id="b") == name(key="a")
    assert name(own_id="b", print_="x").name == name(own_id="b", print_="y").name
    assert name(print_="x").name != name(print_="y").name
    assert len({name(key="a").name, name(own_id="a").name, name(print_="a").name}) == 3
    assert (name(key="a").window, name(own_id="a").window, name().window) == (86_400, 86_400, 5)


def test_what_was_not_asked_for_is_not_gone_by() -> None:
    assert named(Idempotency(), "k", {}, "own", "p") is None
    assert named(Idempotency(), "k", {HEADER: ""}, "own", "p") is None
    assert named(Idempotency(), "k", {HEADER: "a"}, "", "p") is not None


def test_only_who_names_a_key_is_promised_one_call() -> None:
    assert (name(key="a").strict, name(own_id="a").strict, name().strict) == (True, True, False)
    assert not name(Idempotency(fail="open"), key="a").strict


def test_a_key_that_is_too_long_is_refused_by_its_header() -> None:
    with pytest.raises(InvalidRequest) as refused:
        name(key="x" * (MAX_KEY + 1))
    assert refused.value.param == "Idempotency-Key"


HEADS = st.builds(
    Head, st.integers(200, 299), st.booleans(), st.text(), st.text(), st.text(),
    st.lists(st.text()).map(tuple), st.booleans(), st.lists(st.text()).map(tuple), st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False), st.text(),
)  # fmt: skip


@given(st.one_of(st.binary(), HEADS))
def test_an_entry_is_the_same_when_it_comes_out_of_the_store(entry: Any) -> None:
    assert decode_entry(encode_entry(entry)) == entry


@given(
    st.sampled_from(sorted(KINDS)), st.text(), st.integers(400, 599), st.none() | st.floats(0, 1e6),
    st.none() | st.text(), st.text(min_size=1),
)  # fmt: skip
def test_so_is_the_error_that_it_ended_in(
    kind: str, message: str, status: int, retry_after: float | None, param: str | None, code: str
) -> None:
    error = from_kind(kind, message, status=status, retry_after=retry_after, param=param, code=code)
    ended = decode_entry(encode_entry(Ended(error)))
    assert isinstance(ended, Ended)
    found = ended.error
    assert found is not None
    assert type(found) is type(error)
    assert (found.message, found.status, found.retry_after, found.param, found.code) == (
        (message, status, retry_after, param, code)
    )
    assert found.reported, "whoever made it has written it down"


def test_a_good_end_has_no_error() -> None:
    assert decode_entry(encode_entry(Ended())) == Ended()


def test_a_head_of_a_version_that_says_more_or_less_is_read() -> None:
    said = b'H{"status":200,"stream":true,"content_type":"t","provider":"p","model":"m","of_tomorrow":[1]}'
    assert decode_entry(said) == Head(200, True, "t", "p", "m")


@given(st.floats(0, 1000), st.floats(0.1, 100), st.floats(0, 1, exclude_max=True))
def test_nobody_waits_past_a_lease_or_longer_than_being_followed_lasts(
    left: float, lease: float, chance: float
) -> None:
    wait = wait_for(left, lease, chance)
    assert 0.05 <= wait <= max(0.05, lease / 3) + 0.1
    assert wait <= max(left, 0.05) + 0.1


def test_a_refusal_keeps_its_retry_after() -> None:
    ended = decode_entry(encode_entry(Ended(RateLimited("slow down", retry_after=7.5))))
    assert isinstance(ended, Ended)
    assert ended.error is not None
    assert ended.error.retry_after == 7.5
