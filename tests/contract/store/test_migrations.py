"""From the schema of every version to that of every other, with data, on SQLite and on PostgreSQL."""

import sqlite3
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from omni_auth.adapters.offline import open_keys
from omni_auth.adapters.store import upgrade
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.location import store_path
from omni_auth.adapters.store.tables import metadata, past_secrets
from omni_auth.domain.apikeys import OlderSecret
from omni_core.ports.auth import NewKey
from omni_wire.errors import DependencyUnavailable
from sqlalchemy import ColumnElement, Connection, MetaData, Table, and_, inspect, select, text

from tests.support.store import Place
from tests.unit.auth.test_compilation import stored_key

KEY_NAMES = "0008"  # the revision since which each organisation has its own names of keys
KEY = {
    "id": "api-1", "name": "s", "digest": b"d", "role": "developer", "models": '["*"]', "requests_per_minute": 0,
    "budget_nano_usd": 5, "budget_window": "day", "created": 1700000000, "hint": "or-00000001", "revoked": None,
    "rules": '{"sanitize":true}',
}  # fmt: skip
ROW = {
    "organisation": "default", "place": "", "label": "x", "version": 1, "created_at": 1, "updated_at": 1,
    "managed_by": "api", "document": "{}", "team": "a-teams", "user": "a-users", "provider": "a-providers",
    "key": "api-1",
}  # fmt: skip
# A row for every table there ever was; columns that a schema does not have yet are left out.
ROWS: dict[str, dict[str, Any]] = {
    "meta": {"name": "pepper", "value": bytes(range(32))},
    "keys": KEY,
    "publication": {"one": 1, "revision": 7, "content": b"\x00\xff", "created": 1700000000},
    "audit": {
        "seq": 1,
        "at": 1,
        "organisation": "default",
        "actor": "a",
        "action": "b",
        "target": "c",
        "before": "null",
        "after": "{}",
        "previous": bytes(32),
        "hash": bytes(32),
    },
    "credentials": {
        "id": "a-accounts",
        "organisation": "default",
        "version": "v1",
        "sealed_at": 1,
        "kek": "first",
        "wrapped": b"\x00\xff",
        "content": b"\xff\x00",
    },
    "logins": {
        "id": "claude/a",
        "kind": "claude",
        "subject": "s",
        "label": "",
        "state": "good",
        "reason": "",
        "version": 1,
        "fence": 0,
        "lease_until": 0,
        "begun_at": 1,
        "ends_at": 2,
        "renewed_at": 1,
        "connected_at": 1,
    },
    "login_flows": {"id": "f", "ends_at": 2, "next_at": 1},
    "people": {
        "id": "a-users",
        "organisation": "default",
        "role": "owner",
        "disabled": 0,
        "password": "$argon2id$",
        "subject": None,
        "document": "{}",
        "created_at": 1,
        "updated_at": 1,
    },
    "sessions": {
        "digest": b"\x00session",
        "id": "s",
        "login": "a-users",
        "created_at": 1,
        "seen_at": 1,
        "expires_at": 2,
        "ended_at": 0,
        "address": "",
        "agent": "",
    },
    "one_time_tokens": {
        "digest": b"\x00token",
        "kind": "invite",
        "organisation": "default",
        "login": "a-users",
        "expires_at": 2,
        "document": "{}",
    },
    "login_tries": {"subject": "account:x", "count": 1, "at": 1},
    "past_secrets": {"digest": b"\x00older", "key": "api-1"},
    "outbox": {"seq": 1, "at": 1, "organisation": "default", "kind": "keys", "target": "api-1", "action": "create"},
}


def row(table: Table) -> dict[str, Any]:
    found = ROWS.get(table.name, {"id": f"a-{table.name}", **ROW})
    return {name: value for name, value in found.items() if name in table.c}


def own(table: Table) -> ColumnElement[bool]:
    """The row of ``row``, beside those that a revision itself puts in."""
    return and_(*(column == row(table)[column.name] for column in table.primary_key))


