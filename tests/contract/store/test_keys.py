"""Keys and publications, on SQLite and on PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from omni_auth.adapters.offline import ensure_local_key, open_keys
from omni_auth.adapters.store.changes import Outbox
from omni_auth.adapters.store.keys import SqlStore
from omni_core.ports.auth import NewKey
from omni_wire.errors import DependencyUnavailable, InvalidRequest
from sqlalchemy import text

from tests.support.store import Place
from tests.unit.auth.test_compilation import stored_key


def test_keys_survive_and_a_revoked_one_is_gone(store: SqlStore) -> None:
    store.insert(stored_key())
    other = stored_key(id="api-2", name="t", digest=b"\x00\xff", models=("a/*", "ü"), budget_nano_usd=10**15)
    store.insert(other)
    assert store.revoke("api-1", 5)
    assert not store.revoke("api-1", 6)
    pepper = store.pepper()
    store.close()
    store.open()
    assert store.stored_keys() == [other]
    assert [key.id for key in store.revoked_keys("default")] == ["api-1"]
    assert store.revoked_keys("guests") == []
    assert store.pepper() == pepper
    assert len(pepper) == 32


def test_a_name_is_taken_until_its_key_is_revoked(store: SqlStore) -> None:
    store.insert(stored_key())
    with pytest.raises(InvalidRequest, match="already"):
        store.insert(stored_key(id="api-2", digest=b"e"))
    store.revoke("api-1", 5)
    store.insert(stored_key(id="api-2", digest=b"e"))


def test_a_name_is_taken_in_its_own_organisation_alone(store: SqlStore) -> None:
    with store.database.writing() as connection:
        connection.execute(
            text(
                "INSERT INTO organisations SELECT 'guests', 'guests', place, 'guests', version, "
                "created_at, updated_at, managed_by, document, source FROM organisations"
            )
        )
    store.insert(stored_key())
    store.insert(stored_key(id="api-2", digest=b"e", organisation="guests"))
    with pytest.raises(InvalidRequest, match="already"):
        store.insert(stored_key(id="api-3", digest=b"f", organisation="guests"))


def test_a_change_by_anyone_moves_the_version(store: SqlStore, place: Place) -> None:
    before = store.version()
    assert store.version() == before
    other = place.store()
    other.open()
    other.insert(stored_key())
    other.close()
    after = store.version()
    store.revoke("api-1", 5)
    assert len({before, after, store.version()}) == 3


def test_revisions_only_grow_and_unchanged_content_keeps_its_own(store: SqlStore) -> None:
    first = store.advance(b"one", 0, 100)
    assert (first.revision, first.created) == (1, 100)
    assert store.advance(b"one", 0, 200) == first
    assert store.advance(b"two", 0, 300).revision == 2
    assert store.advance(b"two", 9, 400).revision == 10
    assert store.advance(b"one", 3, 500).revision == 11


def test_writers_wait_for_each_other_and_their_changes_have_an_order(store: SqlStore, place: Place) -> None:
    failed: list[Exception] = []

    def write(number: int) -> None:
        try:
            other = place.store()
            other.open()
            for turn in range(5):
                name = f"{number}-{turn}"
                other.insert(stored_key(id=name, name=name, digest=name.encode()))
                other.advance(name.encode(), 0, 1)
            other.close()
        except DependencyUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(store.stored_keys()) == 20
    assert [change.seq for change in Outbox(store.database).after(0)] == list(range(1, 21))
    assert store.advance(b"last", 0, 1).revision == 21


def test_several_that_open_a_new_database_at_once_make_it_once(place: Place) -> None:
    stores = [place.store() for _ in range(6)]
    failed: list[Exception] = []

    def start(one: SqlStore) -> None:
        try:
            one.open()
        except DependencyUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(one,)) for one in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len({one.pepper() for one in stores}) == 1
    for one in stores:
        one.close()


def test_a_failed_change_leaves_no_trace(store: SqlStore) -> None:
    store.insert(stored_key())
    before = store.version()
    with pytest.raises(DependencyUnavailable, match="cannot be used"):
        store.insert(stored_key(name="other"))  # the id is taken
    assert [key.name for key in store.stored_keys()] == ["s"]
    assert [change.target for change in Outbox(store.database).after(0)] == ["api-1"]
    assert store.version() == before


def test_what_is_told_can_be_forgotten_and_numbers_go_on(store: SqlStore) -> None:
    outbox = Outbox(store.database)
    store.insert(stored_key())
    store.revoke("api-1", 7)
    assert [(one.seq, one.at, one.kind, one.action) for one in outbox.after(0)] == [
        (1, stored_key().created * 1000, "keys", "create"),
        (2, 7000, "keys", "revoke"),
    ]
    outbox.forget(2)
    assert [one.seq for one in outbox.after(0)] == [2]
    store.insert(stored_key(id="api-3", digest=b"z"))
    assert [one.seq for one in outbox.after(2)] == [3]


def test_a_field_without_a_column_is_kept_in_the_document(store: SqlStore) -> None:
    store.insert(stored_key())
    with store.database.writing() as connection:
        connection.execute(text("UPDATE keys SET document = '{\"of_a_later_version\": 1}'"))
    assert store.stored_keys() == [stored_key()]


def test_a_newer_database_is_refused_and_left_alone(place: Place) -> None:
    store = place.store()
    store.open()
    with store.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(DependencyUnavailable, match=r"newer version .* 9999"):
        store.open()
    with pytest.raises(DependencyUnavailable, match="closed"):
        store.stored_keys()


def test_keys_are_made_offline_in_the_same_database(place: Place, store: SqlStore) -> None:
    before = store.version()
    with open_keys(place.data_dir, env=place.env) as keys:
        created = keys.create(NewKey(name="laptop"))
    assert store.version() != before
    assert [key.id for key in store.stored_keys()] == [created.key.id]
    assert ensure_local_key(place.data_dir, place.env) == ensure_local_key(place.data_dir, place.env)
    assert {key.name for key in store.stored_keys()} == {"laptop", "local"}


def test_many_that_write_at_once_and_read_meanwhile_leave_each_other_connections(store: SqlStore) -> None:
    def write(_: int) -> None:
        with store.database.writing(), store.database.reading():
            pass

    with ThreadPoolExecutor(24) as threads:
        assert len(list(threads.map(write, range(48)))) == 48
