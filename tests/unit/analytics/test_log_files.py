"""What is stored stands in files as well, each row once, over deliveries again and restarts."""

import json
from pathlib import Path
from typing import Any

import pytest
from omni_analytics.adapters.decode import decode_batch
from omni_analytics.adapters.log_files import DIRECTORY, LogFiles, log_files
from omni_analytics.domain.rows import UsageRow
from omni_core.turning_file import Turning
from omni_wire.errors import InvalidRequest

from tests.unit.analytics.events import attempt_event, batch, request_event


def rows(number: int, **changes: Any) -> tuple[UsageRow, ...]:
    made = batch(attempt_event(id=f"a{number}", **changes), request_event(id=f"r{number}", **changes))
    return decode_batch(made).rows


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    paths = [folder / f"{name}.jsonl.{number}" for number in range(9, 0, -1)] + [folder / f"{name}.jsonl"]
    return [json.loads(line) for path in paths if path.exists() for line in path.read_text().splitlines()]


async def test_each_row_has_a_line_of_what_it_says(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path / "logs", Turning())
    await logs.write([*rows(1), *rows(2)])
    logs.close()
    requests, calls = lines(tmp_path / "logs", "requests"), lines(tmp_path / "logs", "proxy")
    assert [line["id"] for line in requests] == ["r1", "r2"]
    assert [line["id"] for line in calls] == ["a1", "a2"]
    assert isinstance(requests[0]["losses"], list)
    assert "decision" not in requests[0]
    assert (tmp_path / "logs" / "requests.jsonl").stat().st_mode & 0o077 == 0


async def test_what_comes_again_has_no_second_line_also_after_a_restart_and_what_is_corrected_has_one(
    tmp_path: Path,
) -> None:
    for _ in range(2):
        logs = LogFiles(tmp_path, Turning())
        await logs.write(rows(1))
        await logs.write([*rows(1), *rows(2)])
        logs.close()
    logs = LogFiles(tmp_path, Turning())
    await logs.write(rows(1, seq=2))
    logs.close()
    assert [(line["id"], line["seq"]) for line in lines(tmp_path, "requests")] == [("r1", 1), ("r2", 1), ("r1", 2)]


async def test_files_turn_and_what_was_turned_away_is_known_still(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path, Turning(max_bytes=4096, keep=9))
    for number in range(20):
        await logs.write(rows(number))
    logs.close()
    assert (tmp_path / "requests.jsonl.2").exists()
    again = LogFiles(tmp_path, Turning(max_bytes=4096, keep=9))
    await again.write([row for number in range(20) for row in rows(number)])
    again.close()
    assert [line["id"] for line in lines(tmp_path, "requests")] == [f"r{number}" for number in range(20)]


async def test_a_line_that_was_cut_by_a_power_failure_harms_none_after_it(tmp_path: Path) -> None:
    (tmp_path / "requests.jsonl").write_text('{"id": "r0", "se')
    logs = LogFiles(tmp_path, Turning())
    await logs.write(rows(1))
    logs.close()
    text = (tmp_path / "requests.jsonl").read_text().splitlines()
    assert json.loads(text[-1])["id"] == "r1"


async def test_a_folder_that_cannot_be_written_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    logs = LogFiles(tmp_path / "file" / "logs", Turning())
    await logs.write(rows(1))
    await logs.write(rows(2))
    assert len([record for record in caplog.records if "log files" in record.message]) == 1


def test_it_is_off_unless_a_folder_is_named_and_a_wrong_bound_is_told(tmp_path: Path) -> None:
    assert log_files({}) is None
    with pytest.raises(InvalidRequest, match="OMNIROUTE_ANALYTICS_LOG_KEEP"):
        log_files({DIRECTORY: str(tmp_path), "OMNIROUTE_ANALYTICS_LOG_KEEP": "many"})
