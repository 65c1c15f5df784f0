"""Limits of their own: put, applied, compiled for the keys that they are of, and gone with them."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omni_auth.adapters.offline import open_keys
from omni_catalogue.snapshot import Budget, Limit
from omni_core.ports.auth import NewKey
from omni_core.ports.configuration import Applied
from omni_wire.errors import InvalidRequest

from tests.contract.store.test_applied_keys import apply, changes, live
from tests.contract.store.test_objects import ME, OTHERS, House
from tests.support.store import Place

MONTHLY = {"budget": {"usd": 25}}
SECRET = "or-ci-0123456789-secret"


@pytest.fixture
async def house(place: Place, tmp_path: Path) -> AsyncIterator[House]:
    made = House(place, tmp_path, place.kind == "sqlite")
    made.env["CI_KEY"] = SECRET
    await made.open()
    await made.put("organisations", "guests", {})
    for caller in (ME, OTHERS):
        await made.put("teams", "core", {}, caller)
        await made.put("users", "ann@example.org", {}, caller)
    yield made
    await made.close()


async def make(house: House, name: str, caller: Any = ME, **more: Any) -> str:
    return str((await house.port.create_key(NewKey(name=name, **more), caller)).key.id)


async def refusal(asked: Awaitable[object]) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        await asked
    return caught.value


async def limited(house: House) -> dict[str, list[str]]:
    """The limits of each key, by their names."""
    snapshot = await house.snapshot()
    names = {limit.id: "/".join(filter(None, (limit.of, limit.owner, limit.name))) for limit in snapshot.limits}
    return {key.name: sorted(names[limit] for limit in key.limits) for key in snapshot.keys}


async def test_each_limit_applies_to_the_keys_of_what_it_is_of_and_no_others(house: House) -> None:
    await make(house, "plain")
    await make(house, "cores", team="core")
    await make(house, "anns", user="ann@example.org")
    await make(house, "both", team="core", user="ann@example.org")
    await make(house, "stranger", OTHERS, team="core")
    await house.put("limits", "all", {"requests_per_minute": 600})
    await house.put("limits", "team/core/monthly", {"budget": {"usd": 25, "window": "week", "unpriced": "serve"}})
    await house.put("limits", "user/ann@example.org/monthly", MONTHLY)
    await house.put("limits", "key/plain/monthly", MONTHLY)
    await house.put("limits", "team/core/theirs", MONTHLY, OTHERS)
    await house.put("limits", "everybody", MONTHLY, OTHERS)
    assert await limited(house) == {
        "plain": ["all", "key/plain/monthly"],
        "cores": ["all", "team/core/monthly"],
        "anns": ["all", "user/ann@example.org/monthly"],
        "both": ["all", "team/core/monthly", "user/ann@example.org/monthly"],
        "stranger": ["everybody", "team/core/theirs"],
    }
    found = {limit.name: limit for limit in (await house.snapshot()).limits if limit.of in ("", "team")}
    team = found["monthly"]
    assert team.budget == Budget(nano_usd=25 * 10**9, window="week", unpriced="serve")
    assert (team.organisation, found["theirs"].organisation) == ("default", "guests")
    assert found["all"] == Limit(id=found["all"].id, name="all", requests_per_minute=600)


async def test_tokens_requests_and_attempts_at_once_are_allowances_of_the_snapshot(house: House) -> None:
    tokens = {"total": 5_000, "input": 4_000, "output": 1_000, "window": "5h"}
    await house.put("limits", "all", {"tokens": tokens, "requests": {"count": 7}, "concurrent": 2})
    (found,) = (await house.snapshot()).limits
    assert (found.requests_per_minute, found.budget) == (0, None)
    assert [(each.of, each.most, each.window) for each in found.allowances] == [
        ("requests", 7, "day"),
        ("tokens", 5_000, "5h"),
        ("input", 4_000, "5h"),
        ("output", 1_000, "5h"),
        ("concurrent", 2, ""),
    ]


async def test_what_refuses_nothing_is_nothing_that_a_version_without_modes_would_refuse_by(house: House) -> None:
    document = {"requests_per_minute": 5, "budget": {"usd": 2, "window": "week"}, "tokens": {"output": 9}}
    for mode, warn in (("soft", (80, 90, 100)), ("shadow", ())):
        await house.put("limits", "all", document | {"mode": mode})
        (found,) = (await house.snapshot()).limits
        assert (found.requests_per_minute, found.budget) == (0, None)
        assert [(each.of, each.most, each.window) for each in found.allowances] == [
            ("output", 9, "day"),
            ("requests", 5, "minute"),
            ("usd", 2 * 10**9, "week"),
        ]
        assert {(each.mode, each.warn) for each in found.allowances} == {(mode, warn)}
    await house.put("limits", "all", document | {"mode": "soft", "warn": [100, 50, 50]})
    assert (await house.snapshot()).limits[0].allowances[0].warn == (50, 100)


async def test_a_limit_s_windows_are_those_of_its_time_zone_and_anchor(house: House) -> None:
    document = {"budget": {"usd": 2}, "time_zone": "Europe/Berlin", "anchor": "2026-01-15"}
    await house.put("limits", "all", document)
    (found,) = (await house.snapshot()).limits
    assert (found.zone, found.anchor) == ("Europe/Berlin", "2026-01-15T00:00")
    assert found.budget is not None
    assert found.budget.window == "month"


async def test_a_limit_is_read_listed_changed_and_deleted_by_its_name(house: House) -> None:
    made = await house.put("limits", "team/core/monthly", MONTHLY)
    assert made.outcome == "created"
    (before,) = (await house.snapshot()).limits
    document = msgspec.json.decode((await house.port.get_object(ME, "limits", "team/core/monthly")).document)
    assert document == {"name": "monthly", "budget": {"usd": 25}}
    assert (await house.put("limits", "team/core/monthly", {"requests_per_minute": 5})).outcome == "updated"
    (after,) = (await house.snapshot()).limits
    assert (after.id, after.requests_per_minute, after.budget) == (before.id, 5, None)
    assert await house.names("limits") == ["team/core/monthly"]
    assert await house.names("limits", OTHERS) == []
    await house.put("limits", "monthly", MONTHLY)
    await house.put("limits", "user/ann@example.org/monthly", MONTHLY)
    for name in await house.names("limits"):
        await house.port.delete_object(ME, "limits", name)
    assert (await house.snapshot()).limits == ()


async def test_what_has_limits_or_keys_is_not_deleted(house: House) -> None:
    await house.put("limits", "team/core/monthly", MONTHLY)
    error = await refusal(house.port.delete_object(ME, "teams", "core"))
    assert (error.status, error.message) == (409, "this team still has limits/team/core/monthly")
    await house.port.delete_object(ME, "limits", "team/core/monthly")
    await make(house, "ci", team="core", user="ann@example.org")
    for kind, name in (("teams", "core"), ("users", "ann@example.org")):
        error = await refusal(house.port.delete_object(ME, kind, name, dry_run=True))
        assert (error.status, error.message) == (409, f"this {kind[:-1]} still has keys/ci")
    await house.port.revoke_key("ci", ME)
    await house.port.delete_object(ME, "teams", "core")
    await house.port.delete_object(ME, "users", "ann@example.org")


async def test_a_revoked_key_takes_its_limits_along(house: House) -> None:
    await make(house, "ci")
    await house.put("limits", "key/ci/monthly", MONTHLY)
    await house.port.revoke_key("ci", ME)
    assert await house.names("limits") == []
    assert (await house.snapshot()).limits == ()
    assert house.audited()[:2] == [f"{ME.actor} keys.revoke", f"{ME.actor} limits.delete"]


async def test_a_limit_of_a_key_that_a_version_before_revoked_is_in_nobodys_way(house: House) -> None:
    key = await make(house, "ci")
    await house.put("limits", "key/ci/monthly", MONTHLY)
    if house.place.kind != "sqlite":
        return
    with sqlite3.connect(house.store.database.location.path) as old:
        old.execute("UPDATE keys SET revoked = 5 WHERE id = ?", (key,))
    old.close()

    async def gone() -> bool:
        return (await house.snapshot()).limits == ()

    await house.until(gone)
    await house.port.delete_object(ME, "limits", f"key/{key}/monthly")


@pytest.mark.parametrize("owner", ["team", "user"])
async def test_a_key_of_a_team_or_user_that_is_not_there_is_not_made(house: House, owner: str) -> None:
    error = await refusal(make(house, "ci", **{owner: "core2" if owner == "team" else "nobody"}))
    assert error.param == owner
    assert f"there is no {owner}" in error.message
    assert await house.port.list_keys(ME) == []


async def test_whose_a_key_is_is_told_and_stays_when_it_is_rotated(house: House) -> None:
    await make(house, "ci", team="core", user="ann@example.org")
    rotated = (await house.port.rotate_key("ci", 0, ME)).key
    listed = (await house.port.list_keys(ME))[0]
    for key in (rotated, listed):
        assert (key.team, key.user) == ("core", "ann@example.org")
    with open_keys(house.place.data_dir, env=house.place.env) as offline:
        assert offline.list()[0].team == "core"
        made = offline.create(NewKey(name="other", team="core"))
        assert made.key.team == "core"
        with pytest.raises(InvalidRequest, match="there is no user 'bob'"):
            offline.create(NewKey(name="third", user="bob"))


FILE = """\
keys:
  - {name: ci, secret: {env: CI_KEY}, team: core, user: ann@example.org}
