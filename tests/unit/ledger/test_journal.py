"""The journal's file: what is read of it is what was written, however it was broken off, damaged or left."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_ledger.journal import ROOM, Journal, framed, left_in, life_of_machine, read

records = st.lists(
    st.tuples(st.sampled_from("onsfk"), st.text(max_size=8), st.lists(st.integers(0, 2**53), max_size=5), st.binary()),
    max_size=8,
)


def as_read(written: list[Any]) -> list[Any]:
    return [list(record) for record in written]


def records_of(folder: Path) -> list[Any]:
    (left,) = left_in(folder)
    found = left.read()
    left.close(remove=False)
    assert found.is_whole(life_of_machine())
    return found.records[1:]


@given(records, st.integers(0, 200))
def test_all_that_is_whole_is_read_and_nothing_of_a_torn_end(written: list[Any], cut: int) -> None:
    parts = [framed(record) for record in written]
    data = b"".join(parts)
    assert read(data).records == as_read(written)
    shorter = data[: max(0, len(data) - cut)]
    whole, size = 0, 0
    while whole < len(parts) and size + len(parts[whole]) <= len(shorter):
        size += len(parts[whole])
        whole += 1
    found = read(shorter)
    assert found.records == as_read(written[:whole])
    assert found.bad == []


@given(records.filter(bool), st.data())
def test_a_record_that_is_damaged_is_told_apart_and_those_behind_it_are_read(
    written: list[Any], data: st.DataObject
) -> None:
    parts = [bytearray(framed(record)) for record in written]
    number = data.draw(st.integers(0, len(parts) - 1))
    at = data.draw(st.integers(8, len(parts[number]) - 1))
    parts[number][at] ^= data.draw(st.integers(1, 255))
    found = read(b"".join(parts))
    assert found.records == as_read(written[:number] + written[number + 1 :])
    assert found.bad == [bytes(parts[number])]
    assert not found.is_whole(life_of_machine())


@given(st.binary(max_size=300))
def test_whatever_stands_in_it_is_read_without_an_error(data: bytes) -> None:
    found = read(data)
    assert sum(map(len, found.bad)) <= len(data)


def test_a_length_that_cannot_be_believed_ends_it() -> None:
    good = framed(("o", "s"))
    found = read(good + b"\xff\xff\xff\xff" + b"x" * 50)
    assert found.records == [["o", "s"]]
    assert len(found.bad) == 1


def test_zeros_are_the_end() -> None:
    assert read(framed(("o", "s")) + bytes(5000)).records == [["o", "s"]]


async def test_it_is_found_only_when_nobody_has_it_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r")
    journal.write("o", "slice", "key")
    assert list(left_in(tmp_path)) == []
    await journal.close(remove=False)
    assert records_of(tmp_path) == [["o", "slice", "key"]]


async def test_one_that_is_done_is_removed(tmp_path: Path) -> None:
    await Journal(tmp_path, "r").close(remove=True)
    assert os.listdir(tmp_path) == []


async def test_it_grows_and_is_written_again_with_what_matters(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "r")
    for i in range(30):
        journal.write("n", str(i), b"x" * (ROOM // 10))
    assert journal.is_large
    journal.rewrite([("n", "kept", b"y" * (2 * ROOM))])
    assert not journal.is_large
    journal.write("n", "more", b"z" * ROOM)
    await journal.close(remove=False)
    assert [record[1] for record in records_of(tmp_path)] == ["kept", "more"]


async def test_a_full_disk_breaks_it_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    journal = Journal(tmp_path, "r")
    journal.write("o", "slice", "key")
    monkeypatch.setattr(os, "posix_fallocate", full)
    journal.write("n", "large", b"x" * (2 * ROOM))
    assert journal.broken
    journal.write("n", "later", b"")
    monkeypatch.undo()
    await journal.close(remove=False)
    assert records_of(tmp_path) == [["o", "slice", "key"]]


async def test_synced_it_is_brought_to_the_disk_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fsync", calls.append)
    journal = Journal(tmp_path, "r")
    journal.write("o", "unsynced", "key")
    await asyncio.sleep(0)
    assert calls == []
    journal.synced = True
    for i in range(100):
        journal.write("n", str(i))
    await journal.close(remove=True)
    assert 1 <= len(calls) < 10
