"""``omniroute analytics rebuild`` on either kind of database, while nobody or somebody else has it open."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from omni_analytics.adapters.location import URL
from omni_launch.cli import cli

from tests.support.usage_store import KINDS, Usage
from tests.unit.analytics.events import ATTEMPT, REQUEST


@pytest.fixture(params=KINDS)
def usage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Usage:
    made = Usage.of(request, request.param, tmp_path)
    monkeypatch.delenv(URL, raising=False)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def rebuild(usage: Usage, *options: str) -> tuple[int, str]:
    told = CliRunner().invoke(cli, ["analytics", "rebuild", "--data-dir", str(usage.data_dir), *options])
    return told.exit_code, told.output


async def test_a_rollup_is_looked_at_and_then_put_right(usage: Usage) -> None:
    store = usage.store()
    await store.record([ATTEMPT, REQUEST])
    code, told = rebuild(usage, "--check")
    assert code == 0
    assert "3 cells of 1 days" in told
    usage.change("UPDATE usage_minute SET output_tokens = 7")
    code, told = rebuild(usage, "--check")
    assert code == 1
    assert "1 figures of 1 days" in told
    assert "are not what the rows say" in told
    assert rebuild(usage)[0] == 0
    assert rebuild(usage, "--check")[0] == 0
    usage.check_rollups()
    await store.close()


def test_where_nothing_was_recorded_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    usage = Usage("sqlite", tmp_path, None)
    code, told = rebuild(usage)
    assert code == 1
    assert "no usage was recorded" in told
    assert not usage.path.exists()
