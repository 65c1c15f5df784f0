"""The vault's keys as text: what is wrong is told with what to do, and no key is ever shown."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain.keyring import Kek, KeyringUnreadable, fresh_id, parse, render


def told(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=5, unique=True))
def test_what_is_written_is_read(keys: list[bytes]) -> None:
    keyring = tuple(Kek(f"k{number}", key) for number, key in enumerate(keys))
    assert parse(render(keyring)) == keyring
    assert parse(",".join(f"{kek.id}:{base64.b64encode(kek.key).decode()}" for kek in keyring)) == keyring


def test_lines_for_people_and_empty_ones_count_for_nothing() -> None:
    assert [kek.id for kek in parse(f"# keys, old:one\n\n b:{told(1)} ,\n a:{told(2)}\n")] == ["b", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no key"),
        ("# only words\n", "there is no key"),
        (told(1), "key 1 has no id"),
        (f"a:{told(1)},-b:{told(2)}", "key 2 has no id"),
        (f"{'a' * 33}:{told(1)}", "key 1 has no id"),
        ("a:secret!", "'a' is not base64"),
        ("a:c2VjcmV0", "'a' has 6 bytes and must have 32"),
        (f"a:{told(1)},a:{told(2)}", "two keys have the id 'a'"),
        (f"a:{told(1)},b:{told(1)}", "'a' and 'b' are the same key"),
    ],
)
def test_what_is_wrong_is_told_without_a_key(text: str, message: str) -> None:
    with pytest.raises(KeyringUnreadable) as raised:
        parse(text)
    assert message in str(raised.value)
    assert told(1) not in str(raised.value)
    assert "c2VjcmV0" not in str(raised.value)
    assert "secret!" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("key", [told(1), told(1).rstrip("="), "01" * 32])
def test_a_key_in_the_place_of_the_id_is_not_told(key: str) -> None:
    with pytest.raises(KeyringUnreadable, match="key 1 has no id") as raised:
        parse(f"{key}:a")
    assert key not in str(raised.value)


def test_no_text_of_a_key_shows_it() -> None:
    kek = Kek("a", b"canary-canary-canary-canary-cana")
    assert "canary" not in repr(kek) + str(kek) + f"{kek}" + repr([kek]) + repr({"keys": (kek,)})
    assert "canary" not in repr(kek.__rich_repr__())


def test_a_new_id_is_one_that_no_key_has() -> None:
    assert fresh_id("2026-11-29", []) == "2026-11-29"
    assert fresh_id("2026-11-29", ["2026-11-29", "2026-11-29.2"]) == "2026-11-29.3"
