"""The envelope of a credential: it opens where it belongs, unchanged, and nowhere else."""

import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain.vault import (
    Binding,
    Sealed,
    VaultRefused,
    decrypt,
    encrypt,
    rewrap,
    seal,
    unseal,
)

HERE = Binding("default", "accounts", "a-1", "v1", 1_700_000_000_000)


class Keys:
    """KEKs in memory; the first is the primary."""

    def __init__(self, *ids: str) -> None:
        self.keys = {name: name.encode().ljust(32, b".") for name in ids}
        self.primary = ids[0]

    def wrap(self, kek: str, data_key: bytes, associated: bytes) -> bytes:
        return encrypt(self.keys[kek], data_key, associated, os.urandom)

    def unwrap(self, kek: str, wrapped: bytes, associated: bytes) -> bytes:
        if kek not in self.keys:
            raise VaultRefused(f"the key '{kek}' is not here")
        return decrypt(self.keys[kek], wrapped, associated)


KEYS = Keys("new", "old")


def flipped(content: bytes, bit: int) -> bytes:
    place = bit // 8 % len(content)
    return content[:place] + bytes([content[place] ^ 1 << bit % 8]) + content[place + 1 :]


@given(st.text(min_size=1, max_size=200))
def test_what_was_sealed_opens(secret: str) -> None:
    assert unseal(seal(secret, HERE, KEYS, os.urandom), HERE, KEYS) == secret


@given(st.integers(0, 10_000), st.sampled_from(["wrapped", "content"]))
def test_no_flipped_bit_opens(bit: int, field: str) -> None:
    sealed = seal("s3cret-of-acme", HERE, KEYS, os.urandom)
    changed = msgspec.structs.replace(sealed, **{field: flipped(getattr(sealed, field), bit)})
    for use in (unseal, rewrap):
        with pytest.raises(VaultRefused) as raised:
            use(changed, HERE, KEYS)
        assert "s3cret" not in str(raised.value)


@given(st.integers(0, 100), st.sampled_from(["wrapped", "content"]))
def test_no_shortened_row_opens(length: int, field: str) -> None:
    sealed = seal("s3cret", HERE, KEYS, os.urandom)
    whole = getattr(sealed, field)
    with pytest.raises(VaultRefused):
        unseal(msgspec.structs.replace(sealed, **{field: whole[: min(length, len(whole) - 1)]}), HERE, KEYS)


_ids = st.text(max_size=5)
bindings = st.builds(Binding, _ids, _ids, _ids, _ids, st.integers(0, 1 << 53))


@given(bindings, bindings)
def test_a_row_opens_only_where_it_belongs(here: Binding, there: Binding) -> None:
    sealed = seal("s3cret", here, KEYS, os.urandom)
    if here == there:
        assert unseal(sealed, there, KEYS) == "s3cret"
        return
    for use in (unseal, rewrap):
        with pytest.raises(VaultRefused):
            use(sealed, there, KEYS)


@pytest.mark.parametrize("field", Binding.__struct_fields__)
def test_each_layer_is_bound_to_each_field_by_itself(field: str) -> None:
    sealed = seal("s3cret", HERE, KEYS, os.urandom)
    other = 1 if field == "sealed_at" else "other"
    there = msgspec.structs.replace(HERE, **{field: other})
    data_key = KEYS.unwrap(sealed.kek, sealed.wrapped, HERE.associated("data key", sealed.kek))
    assert decrypt(data_key, sealed.content, HERE.associated("secret")) == b"s3cret"
    with pytest.raises(VaultRefused):
        KEYS.unwrap(sealed.kek, sealed.wrapped, there.associated("data key", sealed.kek))
    with pytest.raises(VaultRefused):
        decrypt(data_key, sealed.content, there.associated("secret"))


def test_halves_of_two_rows_do_not_make_one() -> None:
    one, two = (seal(secret, HERE, KEYS, os.urandom) for secret in ("one", "two"))
    with pytest.raises(VaultRefused):
        unseal(Sealed(one.kek, one.wrapped, two.content), HERE, KEYS)


def test_a_row_that_names_another_key_does_not_open() -> None:
    sealed = seal("s3cret", HERE, KEYS, os.urandom)
    for kek in ("old", "gone", ""):
        with pytest.raises(VaultRefused):
            unseal(msgspec.structs.replace(sealed, kek=kek), HERE, KEYS)


def test_a_new_wrapping_changes_the_wrapping_alone() -> None:
    sealed = seal("s3cret", HERE, Keys("old"), os.urandom)
    renewed = rewrap(sealed, HERE, KEYS)
    assert (renewed.kek, renewed.content) == ("new", sealed.content)
    assert unseal(renewed, HERE, Keys("new")) == "s3cret"
    with pytest.raises(VaultRefused, match="'new' is not here"):
        unseal(renewed, HERE, Keys("old"))


def test_no_two_secrets_share_a_data_key_or_a_nonce() -> None:
    rows = [seal("s3cret", HERE, KEYS, os.urandom) for _ in range(50)]
    assert len({row.content[:12] for row in rows} | {row.wrapped[:12] for row in rows}) == 100
    data_keys = {KEYS.unwrap(row.kek, row.wrapped, HERE.associated("data key", row.kek)) for row in rows}
    assert len(data_keys) == 50


class Turning(Keys):
    """Another process rotates whenever it is asked."""

    @property
    def primary(self) -> str:
        self.turns = getattr(self, "turns", 0) + 1
        return list(self.keys)[self.turns % len(self.keys)]

    @primary.setter
    def primary(self, _: str) -> None:
        """There is none for long."""


def test_a_primary_that_is_another_one_a_moment_later_leaves_nothing_that_does_not_open() -> None:
    keys = Turning("new", "old")
    for _ in range(4):
        sealed = seal("s3cret", HERE, keys, os.urandom)
        assert unseal(sealed, HERE, keys) == unseal(rewrap(sealed, HERE, keys), HERE, keys) == "s3cret"
