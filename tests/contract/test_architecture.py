"""The architecture is a failing build: the contracts hold, and each of them fails when somebody breaks it."""

import filecmp
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {contract["id"]: contract["name"] for contract in CONFIG["tool"]["importlinter"]["contracts"]}
PACKAGES = [ROOT / place for place in CONFIG["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]]


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_package_is_under_the_contracts() -> None:
    assert sorted(path.name for path in PACKAGES) == sorted(CONFIG["tool"]["importlinter"]["root_packages"])
    assert sorted(CONTRACTS) == ["clients", "floors", "pure", "root", "stack", "stubs", "telemetry"]


def test_all_contracts_hold() -> None:
    ended = run("lint-imports", "--no-cache", cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr


# contract, the module that breaks it, what it says
BREACHES = [
    ("stack", "omni_core/bus.py", "import omni_ledger"),
    ("stack", "omni_edge/build.py", "import omni_router"),
    ("stack", "omni_wire/formats.py", "import omni_catalogue"),
    ("floors", "omni_router/settings.py", "import omni_router.service"),
    ("floors", "omni_quota/helpers.py", ""),
    ("stubs", "omni_router/service/extra.py", "import omniroute_proto.common.v1.common_pb2"),
    ("stubs", "omni_wire/extra.py", "import omniroute_proto.common.v1.common_pb2"),
    ("pure", "omni_wire/extra.py", "import time"),
    ("pure", "omni_translator/domain/extra.py", "import logging"),
    ("pure", "omni_catalogue/extra.py", "import omni_core.clock"),
    ("clients", "omni_auth/service/extra.py", "import sqlite3"),
    ("clients", "omni_router/service/extra.py", "import redis.asyncio"),
    ("root", "omni_simulator/extra.py", "import omni_launch"),
    ("telemetry", "omni_router/service/extra.py", "import opentelemetry.sdk.trace"),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages side by side, as PYTHONPATH likes them."""
    source = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(package, source / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    return source


def test_there_is_a_breach_for_every_contract() -> None:
    assert {contract for contract, _, _ in BREACHES} == set(CONTRACTS)


@pytest.mark.parametrize(("contract", "module", "line"), BREACHES, ids=[f"{c}-{m}" for c, m, _ in BREACHES])
def test_a_breach_is_found_and_named(tree: Path, contract: str, module: str, line: str) -> None:
    path = place_of(tree, module)
    before = path.read_text() if path.exists() else None
    path.write_text(f"{before or ''}\n{line}\n")
    try:
        ended = run("lint-imports", "--no-cache", "--contract", contract, cwd=tree, PYTHONPATH=str(tree))
    finally:
        if before is None:
            path.unlink()
        else:
            path.write_text(before)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert f"{CONTRACTS[contract]} BROKEN" in " ".join(ended.stdout.split())


def place_of(tree: Path, module: str) -> Path:
    """``module`` in ``tree``; a floor that is one file (service.py) rather than a folder takes the line itself."""
    path = tree / module
    if not path.parent.is_dir() and path.parent.with_suffix(".py").exists():
        return path.parent.with_suffix(".py")
    return path


def test_the_stubs_are_what_the_protos_say(tmp_path: Path) -> None:
    ended = run("python", "tools/make_proto.py", "--check", str(tmp_path), cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    made, kept = tmp_path / "omniroute_proto", ROOT / "libs/proto/omniroute_proto"
    names = sorted(str(path.relative_to(made)) for path in made.rglob("*.py*") if path.is_file())
    there = sorted(
        str(p.relative_to(kept)) for p in kept.rglob("*.py*") if p.is_file() and "__pycache__" not in p.parts
    )
    assert names == there, "run make proto"
    assert filecmp.cmpfiles(made, kept, names, shallow=False)[1:] == ([], []), "run make proto"


def test_buf_finds_nothing_in_the_protos() -> None:
    ended = run("buf", "lint", cwd=ROOT / "proto")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_buf_would_find_something(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    victim = tmp_path / "proto/omniroute/common/v1/common.proto"
    victim.write_text(victim.read_text() + "\nmessage badly_named {}\n")
    ended = run("buf", "lint", cwd=tmp_path / "proto")
    assert ended.returncode != 0
    assert "badly_named" in ended.stdout + ended.stderr


def test_nothing_generated_is_tracked() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    junk = ("__pycache__", ".pyc", ".venv", ".egg-info", ".mypy_cache", ".ruff_cache", ".hypothesis", ".log", ".db")
    assert [name for name in listed if any(mark in name for mark in junk)] == []
