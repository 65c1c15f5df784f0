"""Keys that an applied file says: the same gateway as with that file as the live one. In process and over gRPC, on
SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omni_auth.adapters.offline import open_keys
from omni_auth.adapters.store.audit import AuditLog
from omni_auth.domain.apikeys import presented_digest
from omni_catalogue.scopes import ANY, Scopes
from omni_catalogue.snapshot import KeyPolicy
from omni_core.ports.auth import Identity, NewKey
from omni_core.ports.configuration import Applied
from omni_core.ports.context import CallContext
from omni_wire.errors import InvalidRequest, PermissionDenied, Unauthenticated

from tests.contract.store.test_objects import ME, House, refused
from tests.support.store import Place

SECRET, OTHER = "or-ci-0123456789-secret", "or-bot-0123456789-secret"
KEYS = """\
keys:
  - {name: ci, secret: {env: CI_KEY}, models: ["acme/*"], limits: {requests_per_minute: 600},
     budget: {usd: 25, window: week, unpriced: {input: 1, output: 2}}}
  - name: boss
    secret: {value: or-bot-0123456789-secret}
    role: admin
    providers: [acme]
    endpoints: [chat]
    ips: [10.0.0.0/8]
    management: [usage]
    expires: 2033-01-01
    rules: {sanitize: on, system_prompt: {prefix: "Be kind."}}
"""


@pytest.fixture
async def house(place: Place, tmp_path: Path) -> AsyncIterator[House]:
    made = House(place, tmp_path, place.kind == "sqlite")
    made.env["CI_KEY"] = SECRET
    yield await made.open()
    await made.close()


async def apply(house: House, text: str, source: str = "keys.yaml", **more: Any) -> Applied:
    done: Applied = await house.port.apply_configuration(ME, text, source, **{"scopes": ANY, **more})
    return done


async def changes(house: House, text: str, source: str = "keys.yaml", **more: Any) -> list[str]:
    done = await apply(house, text, source, **more)
    return [f"{one.action} {one.kind}/{one.name}" for one in done.changes]


async def who(house: House, secret: str) -> Identity:
    found: Identity = await house.port.authenticate(CallContext("r"), presented_digest(secret))
    return found


async def is_refused(house: House, secret: str) -> bool:
    try:
        await who(house, secret)
    except Unauthenticated:
        return True
    return False


async def policies(house: House) -> tuple[KeyPolicy, ...]:
    return (await house.snapshot()).keys


async def live(house: House, text: str) -> None:
    """Have the gateway's own file say that, until it is in force."""
    before = (await house.snapshot()).revision
    house.file.write_text(text)

    async def read() -> bool:
        return (await house.snapshot()).revision > before

    await house.until(read)


async def test_an_applied_key_does_what_it_would_in_the_live_file(house: House) -> None:
    text = house.file.read_text()
    await live(house, text + KEYS)
    wanted = await policies(house)
    await live(house, text)
    assert await policies(house) == ()
    assert await changes(house, KEYS, dry_run=True) == ["create keys/ci", "create keys/boss"]
    assert await policies(house) == ()
    assert await changes(house, KEYS) == ["create keys/ci", "create keys/boss"]
    assert await policies(house) == wanted
    assert (await who(house, SECRET)).key_id == "key-ci"
    assert (await who(house, OTHER)).scopes == wanted[0].scopes
    assert not (await house.snapshot()).checked_keys, "these secrets have not the shape of ours"
    assert sorted(key.name for key in await house.port.list_keys(ME)) == ["boss", "ci"]


async def test_applied_again_nothing_changes_and_a_key_that_is_named_no_more_stays(house: House) -> None:
    await apply(house, KEYS)
    before = house.audited()
    again = await apply(house, KEYS)
    assert (again.changes, again.unchanged) == ((), 2)
    assert await changes(house, "{}") == []
    assert house.audited() == before
    assert (await who(house, SECRET)).name == "ci"


