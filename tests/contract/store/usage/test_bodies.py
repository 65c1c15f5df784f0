"""Kept bodies in their database: sealed, found by who may see them, gone when their time is over."""

import os
import sqlite3
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from omni_analytics.adapters.bodies_keys import KEY, BodiesKeys
from omni_analytics.adapters.bodies_store import SqlBodies
from omni_analytics.adapters.bodies_tables import BodiesFile, bodies_database
from omni_core.kept_bodies import STAGES, KeptBody
from omni_wire.errors import DependencyUnavailable

from tests.support.usage_store import Usage

NOW = 1_700_000_000_000
SECRET = b'{"prompt": "nobody else may read this"}'


def body(request: str = "r1", stage: str = STAGES[0], attempt: int = 0, **changes: object) -> KeptBody:
    made = KeptBody(
        request_id=request, told_id=f"told-{request}", key_id="k1", stage=stage, attempt=attempt, provider="acme",
        model="gpt-x", wire_format="openai.chat", at_ms=NOW, until_ms=NOW + 1000, size=len(SECRET), content=SECRET,
        redacted=True,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def whole(request: str = "r1", **changes: object) -> list[KeptBody]:
    """As they went by."""
    client, asked, answered, told = STAGES
    places = [(client, 0), (asked, 1), (answered, 1), (asked, 2), (answered, 2), (told, 0)]
    return [body(request, stage, attempt, **changes) for stage, attempt in places]


def opened(usage: Usage, env: dict[str, str] | None = None) -> SqlBodies:
    return SqlBodies(bodies_database(usage.data_dir, usage.env), BodiesKeys(usage.data_dir, env or {}))


@pytest.fixture
async def store(usage: Usage) -> AsyncIterator[SqlBodies]:
    made = opened(usage)
    yield made
    await made.close()


def rows(usage: Usage, sql: str) -> Sequence[tuple[object, ...]]:
    database = bodies_database(usage.data_dir, usage.env)
    database.open()
    try:
        return [tuple(row) for row in database.execute(sql).fetchall()]
    finally:
        database.close()


async def test_a_call_is_found_in_the_order_in_which_it_went_by(store: SqlBodies) -> None:
    await store.store([*reversed(whole()), body("r2")])
    assert await store.find("r1", None, NOW) == await store.find("told-r1", ("k0", "k1"), NOW) == whole()
    assert await store.find("r1", ("k2",), NOW) == await store.find("r1", (), NOW) == []


async def test_a_later_try_replaces_an_earlier_and_never_the_other_way(store: SqlBodies) -> None:
    await store.store([body(content=b"late", seq=2)])
    await store.store([body(content=b"early")])
    (found,) = await store.find("r1", None, NOW)
    assert found.content == b"late"


async def test_what_is_stored_can_be_read_by_nobody_without_the_key(usage: Usage, store: SqlBodies) -> None:
    await store.store(whole())
    for (sealed,) in rows(usage, "SELECT sealed FROM kept_body"):
        assert b"nobody else" not in bytes(sealed)  # type: ignore[call-overload]
    if usage.kind == "sqlite":
        assert (usage.data_dir / "analytics" / "bodies.key").stat().st_mode & 0o077 == 0
    other = opened(usage, {KEY: "B" * 43 + "="})
    with pytest.raises(DependencyUnavailable, match="is not here"):
        await other.find("r1", None, NOW)
    await other.close()


async def test_a_row_that_was_moved_or_changed_does_not_open(usage: Usage, store: SqlBodies) -> None:
    await store.store([body("r1"), body("r2", content=b"another")])
    database = bodies_database(usage.data_dir, usage.env)
    database.open()
    with database.writing():
        database.execute(
            "UPDATE kept_body SET sealed = (SELECT sealed FROM kept_body WHERE request_id = ?) WHERE request_id = ?",
            ("r2", "r1"),
        )
    database.close()
    with pytest.raises(DependencyUnavailable, match="changed, or belongs elsewhere"):
        await store.find("r1", None, NOW)
    assert len(await store.find("r2", None, NOW)) == 1


async def test_what_is_over_is_not_told_and_is_swept_and_the_rest_stays(store: SqlBodies) -> None:
    await store.store([*whole("old", until_ms=NOW), *whole("new")])
    assert await store.find("old", None, NOW) == []
    swept = await store.sweep(NOW, 1 << 30)
    assert (swept.expired, swept.crowded, swept.bodies) == (6, 0, 6)
    swept = await store.sweep(NOW, 1 << 30)
    assert (swept.expired, swept.more, swept.bodies) == (0, False, 6)
    assert len(await store.find("new", None, NOW)) == 6


async def test_the_oldest_go_first_where_there_is_no_room(store: SqlBodies) -> None:
    many = [
        body(f"r{number}", at_ms=NOW + number, until_ms=NOW + 10**9, content=os.urandom(10_000))
        for number in range(150)
    ]
    await store.store(many)
    swept = await store.sweep(NOW, 600_000)
    assert swept.crowded == 100
    assert swept.size <= 600_000
    assert await store.find("r0", None, NOW) == []
    assert len(await store.find("r149", None, NOW)) == 1


async def test_what_is_forgotten_is_gone_for_those_who_may(store: SqlBodies) -> None:
    await store.store(whole())
    assert await store.forget("r1", ("k2",)) == 0
    assert await store.forget("told-r1", ("k1",)) == 6
    assert await store.forget("r1", None) == 0
    assert await store.find("r1", None, NOW) == []


async def test_a_file_gives_back_the_room_of_what_went(usage: Usage, store: SqlBodies) -> None:
    if usage.kind != "sqlite":
        pytest.skip("a server's own matter")
    await store.store([body(f"r{number}", content=os.urandom(20_000), until_ms=NOW) for number in range(100)])
    path = usage.data_dir / "analytics" / "bodies.sqlite3"

    def pages() -> int:
        with sqlite3.connect(path) as connection:
            return int(connection.execute("PRAGMA page_count").fetchone()[0])

    before = pages()
    await store.sweep(NOW, 1 << 30)
    assert pages() < before / 4


async def test_it_is_opened_again_and_again_and_refuses_a_newer_one(usage: Usage, store: SqlBodies) -> None:
    await store.store(whole())
    again = opened(usage)
    assert len(await again.find("r1", None, NOW)) == 6
    await again.close()
    database = bodies_database(usage.data_dir, usage.env)
    database.open()
    with database.writing():
        database.execute(
            "PRAGMA user_version = 99"
            if isinstance(database, BodiesFile)
            else "UPDATE kept_body_schema SET version = 99"
        )
    database.close()
    newer = opened(usage)
    with pytest.raises(Exception, match="schema version 99"):
        await newer.find("r1", None, NOW)
    await newer.close()


@pytest.mark.parametrize(
    ("text", "told"), [("zzz", "not base64"), ("QUJD", "has 3 bytes"), ("# none", "there is no key")]
)
async def test_a_key_that_is_none_is_told_without_repeating_it(usage: Usage, text: str, told: str) -> None:
    broken = opened(usage, {KEY: text})
    with pytest.raises(DependencyUnavailable, match=told) as raised:
        await broken.store([body()])
    assert text not in str(raised.value)
    await broken.close()


async def test_another_key_takes_the_place_of_the_first_and_both_open(usage: Usage) -> None:
    first, second = "A" * 43 + "=", "C" * 43 + "="
    before = opened(usage, {KEY: first})
    await before.store([body("r1")])
    await before.close()
    after = opened(usage, {KEY: f"{second},{first}"})
    await after.store([body("r2")])
    assert len(await after.find("r1", None, NOW)) == len(await after.find("r2", None, NOW)) == 1
    assert len({sealed_with for (sealed_with,) in rows(usage, "SELECT sealed_with FROM kept_body")}) == 2
    await after.close()
