"""Backups and the way back from them, on SQLite and on PostgreSQL, and from one to the other."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from omni_auth.adapters.backup import KEEP, KEY_FILE, Backups
from omni_auth.adapters.store import upgrade
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.database import Database
from omni_auth.adapters.store.entities import Repository
from omni_auth.adapters.store.keys import SqlStore
from omni_auth.adapters.vault_keys import open_vault
from omni_auth.domain.entities import DEFAULT_ORGANISATION, Entity
from omni_launch.cli import cli
from omni_wire.errors import DependencyUnavailable, InvalidRequest
from sqlalchemy import MetaData, select, text

from tests.support.store import Place
from tests.unit.auth.test_compilation import stored_key


def contents(database: Database) -> dict[str, list[dict[str, Any]]]:
    found = MetaData()
    with database.reading() as connection:
        found.reflect(connection)
        return {
            table.name: [
                {name: bytes(item) if isinstance(item, memoryview) else item for name, item in row.items()}
                for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()
            ]
            for table in found.sorted_tables
        }


def fill(store: SqlStore) -> None:
    store.insert(stored_key(digest=b"\x00\xff canary-digest"))
    store.advance(b"one", 40, 1)
    teams = Repository(store.database, "teams")
    team = Entity(kind="teams", id="t", organisation=DEFAULT_ORGANISATION, document={"name": "core"})
    teams.put(team, expected=0, now=1000, actor="ann")


@pytest.fixture
def backups(place: Place) -> Backups:
    return Backups(place.data_dir, place.env)


def test_what_is_restored_is_what_there_was(store: SqlStore, backups: Backups) -> None:
    fill(store)
    before, pepper = contents(store.database), store.pepper()
    made = backups.create(store.database, "manual", "ann")
    store.insert(stored_key(id="api-2", name="later", digest=b"later"))
    store.revoke("api-1", 5)
    store.advance(b"two", 90, 2)
    version = store.version()

    kept = backups.restore(made.name, store.database, "ann")
    after = contents(store.database)
    told = after.pop("audit")
    assert told[:-1] == before.pop("audit")
    assert (told[-1]["action"], told[-1]["target"]) == ("backup.restore", f"backup/{made.name}")
    (publication,) = after.pop("publication")
    assert publication["revision"] == 91, "numbers of configurations go on"
    before.pop("publication")
    assert after == before
    assert store.pepper() == pepper
    assert store.advance(b"one", 0, 3).revision == 92
    assert AuditLog(store.database).verify().bad is None
    assert store.version() != version, "who runs on it notices"
    with pytest.raises(DependencyUnavailable, match="append-only"), store.database.writing() as connection:
        connection.execute(text("DELETE FROM audit"))

    backups.restore(kept.name, store.database, "ann")
    assert [key.name for key in store.stored_keys()] == ["later"]


def test_numbers_go_on_above_those_published_though_the_backup_is_of_one_that_never_did(
    store: SqlStore, backups: Backups
) -> None:
    made = backups.create(store.database, "manual", "ann")
    assert store.advance(b"one", 40, 1).revision == 41
    backups.restore(made.name, store.database, "ann")
    assert store.advance(b"one", 0, 2).revision == 42


def test_who_runs_on_it_notices_a_restore_though_as_much_was_changed_since(store: SqlStore, backups: Backups) -> None:
    store.insert(stored_key(digest=b"before"))
    made = backups.create(store.database, "manual", "ann")
    store.insert(stored_key(id="api-2", name="later", digest=b"later"))
    then = backups.create(store.database, "manual", "ann")
    backups.restore(made.name, store.database, "ann")
    store.insert(stored_key(id="api-3", name="other", digest=b"other"))
    version = store.version()
    backups.restore(then.name, store.database, "ann")
    assert store.version() != version
    assert [key.name for key in store.stored_keys()][1:] == ["later"]


def test_a_backup_goes_from_one_database_to_the_other(
    store: SqlStore, place: Place, backups: Backups, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    fill(store)
    made = backups.create(store.database, "manual", "ann")
    backups.export(made.name, tmp_path / "carried")
    kind = "postgresql" if place.kind == "sqlite" else "sqlite"
    other = Place(kind, tmp_path / "other", request.getfixturevalue("postgres") if kind == "postgresql" else None)
    env = {**other.env, KEY_FILE: str(place.data_dir / "backup.key")}
    there = Backups(other.data_dir, env)
    target = other.store()
    target.open()
    name = there.take_in(tmp_path / "carried")
    assert name == made.name
    there.restore(name, target.database, "ann")
    assert target.stored_keys() == store.stored_keys()
    assert target.pepper() == store.pepper()
    assert AuditLog(target.database).verify().bad is None
    target.insert(stored_key(id="api-9", name="n", digest=b"n"))
    target.close()


def test_nothing_of_it_is_readable_and_it_is_the_owners_alone(store: SqlStore, backups: Backups, place: Place) -> None:
    fill(store)
    made = backups.create(store.database, "manual", "ann")
    content = made.read_bytes()
    for canary in (b"canary-digest", store.pepper(), b"SQLite format", b"cli:uid"):
        assert canary not in content
    assert stat.S_IMODE(made.stat().st_mode) == stat.S_IMODE((place.data_dir / "backup.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert [path.name for path in made.parent.iterdir()] == [made.name], "no scratch file stays"


def test_any_changed_byte_is_refused_and_changes_nothing(store: SqlStore, backups: Backups) -> None:
    fill(store)
    made = backups.create(store.database, "manual", "ann")
    good, before = made.read_bytes(), contents(store.database)
    end = good.index(b"\n", good.index(b"\n") + 1)
    for place in [0, 18, 19, *range(25, end, 7), end, end + 1, len(good) // 2, len(good) - 1]:
        made.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(InvalidRequest, match="cannot be used"):
            backups.restore(made.name, store.database, "ann")
    made.write_bytes(good[:-1])
    with pytest.raises(InvalidRequest, match="changed or is damaged"):
        backups.restore(made.name, store.database, "ann")
    assert contents(store.database) == before
    made.write_bytes(b"something else")
    assert backups.list() == [(made.name, None)]


def test_another_key_is_told_and_a_bad_one_too(store: SqlStore, backups: Backups, place: Place) -> None:
    made = backups.create(store.database, "manual", "ann")
    (place.data_dir / "backup.key").write_text("0" * 64)
    with pytest.raises(InvalidRequest, match="sealed with another key"):
        backups.restore(made.name, store.database, "ann")
    (place.data_dir / "backup.key").write_text("short")
    with pytest.raises(DependencyUnavailable, match="64 hexadecimal digits"):
        backups.create(store.database, "manual", "ann")
    with pytest.raises(InvalidRequest, match="there is no backup"):
        backups.restore("../auth.sqlite3", store.database, "ann")


def test_the_newest_are_kept(store: SqlStore, place: Place) -> None:
    backups = Backups(place.data_dir, {**place.env, KEEP: "2"})
    made = [backups.create(store.database, "manual", "ann").name for _ in range(4)]
    assert [name for name, _ in backups.list()] == sorted(set(made), reverse=True)[:2]
    with pytest.raises(DependencyUnavailable, match="number of backups"):
        Backups(place.data_dir, {KEEP: "0"}).create(store.database, "manual", "ann")


def test_before_a_migration_one_is_made_and_goes_back_in(place: Place) -> None:
    database = place.database()
    database.open()
    with database.rebuilding() as connection:
        upgrade.migrate(connection, "0002")
        connection.execute(text("INSERT INTO meta VALUES ('pepper', :pepper)"), {"pepper": bytes(32)})
        connection.execute(
            text(
                "INSERT INTO keys (id, name, digest, role, models, requests_per_minute, budget_nano_usd, budget_window,"
                " created, hint) VALUES ('api-1', 'old', :digest, 'developer', '[\"*\"]', 0, 0, 'month', 1, 'or-1')"
            ),
            {"digest": b"d"},
        )
    database.close()
    store, backups = place.store(), Backups(place.data_dir, place.env)
    store.open()
    ((name, header),) = backups.list()
    assert header is not None
    assert (header.reason, header.schema, header.rows["keys"]) == ("migration", "0002", 1)
    store.revoke("api-1", 5)
    backups.restore(name, store.database, "ann")
    assert [key.name for key in store.stored_keys()] == ["old"]
    store.close()
    store.open()
    assert len(backups.list()) == 2, "where nothing is migrated none is made"
    store.close()


def test_the_commands(place: Place, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        told = CliRunner().invoke(cli, [*words, "--data-dir", str(place.data_dir)], env={**os.environ, **place.env})
        assert told.exit_code == 0, told.output
        return told.output

    run("keys", "create", "ci")
    name = run("backup", "create").strip()
    assert name in run("backup", "list")
    assert "1 keys" in run("backup", "list")
    run("keys", "revoke", "ci")
    (tmp_path / "elsewhere").mkdir()
    run("backup", "export", name, str(tmp_path / "elsewhere"))
    assert run("backup", "import", str(tmp_path / "elsewhere" / name)).strip() == name
    assert "is in force" in run("backup", "restore", name)
    assert "ci" in run("keys", "list")
    assert "backup.restore" in run("audit", "list")


# ---- what is sealed in it -------------------------------------------------------------------------------------------


def seal(store: SqlStore, place: Place, secret: str = "canary-sealed-1") -> None:
    with store.database.writing() as connection:
        place.vault(store.database).seal(
            connection, organisation=DEFAULT_ORGANISATION, account_id="a-1", version="v1", secret=secret, now=1
        )


def opened(store: SqlStore, place: Place) -> dict[str, tuple[str, str]]:
    return place.vault(store.database).opened()[0]


def test_without_the_vaults_keys_it_is_refused_before_anything_is_replaced(
    store: SqlStore, backups: Backups, place: Place
) -> None:
    seal(store, place)
    made = backups.create(store.database, "manual", "ann")
    keys = place.data_dir / "vault.keys"
    held = keys.read_text()
    store.insert(stored_key(id="api-2", name="later", digest=b"later"))
    before, names = contents(store.database), [name for name, _ in backups.list()]
    keys.write_text(held.replace("first:", "second:"))
    with pytest.raises(InvalidRequest, match=r"1 with the vault key 'first': [^;]*not here; put it back") as told:
        backups.restore(made.name, store.database, "ann")
    assert "--without-vault-keys" in str(told.value)
    keys.unlink()
    with pytest.raises(InvalidRequest, match="the key 'first' here is another one"):
        backups.restore(made.name, store.database, "ann")
    assert contents(store.database) == before
    assert [name for name, _ in backups.list()] == names
    backups.restore(made.name, store.database, "ann", without_keys=True)
    assert opened(store, place) == {}
    keys.write_text(held)
    backups.restore(made.name, store.database, "ann")
    assert opened(store, place) == {"a-1": ("canary-sealed-1", "v1")}


def test_one_damaged_credential_keeps_no_backup_from_being_restored(
    store: SqlStore, backups: Backups, place: Place
) -> None:
    seal(store, place)
    with store.database.writing() as connection:
        place.vault(store.database).seal(
            connection, organisation=DEFAULT_ORGANISATION, account_id="a-0", version="v1", secret="other", now=1
        )
        connection.execute(text("UPDATE credentials SET version = 'v2' WHERE id = 'a-0'"))
    made = backups.create(store.database, "manual", "ann")
    backups.restore(made.name, store.database, "ann")
    assert opened(store, place) == {"a-1": ("canary-sealed-1", "v1")}


def test_one_from_before_a_rotation_still_opens_with_the_old_key_beside_the_new(
    store: SqlStore, backups: Backups, place: Place
) -> None:
    seal(store, place)
    made = backups.create(store.database, "manual", "ann")
    with open_vault(place.data_dir, place.env) as vault:
        vault.rotate(lambda done: None)
    backups.restore(made.name, store.database, "ann")
    assert place.vault(store.database).used() == {"first": 1}
    assert opened(store, place) == {"a-1": ("canary-sealed-1", "v1")}


def test_an_old_one_that_is_imported_outlives_the_next_that_is_made(
    store: SqlStore, place: Place, tmp_path: Path
) -> None:
    if place.kind != "sqlite":
        pytest.skip("files are files, whichever database they are of")
    backups = Backups(place.data_dir, {**place.env, KEEP: "1"})
    old = backups.create(store.database, "manual", "ann")
    backups.export(old.name, tmp_path / "carried")
    backups.create(store.database, "manual", "ann")
    assert not old.exists()
    backups.take_in(tmp_path / "carried")
    newer = backups.create(store.database, "manual", "ann")
    assert [name for name, _ in backups.list()] == [newer.name, old.name]
    backups.restore(old.name, store.database, "ann")


def test_the_command_names_the_missing_key_and_restores_the_rest_when_told_to(store: SqlStore, place: Place) -> None:
    def run(*words: str) -> tuple[int, str]:
        where = [] if "--help" in words else ["--data-dir", str(place.data_dir)]
        told = CliRunner().invoke(cli, ["backup", *words, *where], env=dict(place.env))
        return told.exit_code, " ".join(told.output.split())

    seal(store, place)
    name = run("create")[1]
    keys = place.data_dir / "vault.keys"
    keys.write_text(keys.read_text().replace("first:", "second:"))
    code, told = run("restore", name)
    assert code == 1
    assert "the vault key 'first' is not here" in told
    assert "canary" not in told
    assert run("restore", name, "--without-vault-keys")[0] == 0
    assert "the vault's keys are not in it" in run("--help")[1]
