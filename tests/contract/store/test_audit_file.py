"""The audit log in a file beside the database: each entry once and in order."""

import json
from pathlib import Path
from typing import Any

import pytest
from omni_auth.adapters.audit_file import DIRECTORY, AuditFile, audit_file
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.adapters.store.keys import SqlStore
from omni_core.turning_file import Turning
from omni_wire.errors import InvalidRequest


def entries(folder: Path) -> list[dict[str, Any]]:
    paths = [folder / f"audit.jsonl.{number}" for number in range(5, 0, -1)] + [folder / "audit.jsonl"]
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


def note(log: AuditLog, number: int) -> None:
    log.note(number, "default", "cli:uid-1", "bodies.read", f"request/r{number}", None, {"secret": "x", "n": number})


async def test_it_goes_on_where_it_was_however_often_it_begins_anew(store: SqlStore, tmp_path: Path) -> None:
    log = AuditLog(store.database)
    for number in range(1, 4):
        note(log, number)
    for _ in range(2):
        file = AuditFile(log, tmp_path / "logs", Turning())
        file.catch_up()
        file.catch_up()
        note(log, 9)
        file.start()
        await file.stop()  # with what was done last
    found = entries(tmp_path / "logs")
    assert [entry["number"] for entry in found] == [1, 2, 3, 4, 5]
    assert found[0]["hash"] == found[1]["previous"]
    assert found[0]["after"] == {"n": 1, "secret": "[redacted]"}
    assert (tmp_path / "logs" / "audit.jsonl").stat().st_mode & 0o077 == 0


def test_it_turns_and_knows_its_place_by_what_was_turned_away(store: SqlStore, tmp_path: Path) -> None:
    log = AuditLog(store.database)
    for number in range(1, 21):
        note(log, number)
        AuditFile(log, tmp_path, Turning(max_bytes=4096, keep=5)).catch_up()
    assert (tmp_path / "audit.jsonl.1").exists()
    assert [entry["number"] for entry in entries(tmp_path)] == [*range(1, 21)]


def test_it_is_off_unless_a_folder_is_named(store: SqlStore, tmp_path: Path) -> None:
    assert audit_file(AuditLog(store.database), {}) is None
    with pytest.raises(InvalidRequest, match="OMNIROUTE_AUTH_LOG_MAX_BYTES"):
        audit_file(AuditLog(store.database), {DIRECTORY: str(tmp_path), "OMNIROUTE_AUTH_LOG_MAX_BYTES": "1"})
