"""Limits of tags and of what is upstream, and what a hard limit warns of: put, applied, compiled and refused."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from omni_auth.adapters.offline import open_keys
from omni_catalogue.snapshot import Allowance, Budget
from omni_core.ports.auth import NewKey
from omni_wire.errors import GatewayError

from tests.contract.store.test_applied_keys import apply, changes, live
from tests.contract.store.test_limits import limited, make, refusal
from tests.contract.store.test_objects import BETA, ME, OTHERS, House
from tests.support.store import Place

FILE = """\
limits:
  - {name: nightly, tag: batch, tokens: {total: 1000}}
  - {name: most, provider: acme, budget: {usd: 25}}
  - {name: most, account: acme/first, concurrent: 4}
  - {name: most, model: acme/small, requests: {count: 9}}
  - {name: most, tier: api_key, budget: {usd: 5, window: 5h}}
"""
DOCUMENTS: dict[str, dict[str, Any]] = {
    "tag/batch/nightly": {"tokens": {"total": 1000}},
    "provider/acme/most": {"budget": {"usd": 25}},
    "account/acme/first/most": {"concurrent": 4},
    "model/acme/small/most": {"requests": {"count": 9}},
    "tier/api_key/most": {"budget": {"usd": 5, "window": "5h"}},
}
NAMES = list(DOCUMENTS)


@pytest.fixture
async def house(place: Place, tmp_path: Path) -> AsyncIterator[House]:
    made = House(place, tmp_path, place.kind == "sqlite")
    listed = "models: [{id: gpt-x}, {id: small}], accounts:"
    made.file.write_text(made.file.read_text().replace("accounts:", listed))
    await made.open()
    await made.put("organisations", "guests", {})
    yield made
    await made.close()


async def compiled(house: House) -> dict[str, Any]:
    return {limit.full_name: limit for limit in (await house.snapshot()).limits}


async def test_each_is_put_read_changed_and_deleted_by_its_name_while_it_runs(house: House) -> None:
    for name, document in DOCUMENTS.items():
        assert (await house.put("limits", name, document)).outcome == "created"
        assert (await house.put("limits", name, document)).outcome == "unchanged"
        word, _, rest = name.partition("/")
        owner, _, label = rest.rpartition("/")
        shown = msgspec.json.decode((await house.port.get_object(ME, "limits", name)).document)
        assert shown == {"name": label, word: owner} | document
        assert (await house.put("limits", name, shown)).outcome == "unchanged", "what is read can be written"
    assert await house.names("limits") == sorted(NAMES)
    found = await compiled(house)
    assert sorted(found) == sorted(NAMES)
    assert found["provider/acme/most"].budget == Budget(nano_usd=25 * 10**9)
    assert found["tier/api_key/most"].budget is None, "a version before would hold it in no window that there is"
    assert found["tier/api_key/most"].rolling == Budget(nano_usd=5 * 10**9, window="5h")
    assert found["account/acme/first/most"].allowances == (Allowance(of="concurrent", most=4),)
    before = found["model/acme/small/most"]
    await house.put("limits", "model/acme/small/most", {"requests_per_minute": 7})
    after = (await compiled(house))["model/acme/small/most"]
    assert (after.id, after.requests_per_minute) == (before.id, 0)
    assert after.allowances == (Allowance(of="requests", most=7, window="minute"),), "every attempt there is one"
    for name in NAMES:
        await house.port.delete_object(ME, "limits", name)
    assert (await house.snapshot()).limits == ()


async def test_a_file_makes_them_and_takes_them_away_and_the_gateways_own_has_them_too(house: House) -> None:
    await make(house, "plain")
    assert await changes(house, FILE, "file.yaml") == [f"create limits/{name}" for name in NAMES]
    again = await apply(house, FILE, "file.yaml")
    assert (again.changes, again.unchanged) == ((), 5)
    assert await limited(house) == {"plain": []}, "what is upstream is no key's"
    text = await house.port.export_configuration(ME)
    taken = await house.port.apply_configuration(ME, text, "", mode="import", dry_run=True, take_over=True)
    assert {one.action for one in taken.changes if one.kind == "limits"} <= {"adopt"}
    assert await changes(house, "limits: []\n", "file.yaml") == [f"delete limits/{name}" for name in NAMES]
    await live(house, house.file.read_text() + FILE)
    assert sorted(await compiled(house)) == sorted(NAMES)
    await house.port.adopt_object(ME, "limits", "provider/acme/most")
    assert (await compiled(house))["provider/acme/most"].id == "limit-provider/acme/most"


async def test_the_tags_of_a_key_are_kept_shown_and_have_their_limits(house: House) -> None:
    await house.put("limits", "tag/batch/nightly", DOCUMENTS["tag/batch/nightly"])
    await house.put("limits", "tag/batch/theirs", DOCUMENTS["tag/batch/nightly"], OTHERS)
    await make(house, "tagged", tags=("batch", "blue", "batch"))
    await make(house, "guest", OTHERS, tags=("batch",))
    assert await limited(house) == {"tagged": ["tag/batch/nightly"], "guest": ["tag/batch/theirs"]}
    rotated = (await house.port.rotate_key("tagged", 0, ME)).key
    listed = (await house.port.list_keys(ME))[0]
    assert rotated.tags == listed.tags == ("batch", "blue")
    policies = {key.name: key for key in (await house.snapshot()).keys}
    assert policies["tagged"].tags == ("batch", "blue")
    assert policies["guest"].organisation == "guests"
    with open_keys(house.place.data_dir, env=house.place.env) as offline:
        assert offline.create(NewKey(name="other", tags=("blue",))).key.tags == ("blue",)
    for tags in (("two words",), ("a" * 65,), tuple(f"t{each}" for each in range(17))):
        error = await refusal(make(house, "wrong", tags=tags))
        assert error.param == "tags"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("provider/acmee/x", "provider: there is no provider 'acmee'; did you mean 'acme'?"),
        ("account/acme/frist/x", "account: provider 'acme' has no account 'frist'; did you mean 'first'?"),
        ("account/acme/x", "account: must be the provider's id and the account, such as acme/main"),
        ("model/acme/smal/x", "model: provider 'acme' has no model 'smal'; did you mean 'small'?"),
        ("tier/cheep/x", "tier: must be one of subscription, api_key, cheap, free; did you mean 'cheap'?"),
        ("tag/two words/x", "tag: must be a tag: 1 to 64 characters, letters, digits and . _ : @ / = + -"),
        ("planet/earth/x", "there is no limit 'planet/earth/x': one is called NAME, team/TEAM/NAME, user/USER/NAME"),
    ],
)
async def test_what_is_not_there_or_wrong_is_told_by_its_place(house: House, name: str, told: str) -> None:
    error = await refusal(house.put("limits", name, {"requests_per_minute": 5}))
    assert error.message.startswith(told)


async def test_a_file_is_told_of_what_is_not_there_by_its_line(house: House) -> None:
    wrong = "limits:\n  - {name: x, provider: acmee, concurrent: 5}\n  - {name: x, tag: a, tier: free, concurrent: 5}\n"
    error = await refusal(apply(house, wrong, "file.yaml"))
    assert "file.yaml:3: limits[1]: is for one team, user, key, tag, provider, account, model or tier" in error.message
    error = await refusal(apply(house, wrong.rpartition("  - ")[0], "file.yaml"))
    assert error.message == "file.yaml:2: limits[0].provider: there is no provider 'acmee'; did you mean 'acme'?"
    error = await refusal(house.put("limits", "tag/a/x", {"concurrent": 5, "tier": "free"}))
    assert error.message == "tier: must be left out: its name has none"
    error = await refusal(house.put("limits", "tag/a/x", {"concurrent": 5, "tag": "b"}))
    assert error.message == "tag: must be 'a', as the object is called"


async def test_limits_of_what_is_upstream_are_not_for_guests_to_make(house: House) -> None:
    for name in NAMES[1:]:
        with pytest.raises(GatewayError) as caught:
            await house.put("limits", name, DOCUMENTS[name], OTHERS)
        assert caught.value.status == 403
    assert (await house.put("limits", NAMES[0], DOCUMENTS[NAMES[0]], OTHERS)).outcome == "created"


async def test_a_provider_and_its_limit_may_come_in_one_file(house: House) -> None:
    beta = {"id": "beta", **BETA, "accounts": [{"name": "one", "api_key": "none"}]}
    text = f"providers: [{msgspec.json.encode(beta).decode()}]\n"
    found = await changes(house, text + "limits: [{name: x, provider: beta, concurrent: 5}]\n", "file.yaml")
    assert found[-1] == "create limits/provider/beta/x"


async def test_a_hard_limit_with_percents_tells_of_them_and_refuses_as_before(house: House) -> None:
    document = {"tokens": {"total": 5}, "budget": {"usd": 2}, "requests_per_minute": 9, "warn": [90, 50, 50]}
    await house.put("limits", "all", document)
    found = (await compiled(house))["all"]
    assert (found.requests_per_minute, found.budget) == (9, Budget(nano_usd=2 * 10**9))
    assert [(each.of, each.window, each.mode, each.warn) for each in found.allowances] == [
        ("tokens", "day", "hard", (50, 90)),
        ("requests", "minute", "soft", (50, 90)),
        ("usd", "month", "soft", (50, 90)),
    ]
    await house.put("limits", "all", document | {"warn": None})
    assert (await compiled(house))["all"].allowances == (Allowance(of="tokens", most=5, window="day"),)
