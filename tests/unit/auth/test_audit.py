"""The chain of audit entries, without a database."""

import msgspec
import pytest
from omni_auth.domain.audit import REDACTED, Entry, head, redacted, seal, verify
from omni_wire.errors import InvalidRequest

FIELDS = Entry.__struct_fields__


def chain(count=4):
    entries = []
    for number in range(1, count + 1):
        plain = Entry(
            seq=0, at=1_700_000_000_000 + number, organisation="default", actor="cli:uid-0", action="keys.create",
            target=f"keys/api-{number}", before="null", after='{"name":"ü"}',
        )  # fmt: skip
        entries.append(seal(plain, entries[-1] if entries else None))
    return entries


def rows(entries):
    stored = [msgspec.structs.astuple(entry) for entry in entries]
    return [tuple(part.encode() if isinstance(part, str) else part for part in row) for row in stored]


def test_a_chain_as_it_was_written_is_good_and_an_empty_one_too():
    entries = chain()
    found = verify(rows(entries))
    assert (found.entries, found.head, found.bad) == (4, head(entries[-1]), None)
    assert verify([]).bad is None


def flips(value):
    """The value with one bit turned, at each of its bytes."""
    data = value.to_bytes(8, "big") if isinstance(value, int) else value
    for place in range(len(data)):
        for bit in (0x01, 0x80):
            turned = data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :]
            yield int.from_bytes(turned, "big") if isinstance(value, int) else turned


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("column", range(len(FIELDS)), ids=FIELDS)
def test_any_flipped_byte_is_found_in_the_first_bad_row(place, column):
    good = rows(chain())
    seen = 0
    for turned in flips(good[place][column]):
        damaged = [*good]
        damaged[place] = (*good[place][:column], turned, *good[place][column + 1 :])
        found = verify(damaged)
        assert found.bad == place + 1, (FIELDS[column], turned)
        assert found.entries == place
        seen += 1
    assert seen > 0


def test_what_moves_between_fields_is_found():
    entry = chain(1)[0]
    moved = msgspec.structs.replace(entry, actor=entry.actor + "keys", action=entry.action.removeprefix("keys"))
    assert verify(rows([moved])).bad == 1


def test_a_row_that_is_missing_put_in_or_out_of_place_is_found():
    entries = chain()
    assert verify(rows([entries[0], *entries[2:]])).bad == 2
    assert verify(rows([entries[0], entries[0], *entries[1:]])).bad == 2
    assert verify(rows([entries[1], entries[0]])).bad == 1
    again = seal(msgspec.structs.replace(entries[1], after="null"), entries[0])  # resealed, but what follows is not
    assert verify(rows([entries[0], again, *entries[2:]])).bad == 3


def test_a_noted_head_shows_what_the_chain_alone_cannot():
    entries = chain()
    noted = head(entries[-1])
    assert verify(rows(entries), noted).bad is None
    assert verify(rows(entries), head(entries[1])).bad is None
    assert verify(rows(entries[:2])).bad is None
    assert verify(rows(entries[:2]), noted).bad == 3
    assert verify([], noted).bad == 1
    rewritten = chain()[:3]
    rewritten.append(seal(msgspec.structs.replace(entries[3], actor="nobody"), rewritten[-1]))
    assert verify(rows(rewritten)).bad is None
    assert verify(rows(rewritten), noted).bad == 4
    for word in ("nonsense", "02:" + noted[2:], "4:ab", "٤:" + noted[2:], "²" + noted[1:]):
        with pytest.raises(InvalidRequest):
            verify(rows(entries), word)


@pytest.mark.parametrize("place", [-1, -2])
@pytest.mark.parametrize("value", [1 << 40, -1, 1.5, "text", None])
def test_a_hash_that_is_none_is_named_whatever_stands_there(place, value):
    damaged = rows(chain())
    row = list(damaged[1])
    row[place] = value
    damaged[1] = tuple(row)
    assert verify(damaged).bad == 2


def test_no_secret_gets_into_an_entry():
    document = {
        "name": "a", "digest": b"d", "api_key": {"value": "hunter2"}, "nested": [{"client_secret": "hunter2"}],
        "raw": b"hunter2",
    }  # fmt: skip
    told = redacted(document)
    assert "hunter2" not in repr(told)
    assert told["name"] == "a"
    assert told["raw"] == told["digest"] == REDACTED
    assert redacted({"api_key": {"env": "ACME_KEY"}}) == {"api_key": {"env": "ACME_KEY"}}
    assert redacted({"api_key": "none"}) == {"api_key": "none"}


@pytest.mark.parametrize(
    "name", ["api_key", "apikey", "x-api-key", "Secret", "client_secret", "password", "access-token", "token", "digest",
             "pepper", "private_key", "Authorization", "secrets"],
)  # fmt: skip
def test_what_is_named_as_a_secret_is_left_out(name):
    assert redacted({name: "hunter2"}) == {name: REDACTED}
    assert redacted({name: ["hunter2"]}) == {name: REDACTED}


@pytest.mark.parametrize("name", ["require_api_key", "max_tokens", "tokenizer", "secretary", "tier"])
def test_a_setting_that_only_has_such_a_word_in_its_name_is_shown(name):
    for value in ("off", "true", False, 0, 12):
        assert redacted({"server": {name: value}}) == {"server": {name: value}}


@pytest.mark.parametrize("value", [True, False, 0, 12, 1.5, None])
def test_a_switch_or_a_number_is_no_secret_whatever_it_is_called(value):
    assert redacted({"token": value, "api_key": value}) == {"token": value, "api_key": value}
