"""API keys: their shape, and what is kept of them."""

import hashlib
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain import apikeys
from omni_auth.domain.apikeys import StoredKey
from omni_catalogue.keyshape import is_wellformed
from omni_catalogue.scopes import Scopes
from omni_wire.errors import InvalidRequest

entropy = st.binary(min_size=apikeys.ENTROPY_BYTES, max_size=apikeys.ENTROPY_BYTES)


def stored(key_id, name):
    return StoredKey(id=key_id, name=name, role="admin", models=("*",), requests_per_minute=0, budget_nano_usd=0,
                     budget_window="month", created=1, hint="or-1", digest=b"d" + key_id.encode())  # fmt: skip


@given(entropy)
def test_a_key_is_prefixed_checksummed_and_plain_in_urls_and_headers(chance):
    key_id, key = apikeys.mint(chance)
    assert re.fullmatch(r"or-[0-9a-f]{8}-[0-9A-Za-z]{43}-[0-9A-Za-z]{6}", key)
    assert key_id == f"api-{key[3:11]}"
    assert is_wellformed(key)


@given(entropy, entropy)
def test_other_chance_gives_another_key(one, other):
    assert (apikeys.mint(one) == apikeys.mint(other)) == (one == other)


@given(entropy, st.integers(0, 61), st.sampled_from("aZ09-x"))
def test_a_mistyped_key_is_not_wellformed(chance, place, char):
    _, key = apikeys.mint(chance)
    mistyped = key[:place] + char + key[place + 1 :]
    assert is_wellformed(mistyped) == (mistyped == key)


@given(st.text())
def test_any_text_can_be_asked_about(text):
    assert not is_wellformed(text)


def test_too_little_chance_is_refused():
    with pytest.raises(ValueError, match="random bytes"):
        apikeys.mint(b"x")


def test_what_is_kept_depends_on_key_and_pepper():
    digest = apikeys.presented_digest("or-key")
    assert digest == hashlib.sha256(b"or-key").digest()
    kept = apikeys.stored_digest(b"p" * 32, digest)
    assert kept not in (digest, apikeys.stored_digest(b"q" * 32, digest))


def test_a_key_is_found_by_id_or_name_and_one_of_the_file_is_refused_by_name():
    keys = [stored("api-1", "a"), stored("api-2", "b")]
    assert apikeys.find("api-2", keys, ["ci"], "f.yaml").name == "b"
    assert apikeys.find("a", keys, ["ci"], "f.yaml").id == "api-1"
    for word in ("ci", "key-ci"):
        with pytest.raises(InvalidRequest, match=r"managed by f\.yaml"):
            apikeys.find(word, keys, ["ci"], "f.yaml")
    with pytest.raises(InvalidRequest, match="there is no key 'x'"):
        apikeys.find("x", keys, ["ci"], "f.yaml")
    with pytest.raises(InvalidRequest, match="give the id api-1"):
        apikeys.find("a", keys, ["a"], "f.yaml")
    assert apikeys.find("api-1", keys, ["a"], "f.yaml").id == "api-1"


def test_of_two_organisations_keys_by_one_name_the_id_is_asked_for():
    keys = [stored("api-1", "a"), msgspec.structs.replace(stored("api-2", "a"), organisation="guests")]
    with pytest.raises(InvalidRequest, match=r"give the id, api-1 \(of default\) or api-2 \(of guests\)"):
        apikeys.find("a", keys, [], "f.yaml")
    assert apikeys.find("api-2", keys, [], "f.yaml").organisation == "guests"


def test_a_key_that_is_not_there_is_not_found_and_one_of_the_file_is_a_conflict():
    for word, status in (("x", 404), ("ci", 409)):
        with pytest.raises(InvalidRequest) as check:
            apikeys.find(word, [], ["ci"], "f.yaml")
        assert check.value.status == status


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "a b"}, {"role": "root"}, {"models": ()}, {"models": ("a b",)}, {"requests_per_minute": -1},
     {"budget_nano_usd": -1}, {"budget_nano_usd": 10**16}, {"budget_window": "year"},
     {"name": None}, {"models": "*"}, {"models": (1,)}, {"requests_per_minute": 1.5}, {"requests_per_minute": True},
     {"budget_nano_usd": float("nan")}, {"budget_nano_usd": float("inf")}, {"budget_nano_usd": 0.5},
     {"budget_nano_usd": "1"}]
)  # fmt: skip
def test_a_new_key_with_a_wrong_field_is_refused_by_its_name(wrong):
    fields = {"name": "a", "role": "developer", "models": ("*",), "requests_per_minute": 0, "budget_nano_usd": 0,
              "budget_window": "month"}  # fmt: skip
    apikeys.check_new(**fields)
    with pytest.raises(InvalidRequest) as caught:
        apikeys.check_new(**fields | wrong)
    assert caught.value.param == next(iter(wrong)).removesuffix("_nano_usd")


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("providers", ("a b",)), ("providers", ("",)), ("endpoints", ("embeddings",)), ("ips", ("everywhere",)),
     ("ips", ("10.0.0.1/8",)), ("expires", 100), ("expires", -1), ("expires", 10**12)]
)  # fmt: skip
def test_scopes_that_mean_nothing_are_refused_by_their_name(field, wrong):
    fields = {"name": "a", "role": "developer", "models": ("*",), "requests_per_minute": 0, "budget_nano_usd": 0,
              "budget_window": "month", "now": 100}  # fmt: skip
    right = Scopes(providers=("acme", "eu-*"), endpoints=("chat",), ips=("10.0.0.0/8", "::1"), expires=101)
    apikeys.check_new(**fields, scopes=right)
    with pytest.raises(InvalidRequest) as caught:
        apikeys.check_new(**fields, scopes=msgspec.structs.replace(right, **{field: wrong}))
    assert caught.value.param == field


def test_a_stored_key_does_not_show_its_digest():
    assert "digest" not in repr(stored("api-1", "a"))


def test_no_key_is_called_like_an_id_and_an_id_is_found_before_a_name():
    one, decoy = stored("api-ffffffff", "real"), stored("api-00000000", "api-ffffffff")
    assert apikeys.find("api-ffffffff", [decoy, one], [], "f.yaml") is one
    for name in ("api-ffffffff", "api-12345678", "key-ci"):
        with pytest.raises(InvalidRequest) as caught:
            apikeys.refuse_taken(name, [one], ["ci"])
        assert caught.value.param == "name"
    apikeys.refuse_taken("api-team", [one], ["ci"])