async def test_a_changed_secret_rotates_the_key_and_the_old_one_ends_at_once(house: House) -> None:
    await apply(house, KEYS)
    house.env["CI_KEY"] = "or-ci-another-0123456789"
    (change,) = (await apply(house, KEYS)).changes
    before, after = msgspec.json.decode(change.before), msgspec.json.decode(change.after)
    assert (before.pop("secret"), after.pop("secret")) == ("the present one", "another one")
    assert before == after
    assert await is_refused(house, SECRET)
    assert (await who(house, "or-ci-another-0123456789")).key_id == "key-ci"
    assert house.audited()[0] == f"{ME.actor} keys.rotate"


async def test_a_change_is_told_in_the_words_of_a_file_and_nowhere_with_a_secret_or_a_hash(house: House) -> None:
    await apply(house, KEYS)
    done = await apply(house, KEYS.replace("requests_per_minute: 600", "requests_per_minute: 60").replace("25", "2.5"))
    before, after = (msgspec.json.decode(text) for text in (done.changes[0].before, done.changes[0].after))
    assert before["limits"] == {"requests_per_minute": 600}
    assert after["limits"] == {"requests_per_minute": 60}
    price = {"input": "1", "output": "2", "cached_input": "1", "cache_write": "1"}
    assert after["budget"] == {"usd": "2.5", "window": "week", "unpriced": price}
    audit = AuditLog(house.store.database)
    entries = audit.newest(limit=10)
    assert [(one.action, one.target) for one in entries[:3]] == [
        ("keys.update", "keys/key-ci"), ("keys.create", "keys/key-boss"), ("keys.create", "keys/key-ci"),
    ]  # fmt: skip
    told = f"{done} {entries} {await house.port.export_configuration(ME)}"
    digests = [key.digest for key in house.store.stored_keys()]
    for hidden in (SECRET, OTHER, *map(str, digests), *(digest.hex() for digest in digests)):
        assert hidden not in told
    assert audit.verify().bad is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("keys: [{name: a, secret: {env: NO_KEY}}]", "keys.yaml:1: keys[0].secret: the environment variable NO_KEY"),
        ("keys: [{name: a, secret: {value: ' lead-0123456789'}}]", "keys.yaml:1: keys[0].secret: the value begins or"),
        ("keys: [{name: a, secret: {value: 'end-0123456789 '}}]", "keys.yaml:1: keys[0].secret: the value begins or"),
        ("keys: [{name: a, secret: {vault: keep}}]", "keys.yaml:1: keys[0].secret: nothing is sealed for a file"),
        (
            "keys:\n- {name: a, secret: {env: CI_KEY}}\n- {name: b, secret: {value: or-ci-0123456789-secret}}",
            "keys.yaml:3: keys[1].secret: is the same secret as that of keys[0]",
        ),
        ("keys: [{name: a, secret: {env: HELD}}]", "keys.yaml:1: keys[0].secret: this secret is that of another key"),
        ("keys: [{name: a, secret: {env: LIVE}}]", "keys.yaml:1: keys[0].secret: is the secret of another key, in /"),
        ("keys: [{name: local, secret: {env: CI_KEY}}]", "keys.yaml:1: keys[0].name: the name 'local' is taken"),
        ("keys: [{name: api-01234567, secret: {env: CI_KEY}}]", "keys.yaml:1: keys[0].name: 'api-01234567' is what"),
        ("keys: [{name: a, secret: {env: CI_KEY}, models: 3}]", "keys.yaml:1: keys[0].models: must be a list"),
    ],
)
async def test_what_is_wrong_with_a_key_is_told_by_its_place_and_all_is_refused(
    house: House, text: str, told: str
) -> None:
    house.env["HELD"] = (await house.port.create_key(NewKey("held"), ME)).secret
    house.env["LIVE"] = "or-live-0123456789-secret"
    await live(house, house.file.read_text() + "keys: [{name: live, secret: {value: or-live-0123456789-secret}}]\n")
    before, keys = house.audited(), await policies(house)
    with refused(400) as check:
        await apply(house, text)
    assert check.value.message.startswith(told)
    assert check.value.param in ("keys[0].secret", "keys[1].secret", "keys[0].name", "keys[0].models")
    assert (house.audited(), await policies(house)) == (before, keys)


async def test_nothing_of_a_file_is_done_where_its_keys_are_refused(house: House) -> None:
    with refused(400):
        await apply(house, "combos: [{name: more, targets: [acme/m]}]\nkeys: [{name: local, secret: {env: CI_KEY}}]")
    assert await house.names("combos") == ["best"]


