"""The data directory is private, used by one omniroute at a time, and keeps its secrets."""

import os
import stat
import threading
from pathlib import Path

import pytest
from omni_launch.data_dir import DataDirLock, kept_secret, prepare, write_private
from omni_launch.problems import CannotStart
from omni_launch.tokens import service_token


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_data_directory_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "b")
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_data_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=r"cannot write to the data directory .*file.*--data-dir"):
        prepare(tmp_path / "file")


def test_a_second_omniroute_is_told_who_holds_the_directory(tmp_path: Path) -> None:
    with (
        DataDirLock(tmp_path),
        pytest.raises(CannotStart, match=rf"\(pid {os.getpid()}\) already uses .*{tmp_path.name}"),
    ):
        DataDirLock(tmp_path).acquire()
    with DataDirLock(tmp_path):  # and it is free again afterwards
        pass


def test_separate_targets_share_a_directory_but_not_with_up(tmp_path: Path) -> None:
    with (
        DataDirLock(tmp_path, shared=True),
        DataDirLock(tmp_path, shared=True),
        pytest.raises(CannotStart, match="already uses"),
    ):
        DataDirLock(tmp_path).acquire()


def test_a_secret_is_made_once_and_is_private(tmp_path: Path) -> None:
    first = kept_secret(tmp_path / "s")
    assert len(first) == 64
    assert kept_secret(tmp_path / "s") == first
    assert mode(tmp_path / "s") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


def test_processes_that_ask_at_once_get_the_same_secret(tmp_path: Path) -> None:
    seen: list[str] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        seen.append(kept_secret(tmp_path / "s"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("\n")
    with pytest.raises(CannotStart, match="is empty"):
        kept_secret(tmp_path / "s")


def test_a_private_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "x" / "conf"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert mode(path) == 0o600


def test_the_service_token_comes_from_the_environment_then_a_file_then_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    both = {"OMNIROUTE_SERVICE_TOKEN": "from-env", "OMNIROUTE_SERVICE_TOKEN_FILE": str(tmp_path / "token")}
    assert service_token(both, tmp_path) == "from-env"
    assert service_token({"OMNIROUTE_SERVICE_TOKEN_FILE": str(tmp_path / "token")}, tmp_path) == "from-file"
    made = service_token({}, tmp_path)
    assert made == service_token({}, tmp_path)
    assert mode(tmp_path / "service.token") == 0o600


def test_a_token_file_that_is_not_there_or_empty_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="cannot read OMNIROUTE_SERVICE_TOKEN_FILE"):
        service_token({"OMNIROUTE_SERVICE_TOKEN_FILE": str(tmp_path / "no")}, tmp_path)
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(CannotStart, match="is empty"):
        service_token({"OMNIROUTE_SERVICE_TOKEN_FILE": str(tmp_path / "empty")}, tmp_path)