limits:
  - {name: all, requests_per_minute: 600}
  - {name: monthly, team: core, budget: {usd: 25, unpriced: {input: 1, output: 2}}}
  - {name: monthly, user: ann@example.org, budget: {usd: 5}}
  - {name: monthly, key: ci, requests_per_minute: 7}
"""
NAMES = ["limits/all", "limits/team/core/monthly", "limits/user/ann@example.org/monthly", "limits/key/ci/monthly"]


async def test_a_file_makes_limits_with_the_keys_that_they_are_of_and_takes_them_away_again(house: House) -> None:
    assert await changes(house, FILE, dry_run=True) == [f"create {name}" for name in (*NAMES, "keys/ci")]
    assert await house.names("limits") == []
    done: Applied = await apply(house, FILE)
    assert [f"{one.kind}/{one.name}" for one in done.changes] == [*NAMES, "keys/ci"]
    assert msgspec.json.decode(done.changes[-1].after)["team"] == "core"
    assert (await limited(house))["ci"] == sorted(name.removeprefix("limits/") for name in NAMES)
    again = await apply(house, FILE)
    assert (again.changes, again.unchanged) == ((), 5)
    error = await refusal(house.put("limits", "all", MONTHLY))
    assert (error.status, error.code) == (409, "managed_by_file")
    fewer = FILE.replace("  - {name: all, requests_per_minute: 600}\n", "").replace("team: core, user", "user", 1)
    assert await changes(house, fewer) == ["delete limits/all", "update keys/ci"]
    assert (await limited(house))["ci"] == ["key/ci/monthly", "user/ann@example.org/monthly"]


async def test_what_is_exported_is_what_is_applied(house: House) -> None:
    await apply(house, FILE)
    await house.put("limits", "mine", MONTHLY)
    text = await house.port.export_configuration(ME)
    done = await house.port.apply_configuration(ME, text, "", mode="import", dry_run=True, take_over=True)
    assert {one.action for one in done.changes if one.kind == "limits"} <= {"adopt"}
    limits = [line for line in text.split("limits:\n")[1].splitlines() if "name: " in line]
    assert len(limits) == 5


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "{name: a}",
            "file.yaml:2: limits[0]: limits nothing: give requests_per_minute, requests, "
            "tokens, concurrent, a budget, or several of them",
        ),
        ("{name: a, requests_per_minute: 0}", "limits[0].requests_per_minute: must be from 1 to"),
        ("{name: a, budget: {usd: 0}}", "limits[0].budget.usd: must be"),
        (
            "{name: a, requests_per_minute: 5, team: core, key: ci}",
            "limits[0]: is for one team, user, key, tag, provider, account, model or tier, not for several",
        ),
        ("{name: a, requests_per_minute: 5, team: cores}", "file.yaml:2: limits[0].team: there is no 'cores'; did you"),
        ("{name: a, requests_per_minute: 5, key: none}", "limits[0].key: there is no 'none'"),
        ("{name: a, requests_per_minute: 5, colour: red}", "limits[0].colour: unknown key"),
        ("{name: a, tokens: {window: day}}", "limits[0].tokens: limits nothing: give total, input or output"),
        ("{name: a, tokens: {total: 5, input: 6}}", "limits[0].tokens: input: is more than total lets through"),
        ("{name: a, tokens: {total: 5, window: year}}", "limits[0].tokens.window: must be one of minute, 5h, day"),
        ("{name: a, requests: {count: 5, window: minute}}", "limits[0].requests.window: must be one of 5h, day"),
        ("{name: a, requests: {count: 5}, requests_per_minute: 6}", "limits[0]: requests_per_minute: is more than"),
        ("{name: a, concurrent: 0}", "limits[0].concurrent: must be from 1 to 1000000"),
        ("{name: a, budget: {usd: 5}, time_zone: Europe/Berlim}", "limits[0].time_zone: must be a time zone such as"),
        ("{name: a, budget: {usd: 5}, anchor: 2026-13-01}", "limits[0].anchor: must be a date such as 2030-01-15"),
        ("{name: a, tokens: {total: 5, window: 5h}, anchor: 2026-01-15}", "limits[0]: anchor: is for a window of the"),
        ("{name: a, requests_per_minute: 5, time_zone: UTC}", "limits[0]: time_zone: is for a window of the calendar"),
        ("{name: a, concurrent: 5, mode: hrad}", "limits[0].mode: must be one of hard, soft, shadow; did you mean"),
        ("{name: a, concurrent: 5, mode: soft}", "limits[0]: concurrent: has no window to warn of; mode: shadow"),
        ("{name: a, requests: {count: 5}, mode: shadow, warn: [50]}", "limits[0]: warn: goes with mode: soft or hard"),
        (
            "{name: a, requests: {count: 5}, mode: soft, when_away: open}",
            "limits[0]: when_away: goes with mode: hard",
        ),
        ("{name: a, concurrent: 5, when_away: open}", "limits[0]: when_away: open: goes without concurrent"),
        (
            "{name: a, requests: {count: 5}, when_away: ajar}",
            "limits[0].when_away: must be one of closed, open",
        ),
        ("{name: a, requests: {count: 5}, mode: soft, warn: [0]}", "limits[0].warn[0]: must be from 1 to 1000"),
        (
            "{name: a, budget: {usd: 5, unpriced: serve}, mode: shadow}",
            "limits[0]: budget.unpriced: goes with mode: hard",
        ),
    ],
)
async def test_what_is_wrong_with_a_limit_of_a_file_is_told_by_its_place(house: House, line: str, told: str) -> None:
    error = await refusal(apply(house, f"limits:\n  - {line}\n", "file.yaml"))
    assert told in error.message
    assert await house.names("limits") == []


async def test_the_same_name_twice_for_the_same_keys_is_one_too_many(house: House) -> None:
    twice = "limits:\n" + "  - {name: a, team: core, requests_per_minute: 5}\n" * 2
    error = await refusal(apply(house, twice, "file.yaml"))
    assert "file.yaml:3: limits[1].name: another limit of the same keys is called 'a' already" in error.message


async def test_a_key_of_a_file_names_a_team_that_is_there(house: House) -> None:
    text = "keys:\n  - {name: ci, secret: {env: CI_KEY}, team: none}\n"
    error = await refusal(apply(house, text, "file.yaml"))
    assert error.message == "file.yaml:2: keys[0].team: there is no team 'none'"


LIVE = """\
keys: [{name: ci, secret: {env: CI_KEY}}]
limits:
  - {name: all, requests_per_minute: 600}
  - {name: daily, key: ci, budget: {usd: 5, window: day}}