async def test_a_secret_that_was_revoked_or_replaced_never_comes_back(house: House) -> None:
    await apply(house, KEYS)
    await house.port.revoke_key("ci", ME)
    with refused(400) as check:
        await apply(house, KEYS)
    assert check.value.message.startswith("keys.yaml:2: keys[0].secret: this secret was revoked, or a newer one has")
    house.env["CI_KEY"] = "or-ci-another-0123456789"
    assert await changes(house, KEYS) == ["create keys/ci"]
    assert (await who(house, "or-ci-another-0123456789")).key_id == "key-ci", "its usage and budget go on"
    assert await is_refused(house, SECRET)
    house.env["CI_KEY"] = SECRET
    with refused(400):
        await apply(house, KEYS)


@pytest.mark.parametrize(
    "story", ["ended at once", "ended by a later one", "ended in time", "then revoked", "replaced"]
)
async def test_a_secret_that_ended_comes_back_under_no_name(house: House, story: str) -> None:
    text = f"keys: [{{name: ci, secret: {{value: {SECRET}}}}}]"
    await apply(house, text)
    if story == "replaced":
        await apply(house, "keys: [{name: ci, secret: {value: or-ci-another-0123456789}}]")
    else:
        await house.port.rotate_key("ci", 60 if "by" in story or "time" in story else 0, ME)
    if story == "ended in time":
        house.now += 60
    if story.startswith("ended "):
        await house.port.rotate_key("ci", 0 if "by" in story else 3600, ME)
    if story == "then revoked":
        await house.port.revoke_key("ci", ME)
    before, audited = await policies(house), house.audited()
    for name, told in (("ci", "was revoked, or a newer one has replaced it"), ("other", "is that of another key")):
        with refused(400) as check:
            await apply(house, text.replace("name: ci", f"name: {name}"), take_over=True)
        assert check.value.message.startswith(f"keys.yaml:1: keys[0].secret: this secret {told}")
    assert (await policies(house), house.audited()) == (before, audited)
    assert await is_refused(house, SECRET)


async def test_a_key_that_was_rotated_by_the_api_is_a_conflict_until_it_is_taken_over(house: House) -> None:
    await apply(house, KEYS)
    renewed = await house.port.rotate_key("ci", 3600, ME)
    assert (await who(house, renewed.secret)).key_id == "key-ci"
    with refused(409, "conflict") as check:
        await apply(house, KEYS)
    assert "keys/ci is managed by the API" in check.value.message
    with refused(400) as check:
        await apply(house, KEYS, take_over=True)
    assert "a newer one has replaced it" in check.value.message
    house.env["CI_KEY"] = renewed.secret
    assert await changes(house, KEYS, take_over=True) == ["adopt keys/ci"]
    assert (await who(house, SECRET)).key_id == "key-ci", "the overlap goes on"


async def test_a_key_of_the_api_is_taken_over_under_its_id(house: House) -> None:
    made = await house.port.create_key(NewKey("ci", requests_per_minute=5), ME)
    with refused(409, "conflict"):
        await apply(house, KEYS)
    assert await changes(house, KEYS, take_over=True) == ["update keys/ci", "create keys/boss"]
    assert (await who(house, SECRET)).key_id == made.key.id
    assert await is_refused(house, made.secret)
    with refused(409, "conflict") as check:
        await apply(house, KEYS, "other.yaml")
    assert "keys/ci is managed by keys.yaml" in check.value.message
    assert await changes(house, KEYS, "", mode="import", take_over=True) == ["adopt keys/ci", "adopt keys/boss"]


async def test_a_key_of_the_live_file_is_taken_over_as_it_is_and_left_aside_there(house: House) -> None:
    text = house.file.read_text()
    await live(house, text + KEYS)
    before = await policies(house)
    with refused(409, "conflict") as check:
        await apply(house, KEYS)
    assert f"keys/ci is managed by {house.file}" in check.value.message
    done = await apply(house, KEYS, take_over=True)
    assert [f"{one.action} {one.name}" for one in done.changes] == ["adopt ci", "adopt boss"]
    assert f"{house.file}: keys/ci: is managed by the API now and left aside here" in done.warnings[0]
    assert await policies(house) == before
    house.env["CI_KEY"] = "or-ci-another-0123456789"
    assert await changes(house, KEYS) == ["update keys/ci"]
    assert await is_refused(house, SECRET), "what the store has stands for what the file says"
    assert [key.managed_by for key in await house.port.list_keys(ME)] == ["api", "api"]