def tables(connection: Connection) -> list[Table]:
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def contents(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    return {
        table.name: [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]
        for table in tables(connection)
    }


@pytest.fixture
def database(place: Place) -> Any:
    opened = place.database()
    opened.open()
    yield opened
    opened.close()


def bring(database: Database, revision: str) -> None:
    with database.rebuilding() as connection:
        upgrade.migrate(connection, revision)


def fill(database: Database) -> None:
    with database.writing() as connection:
        for table in tables(connection):
            connection.execute(table.insert(), row(table))


def test_the_revisions_known_are_the_scripts_there_are() -> None:
    scripts = ScriptDirectory(str(Path(upgrade.__file__).parent / "migrations"))
    assert tuple(reversed([script.revision for script in scripts.walk_revisions()])) == upgrade.REVISIONS


def test_migrating_and_making_give_the_same_schema(place: Place, database: Database, tmp_path: Path) -> None:
    bring(database, upgrade.HEAD)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    with database.rebuilding() as connection:
        names = {
            table.name: {index["name"] for index in inspect(connection).get_indexes(table.name)}
            for table in tables(connection)
        }
        upgrade.migrate(connection, "base")
        connection.execute(text("DROP TABLE alembic_version"))
    upgrade.bring_up(database)
    with database.reading() as connection:
        assert (
            compare_metadata(MigrationContext.configure(connection, opts={"compare_server_default": True}), metadata)
            == []
        )
        made = {
            table.name: {index["name"] for index in inspect(connection).get_indexes(table.name)}
            for table in tables(connection)
        }
    assert made == names


@pytest.mark.parametrize(("lower", "upper"), list(pairwise(("base", *upgrade.REVISIONS))))
def test_up_and_down_again_keeps_the_data(database: Database, lower: str, upper: str) -> None:
    if lower != "base":
        bring(database, lower)
        fill(database)
    with database.reading() as connection:
        before = contents(connection)
    bring(database, upper)
    with database.reading() as connection:
        above = contents(connection)
        for name, rows in before.items():
            kept = [{column: one[column] for column in rows[0]} for one in above[name]] if rows else above[name]
            assert kept == rows
    bring(database, lower)
    with database.reading() as connection:
        assert contents(connection) == before
    bring(database, upgrade.HEAD)


@pytest.mark.parametrize(("before", "after"), list(pairwise(upgrade.REVISIONS)))
def test_the_version_before_runs_on_the_schema_after(database: Database, before: str, after: str) -> None:
    """Expand, then contract: with the tables as it knows them it inserts, reads, changes and deletes."""
    bring(database, before)
    with database.reading() as connection:
        known = tables(connection)
    bring(database, after)
    with database.writing() as connection:
        for table in known:
            connection.execute(table.insert(), row(table))
        changeable = [table for table in known if table.name != "audit"]
        for table in known:
            (found,) = (dict(one) for one in connection.execute(select(table).where(own(table))).mappings())
            assert found.items() >= row(table).items()
        for table in changeable:
            assert connection.execute(table.update().where(own(table)), row(table)).rowcount == 1
        for table in reversed(changeable):
            assert connection.execute(table.delete().where(own(table))).rowcount == 1


def test_where_names_are_everybodys_again_the_platforms_key_keeps_its_own(database: Database) -> None:
    bring(database, upgrade.HEAD)
    with database.writing() as connection:
        found = MetaData()
        found.reflect(connection)
        connection.execute(found.tables["organisations"].insert(), {**ROW, "id": "guests"})
        for key, organisation, revoked in (
            ("api-1", "guests", None), ("api-2", "default", None), ("api-3", "guests", 5), ("api-4", "default", 5),
        ):  # fmt: skip
            more = {"id": key, "organisation": organisation, "digest": key.encode(), "revoked": revoked}
            connection.execute(found.tables["keys"].insert(), {**KEY, **more})
    bring(database, upgrade.REVISIONS[upgrade.REVISIONS.index(KEY_NAMES) - 1])
    with database.reading() as connection:
        names = {key: name for key, name in connection.execute(text("SELECT id, name FROM keys"))}  # noqa: C416
    assert names == {"api-1": "s.api-1", "api-2": "s", "api-3": "s", "api-4": "s"}


def test_what_replaced_a_secret_is_kept_of_keys_rotated_before_and_by_the_version_before(database: Database) -> None:
    bring(database, "0008")
    older = msgspec.to_builtins((OlderSecret(b"\xff\x00", 9), OlderSecret(b"second", 5)), builtin_types=(bytes,))
    with database.writing() as connection:
        known = {table.name: table for table in tables(connection)}
        document = msgspec.json.encode({"older": older, "hint": "x"}).decode()
        connection.execute(known["keys"].insert(), {**KEY, "document": document})
        connection.execute(known["keys"].insert(), {**KEY, "id": "api-2", "digest": b"e", "name": "t"})
    bring(database, "0009")
    for digest in (b"f", b"f", b"g", b"e", b"h"):
        with database.writing() as connection:
            keys = known["keys"]
            connection.execute(keys.update().where(keys.c.id == "api-2"), {"digest": digest, "name": "u"})
    with database.reading() as connection:
        found = {bytes(digest): key for digest, key in connection.execute(select(past_secrets))}
    assert found == {b"\xff\x00": "api-1", b"second": "api-1", b"e": "api-2", b"f": "api-2", b"g": "api-2"}


def test_a_failed_migration_leaves_what_was_there(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(database, "0001")
    fill(database)
    with database.reading() as connection:
        before = contents(connection)
    with pytest.raises(RuntimeError, match="in the middle"), database.rebuilding() as connection:
        upgrade.migrate(connection, upgrade.HEAD)
        raise RuntimeError("in the middle")
    with database.reading() as connection:
        assert contents(connection) == before
        assert upgrade.revision(connection) == "0001"


def test_of_several_processes_one_migrates(place: Place, database: Database) -> None:
    bring(database, "0001")
    fill(database)
    failed: list[Exception] = []

    def start() -> None:
        store = place.store()
        try:
            store.open()
            assert [key.id for key in store.stored_keys()] == ["api-1"]
        except (DependencyUnavailable, AssertionError) as error:
            failed.append(error)
        store.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


# ---- databases made before revisions were numbered ------------------------------------------------------------------

# What that version ran at its start, word for word; then what it does to keys and publications.
UNNUMBERED = """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL);
    CREATE TABLE keys (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL UNIQUE, role TEXT NOT NULL, models TEXT NOT NULL,
        requests_per_minute INTEGER NOT NULL, budget_nano_usd INTEGER NOT NULL, budget_window TEXT NOT NULL,
        created INTEGER NOT NULL, hint TEXT NOT NULL, revoked INTEGER
    );
    CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked IS NULL;
    CREATE TABLE publication (
        one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL, content BLOB NOT NULL,
        created INTEGER NOT NULL
    );
    INSERT OR IGNORE INTO meta VALUES ('pepper', x'0102');
"""
SECOND = "ALTER TABLE keys ADD COLUMN rules TEXT NOT NULL DEFAULT '{}'"
COLUMNS = "id, name, role, models, requests_per_minute, budget_nano_usd, budget_window, created, hint, digest"
INSERT = f"INSERT INTO keys ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"


def old_row(number: int) -> tuple[Any, ...]:
    return (f"api-{number}", f"k{number}", "developer", '["*"]', 0, 0, "month", 1700000000, "or-1", b"%d" % number)


def unnumbered(tmp_path: Path, version: int = 2) -> Path:
    path = store_path(tmp_path)
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as old:
        old.executescript(UNNUMBERED)
        if version == 2:
            old.execute(SECOND)
        old.execute(f"PRAGMA user_version = {version}")
        old.executemany(INSERT, [old_row(1), old_row(2)])
        old.execute("UPDATE keys SET revoked = 1700000001 WHERE id = 'api-2'")
        old.execute("INSERT INTO publication VALUES (1, 41, x'00', 1700000000)")
    old.close()
    return path


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_of_before_is_taken_over_without_loss(tmp_path: Path, version: int) -> None:
    unnumbered(tmp_path, version)
    store = Place("sqlite", tmp_path, None).store()
    store.open()
    expected = stored_key(
        id="api-1", name="k1", role="developer", models=("*",), requests_per_minute=0, budget_nano_usd=0,
        budget_window="month", created=1700000000, hint="or-1", digest=b"1",
    )  # fmt: skip
    assert store.stored_keys() == [expected]
    assert store.pepper() == b"\x01\x02"
    assert store.advance(b"\x00", 0, 5).revision == 41
    assert store.advance(b"new", 0, 5).revision == 42
    store.insert(stored_key(id="api-3", name="k2", digest=b"3"))
    store.close()
    with sqlite3.connect(store_path(tmp_path)) as raw:
        assert raw.execute("SELECT id, revoked FROM keys WHERE revoked IS NOT NULL").fetchall() == [
            ("api-2", 1700000001)
        ]
    raw.close()


def test_the_version_before_goes_on_with_a_file_that_was_taken_over(tmp_path: Path) -> None:
    """A roll-back: that version looks at ``user_version`` and at nothing else."""
    path = unnumbered(tmp_path)
    store = Place("sqlite", tmp_path, None).store()
    store.open()
    before = store.version()
    with sqlite3.connect(path) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (2,)
        with_rules = f"INSERT INTO keys ({COLUMNS}, rules) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        old.execute(with_rules, (*old_row(5), '{"sanitize":true}'))
        assert old.execute("UPDATE keys SET revoked = 9 WHERE id = 'api-1' AND revoked IS NULL").rowcount == 1
        assert old.execute(f"SELECT {COLUMNS} FROM keys WHERE revoked IS NULL ORDER BY id").fetchall() == [old_row(5)]
        old.execute("INSERT OR REPLACE INTO publication VALUES (1, 50, x'01', 9)")
    old.close()
    assert store.version() != before, "and the new one, which runs beside it, notices"
    assert [(key.id, key.rules.sanitize) for key in store.stored_keys()] == [("api-5", True)]
    assert store.advance(b"x", 0, 9).revision == 51
    store.close()


def test_a_file_of_another_program_is_not_taken_for_an_old_one(tmp_path: Path) -> None:
    path = unnumbered(tmp_path)
    with sqlite3.connect(path) as old:
        old.execute("PRAGMA user_version = 3")
    old.close()
    with pytest.raises(DependencyUnavailable, match="newer version"):
        Place("sqlite", tmp_path, None).store().open()


# ---- what a start costs ---------------------------------------------------------------------------------------------


def test_alembic_is_loaded_only_when_there_is_something_to_migrate(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from omni_auth.adapters.offline import ensure_local_key; "
        f"ensure_local_key(pathlib.Path({str(tmp_path)!r})); print('alembic' in sys.modules)"
    )

    def start() -> str:
        return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout

    assert start() == "False\n", "a new database is made without it"
    assert start() == "False\n"
    store_path(tmp_path).unlink()
    store_path(tmp_path).parent.rmdir()
    unnumbered(tmp_path)
    assert start() == "True\n"


def test_no_password_is_shown(place: Place, database: Database) -> None:
    if place.kind == "sqlite":
        return
    password = database.location.password
    assert password
    assert password not in repr(database.location) + database.location.shown + database.location.url
    wrong = {
        "OMNIROUTE_AUTH_DATABASE_URL": place.env["OMNIROUTE_AUTH_DATABASE_URL"].replace(password, "wrong-password")
    }
    with (
        pytest.raises(DependencyUnavailable, match="cannot be used") as told,
        open_keys(place.data_dir, env=wrong) as keys,
    ):
        keys.create(NewKey(name="a"))
    assert "wrong-password" not in str(told.value)
    cause = told.value.__cause__
    assert "wrong-password" not in repr(cause)
