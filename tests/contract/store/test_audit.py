"""The audit log, on SQLite and on PostgreSQL."""

from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.entities import Repository
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.domain.audit import Entry
from omni_auth.domain.entities import DEFAULT_ORGANISATION, Entity
from omni_launch.cli import cli
from omni_wire.errors import DependencyUnavailable, InvalidRequest
from sqlalchemy import text

from tests.support.store import Place
from tests.unit.auth.test_compilation import stored_key


def test_what_is_done_to_keys_and_entities_is_written_down(store: SqlStore) -> None:
    store.insert(stored_key(digest=b"hunter2-digest"), "cli:uid-7")
    store.revoke("api-1", 9)
    teams = Repository(store.database, "teams")
    team = Entity(kind="teams", id="t", organisation=DEFAULT_ORGANISATION, document={"name": "core"})
    teams.put(team, expected=0, now=10_000, actor="ann")
    renamed = msgspec.structs.replace(team, document={"name": "base"})
    teams.put(renamed, expected=1, now=11_000, actor="ben")
    teams.put(renamed, expected=2, now=12_000, actor="ben")
    with pytest.raises(InvalidRequest):
        teams.put(team, expected=1, now=13_000, actor="eve")
    teams.delete(DEFAULT_ORGANISATION, "t", expected=2, now=14_000, actor="ann")
    log = AuditLog(store.database)
    entries = log.newest()[::-1]
    assert [(one.seq, one.at, one.actor, one.action, one.target) for one in entries] == [
        (1, stored_key().created * 1000, "cli:uid-7", "keys.create", "keys/api-1"),
        (2, 9000, "api", "keys.revoke", "keys/api-1"),
        (3, 10_000, "ann", "teams.create", "teams/t"),
        (4, 11_000, "ben", "teams.update", "teams/t"),
        (5, 14_000, "ann", "teams.delete", "teams/t"),
    ]
    assert (entries[0].before, entries[1].after) == ("null", "null")
    names = [msgspec.json.decode(text)["name"] for text in (entries[3].before, entries[3].after)]
    assert names == ["core", "base"]
    assert "hunter2" not in entries[0].after + entries[1].before
    assert [one.seq for one in log.newest(2, before=5)] == [4, 3]
    assert (log.verify().entries, log.verify().bad) == (5, None)


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_database_itself_keeps_entries_as_they_are(store: SqlStore, place: Place, statement: str) -> None:
    store.insert(stored_key())
    refusal = "append-only" if place.kind == "postgresql" or "TRUNCATE" not in statement else "syntax error"
    with pytest.raises(DependencyUnavailable, match=refusal), store.database.writing() as connection:
        connection.execute(text(statement))
    assert AuditLog(store.database).verify().entries == 1


COLUMNS = "seq, at, organisation, actor, action, target, before, after, previous, hash"
FORGED = "SELECT seq, at, organisation, 'nobody', action, target, before, after, previous, hash FROM audit"
REPLACING = {
    "sqlite": [
        f"INSERT OR REPLACE INTO audit ({COLUMNS}) {FORGED}",
        f"REPLACE INTO audit ({COLUMNS}) {FORGED}",
        "UPDATE OR REPLACE audit SET actor = 'nobody'",
        f"INSERT INTO audit ({COLUMNS}) {FORGED} WHERE true ON CONFLICT (seq) DO UPDATE SET actor = 'nobody'",
    ],
    "postgresql": [f"INSERT INTO audit ({COLUMNS}) {FORGED} ON CONFLICT (seq) DO UPDATE SET actor = 'nobody'"],
}


def test_no_entry_is_replaced_by_another_of_its_number(store: SqlStore, place: Place) -> None:
    store.insert(stored_key())
    store.revoke("api-1", 9)
    for statement in REPLACING[place.kind]:
        with pytest.raises(DependencyUnavailable, match="append-only"), store.database.writing() as connection:
            connection.execute(text(statement))
    store.insert(stored_key(digest=b"another", id="api-2"))
    verdict = AuditLog(store.database).verify()
    assert (verdict.entries, verdict.bad) == (3, None)


def disarm(database: Database) -> None:
    """What only the owner of the database could do."""
    with database.writing() as connection:
        for trigger in (
            ("audit_no_update", "audit_no_delete") if database.is_sqlite else ("audit_append_only ON audit",)
        ):
            connection.execute(text(f"DROP TRIGGER {trigger}"))


@pytest.mark.parametrize("column", Entry.__struct_fields__)
def test_a_flipped_byte_of_any_column_is_found_and_its_row_named(store: SqlStore, column: str) -> None:
    for number in range(1, 4):
        store.insert(stored_key(id=f"api-{number}", name=f"k{number}", digest=b"%d" % number))
    log = AuditLog(store.database)
    disarm(store.database)
    for seq in (1, 2, 3):
        where = {"seq": seq}
        with store.database.writing() as connection:
            held: Any = connection.scalar(text(f"SELECT {column} FROM audit WHERE seq = :seq"), where)
            turned = _flip(bytes(held) if isinstance(held, memoryview) else held)
            connection.execute(text(f"UPDATE audit SET {column} = :new WHERE seq = :seq"), {"new": turned, **where})
        assert log.verify().bad == seq
        back = {"new": held, "seq": turned if column == "seq" else seq}
        with store.database.writing() as connection:
            connection.execute(text(f"UPDATE audit SET {column} = :new WHERE seq = :seq"), back)
        assert log.verify().bad is None


def _flip(value: Any) -> Any:
    if isinstance(value, int):
        return value ^ 0x100
    if isinstance(value, str):
        return chr(ord(value[0]) ^ 1) + value[1:]
    return bytes([value[0] ^ 1]) + value[1:]


def test_a_text_that_is_none_any_more_is_found(store: SqlStore, place: Place) -> None:
    if place.kind != "sqlite":  # PostgreSQL stores no such text
        return
    store.insert(stored_key())
    disarm(store.database)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE audit SET actor = CAST(x'ff61' AS TEXT)"))
    assert (AuditLog(store.database).verify().bad, AuditLog(store.database).verify().why) == (1, "it is not readable")


def test_the_commands_list_and_verify(place: Place) -> None:
    def run(*words: str) -> tuple[int, str]:
        told = CliRunner().invoke(cli, [*words, "--data-dir", str(place.data_dir)], env=dict(place.env))
        return told.exit_code, told.output

    assert run("audit", "verify") == (0, "0 entries are as they were written; the last is none\n")
    assert run("keys", "create", "ci")[0] == 0
    code, told = run("audit", "verify")
    assert (code, told.split(" entries")[0]) == (0, "1")
    noted = told.split()[-1]
    assert run("audit", "verify", "--head", noted)[0] == 0
    assert "keys.create" in run("audit", "list")[1]
    entry = msgspec.json.decode(run("audit", "list", "--json")[1])
    assert (entry["seq"], entry["after"]["name"], entry["after"]["digest"]) == (1, "ci", "[redacted]")
    store = place.store()
    store.open()
    disarm(store.database)
    with store.database.writing() as connection:
        connection.execute(text("UPDATE audit SET actor = 'nobody'"))
    store.close()
    assert run("audit", "verify") == (1, "entry 1: its content is not what its hash says; the 0 before it are good\n")