async def test_a_key_that_the_live_file_says_too_is_revoked_only_once_it_is_out_of_there(house: House) -> None:
    text = house.file.read_text()
    await live(house, text + KEYS)
    await apply(house, KEYS, "", mode="import", take_over=True)
    await house.port.rotate_key("ci", 0, ME)
    assert await is_refused(house, SECRET)
    before, audited = await policies(house), house.audited()
    for name in ("ci", "key-ci", "boss"):
        with refused(409, "managed_by_file") as check:
            await house.port.revoke_key(name, ME)
        assert f"is in {house.file} as well" in check.value.message
        with open_keys(house.place.data_dir, house.file, house.place.env) as keys, refused(409, "managed_by_file"):
            keys.revoke(name)
    assert (await policies(house), house.audited()) == (before, audited)
    assert await is_refused(house, SECRET)

    house.file.write_text(text)

    async def revoked() -> bool:
        try:
            await house.port.revoke_key("boss", ME)
        except InvalidRequest:
            return False
        return True

    await house.until(revoked)
    await house.port.revoke_key("ci", ME)
    assert await is_refused(house, SECRET)
    assert await is_refused(house, OTHER)
    assert await house.port.list_keys(ME) == []


async def test_who_may_not_hand_out_keys_applies_none(house: House) -> None:
    for scopes, told in (
        (None, "does not say which you may hand out"),
        (Scopes(management=("config",)), "this key may not change keys"),
        (Scopes(management=("config", "keys")), "keys/boss: this key may only hand out keys that manage no more"),
        (Scopes(expires=2_000_000_000), "keys/boss: this key may only hand out keys that manage no more"),
    ):
        keys = KEYS.replace("expires: 2033-01-01", "") if scopes and scopes.expires else KEYS
        with pytest.raises(PermissionDenied, match=told):
            await apply(house, keys, scopes=scopes)
    assert await policies(house) == ()
    enough = Scopes(management=("config", "keys", "usage"))
    assert await changes(house, KEYS, scopes=enough) == ["create keys/ci", "create keys/boss"]
    assert await changes(house, KEYS, scopes=Scopes(management=("config",))) == []


@pytest.mark.parametrize("where", ["file", "api", "live"])
async def test_who_may_not_hand_out_a_key_puts_no_other_in_its_place(house: House, where: str) -> None:
    strong = "keys: [{name: boss, secret: {value: or-bot-0123456789-secret}, role: admin}]"
    if where == "live":
        await live(house, house.file.read_text() + strong)
    elif where == "file":
        await apply(house, strong)
    else:
        await house.port.create_key(NewKey("boss", role="admin"), ME)
    before, audited = await policies(house), house.audited()
    weak = Scopes(management=("config", "keys"))
    for more in ("role: developer", "role: admin, management: [config]"):
        text = f"keys: [{{name: boss, secret: {{value: {SECRET}}}, {more}}}]"
        with pytest.raises(PermissionDenied, match="keys/boss: this key may only change keys that manage no more"):
            await apply(house, text, scopes=weak, take_over=True)
    assert (await policies(house), house.audited()) == (before, audited)
    assert await is_refused(house, SECRET)
    assert await changes(house, text, scopes=Scopes(), take_over=True) == ["update keys/boss"]


async def test_applied_keys_are_there_after_a_restart_and_their_names_are_taken(house: House) -> None:
    await apply(house, KEYS)
    before = await house.snapshot()
    await house.close()
    await house.open()
    assert (await house.snapshot()).keys == before.keys
    for name in ("ci", "key-ci"):
        with refused(400) as check:
            await house.port.create_key(NewKey(name), ME)
        assert check.value.param == "name"


async def test_a_short_secret_is_taken_with_a_warning(house: House) -> None:
    done = await apply(house, "keys: [{name: a, secret: {value: short}}]")
    assert done.warnings == ("keys.yaml:1: keys[0].secret: warning: shorter than 16 characters, which can be guessed",)
