"""``omniroute analytics copy``: all of a file's usage into an empty server, however often it is cut short."""

import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from omni_analytics.adapters import copying
from omni_analytics.adapters.copying import AT_THE_END, BESIDE, copy
from omni_analytics.adapters.location import URL
from omni_analytics.domain.reached import Reached
from omni_analytics.domain.rollup import DAY_MS
from omni_analytics.domain.rows import AttemptRow, RequestRow, parts
from omni_launch.cli import cli
from omni_wire.errors import InvalidRequest

from tests.support.postgres import PostgresServer
from tests.support.usage_store import KINDS, Usage
from tests.unit.analytics.events import ATTEMPT, REQUEST, T0

ROWS = 60


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Usage:
    monkeypatch.delenv(URL, raising=False)
    monkeypatch.setattr(copying, "PAGE", 7)
    return Usage("sqlite", tmp_path, None)


@pytest.fixture(params=KINDS[1:])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Usage:
    return Usage.of(request, request.param, tmp_path)


async def history(usage: Usage, seed: int = 1, first: int = 0) -> None:
    """Several days of rows, some replaced, some forgotten, ids in an order that depends on who sorts."""
    chance, store = random.Random(seed), usage.store()
    for number in range(first, first + ROWS):
        name = f"{chance.choice('aBcD_-é')}{number}"
        started = T0 + number % 4 * DAY_MS + chance.randrange(DAY_MS // 2)
        cost, model = chance.randrange(10**6), chance.choice(("big", "small"))
        attempt = replace(ATTEMPT, id=f"a{name}", started_ms=started, cost_nano_usd=cost, model=model)
        tags = tuple(chance.sample(("x", "y"), chance.randint(0, 2)))
        decision = b"{}" if number % 3 else b""
        request = replace(
            REQUEST,
            id=f"r{name}",
            started_ms=started,
            duration_ms=chance.randrange(5_000),
            decision=decision,
            tags=tags,
        )
        await store.record([replace(attempt, seq=0, cost_nano_usd=7), request])
        if number % 2:
            await store.record([attempt])
    while await store.forget_some((T0 // DAY_MS + 1) * DAY_MS):
        pass
    reached = Reached(f"l{seed}", T0, 80, 81, "l1", "team/core", "default", "usd", "day", 100)
    await store.keep_reached([reached], lambda _: ("", "pager"))
    await store.close()


def everything(usage: Usage) -> dict[str, list[tuple[Any, ...]]]:
    """What there is, by table; rows with their kinds."""
    rows = {"attempt_event": AttemptRow, "request_event": RequestRow}
    whole = {name: ", ".join(parts(row).all) for name, row in rows.items()}
    tables = {**whole, **BESIDE, **AT_THE_END}
    return {name: sorted(usage.asked(f"SELECT {columns} FROM {name}"), key=repr) for name, columns in tables.items()}


def copied(here: Usage, there: Usage, told: Any = lambda count: None) -> copying.Copied:
    with here.opened() as source, there.opened() as target:
        return copy(source, target, told)


async def test_all_is_there_bit_for_bit_what_was_forgotten_stays_counted_and_recording_goes_on(
    here: Usage, there: Usage
) -> None:
    await history(here)
    found = copied(here, there)
    assert everything(there) == everything(here)
    both = [len(everything(here)[f"{kind}_event"]) for kind in ("attempt", "request")]
    assert [found.found, found.attempts, found.requests] == [0, *both]
    assert 0 < found.attempts < ROWS, "of a day that is forgotten there are sums"
    assert there.rebuilt(check=True).wrong == 0
    await history(here, 2, ROWS)
    await history(there, 2, ROWS)
    assert everything(there) == everything(here)


async def test_what_is_in_a_server_goes_into_another(there: Usage, postgres: PostgresServer, tmp_path: Path) -> None:
    await history(there)
    other = Usage("postgresql", tmp_path, postgres)
    copied(there, other)
    assert everything(other) == everything(there)
    assert other.rebuilt(check=True).wrong == 0


async def test_one_that_is_cut_short_goes_on_where_it_was(here: Usage, there: Usage) -> None:
    await history(here)

    def cut(count: int) -> None:
        if count > 20:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            copied(here, there, cut)
    found = copied(here, there)
    assert found.found > 20
    assert everything(there) == everything(here)


async def test_a_source_that_has_changed_in_between_is_told_and_nothing_counts_as_copied(
    here: Usage, there: Usage
) -> None:
    await history(here)

    def cut(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(here, there, cut)
    (first,) = there.asked("SELECT min(id) FROM attempt_row")[0]
    here.change("UPDATE attempt_row SET cost_nano_usd = cost_nano_usd + 1 WHERE id = ?", first)
    with pytest.raises(InvalidRequest, match=r"attempt_row has .*: it has changed"):
        copied(here, there)
    assert there.asked("SELECT value FROM meta WHERE name = 'copying'") == [(1,)]


async def test_a_database_with_usage_of_its_own_is_refused_also_after_a_copy(here: Usage, there: Usage) -> None:
    await history(here)
    copied(here, there)
    before = everything(there)
    with pytest.raises(InvalidRequest, match=rf"there is usage in {there.kind}://.* already"):
        copied(here, there)
    assert everything(there) == before


def test_no_table_and_no_column_is_left_out(here: Usage) -> None:
    tables = {name for (name,) in here.asked("SELECT name FROM sqlite_master WHERE type = 'table'")}
    rows = {f"{kind}_{part}" for kind in ("attempt", "request") for part in ("row", "kind")}
    plain = BESIDE | AT_THE_END
    assert tables == {*rows, *plain}
    for name, columns in plain.items():
        there = [column for (column,) in here.asked("SELECT name FROM pragma_table_info(?)", name)]
        assert sorted(columns.split(", ")) == sorted(there)


async def test_the_command_says_what_it_did_and_never_a_password(here: Usage, there: Usage) -> None:
    def said(*options: str) -> tuple[int, str]:
        told = CliRunner().invoke(cli, ["analytics", "copy", "--data-dir", str(here.data_dir), *options])
        return told.exit_code, told.output

    url = there.env[URL]
    code, told = said("--to", url)
    assert code == 1
    assert "no usage was recorded" in told
    await history(here)
    code, told = said("--to", url)
    assert code == 0, told
    assert "counts and sums are the same" in told
    code, told = said("--to", url)
    assert code == 1
    assert f"there is usage in {there.kind}://" in told
    code, told = said("--to", "postgresql://somebody:hunter2@127.0.0.1:1/nothing")
    assert code == 1
    assert "not available" in told
    assert "hunter2" not in told
    code, told = said("--to", "mysql://somebody:hunter2@127.0.0.1/nothing")
    assert code == 1
    assert "hunter2" not in told