"""


async def test_the_gateways_own_file_limits_its_keys_and_all_of_the_platforms(house: House) -> None:
    await make(house, "stored")
    await make(house, "guests", OTHERS)
    await live(house, house.file.read_text() + LIVE)
    assert await limited(house) == {"ci": ["all", "key/ci/daily"], "stored": ["all"], "guests": []}
    assert [one.name for one in (await house.port.list_objects(ME, "limits")).items] == ["all", "key/ci/daily"]
    assert await house.names("limits", OTHERS) == [], "another organisation reads nothing of it"
    assert (await house.put("limits", "all", MONTHLY, OTHERS)).outcome == "created", "and has names of its own"
    before = {limit.name: limit.id for limit in (await house.snapshot()).limits if limit.organisation == "default"}
    error = await refusal(house.put("limits", "all", MONTHLY))
    assert (error.status, error.code) == (409, "managed_by_file")
    await house.port.adopt_object(ME, "limits", "all")
    after = {limit.name: limit.id for limit in (await house.snapshot()).limits if limit.organisation == "default"}
    assert after == before, "what was spent stays spent"
    await house.put("limits", "all", {"requests_per_minute": 5})
    text = await house.port.export_configuration(ME)
    assert "requests_per_minute: 5" in text
    assert "daily" not in text, "it is of a key that is not exported"


async def test_a_live_file_says_no_teams_no_users_and_no_limits_of_other_keys(house: House) -> None:
    text = house.file.read_text()
    house.file.write_text(
        text + "keys: [{name: ci, secret: {env: CI_KEY}, team: core}]\nlimits:\n"
        "  - {name: a, requests_per_minute: 5, team: core}\n  - {name: b, requests_per_minute: 5, key: cii}\n"
    )

    async def told() -> bool:
        return bool((await house.service.configuration()).rejected)

    await house.until(told)
    lines = (await house.service.configuration()).rejected.splitlines()
    hint = "teams and users are not this file's to say; 'omniroute apply' this, or use /api"
    assert [line.partition(": ")[2] for line in lines] == [
        f"keys[0].team: {hint}",
        f"limits[0].team: {hint}",
        "limits[1].key: there is no key 'cii' in this file; did you mean 'ci'?",
    ]
