"""``/api/{kind}``: pages, versions, dry runs, and what is refused."""

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest
from omni_catalogue.scopes import Scopes
from omni_core.ports.configuration import Applied, ConfigObject
from omni_dashboard.domain.kinds import KINDS
from omni_dashboard.server.documents import MAX_DEPTH

from tests.unit.dashboard.ports import ADMIN, DEV, House, is_problem

ONE = "/api/accounts/acme/main"


async def put(house: House, path: str = ONE, document: object = None, **more: Any) -> httpx.Response:
    return await house.call("PUT", path, ADMIN, json={} if document is None else document, **more)


def from_file(kind: str, name: str) -> ConfigObject:
    return ConfigObject(kind, name, b'{"id":"acme"}', "f00d", "file", "house.yaml")


def hold(house: House, held: ConfigObject, organisation: str = "default") -> None:
    house.auth.objects[organisation, held.kind, held.name] = held


async def test_an_object_is_made_read_changed_and_deleted_under_its_name(house: House) -> None:
    made = await put(house, document={"name": "main"})
    assert (made.status_code, made.headers["etag"], made.headers["location"]) == (201, '"1"', ONE)
    assert (made.json()["outcome"], made.json()["dry_run"]) == ("created", False)
    found = await house.call("GET", ONE, ADMIN)
    assert found.headers["etag"] == '"1"'
    assert found.json() == {
        "kind": "accounts", "name": "acme/main", "document": {"name": "main"}, "etag": "1", "managed_by": "api",
        "source": "", "created": 1, "updated": 2,
    }  # fmt: skip
    again = await put(house, document={"name": "main"})
    assert (again.status_code, again.headers["etag"], again.json()["outcome"]) == (200, '"1"', "unchanged")
    changed = await put(house, document={"name": "main", "api_key": "none"})
    assert (changed.status_code, changed.headers["etag"], changed.json()["outcome"]) == (200, '"2"', "updated")
    gone = await house.call("DELETE", ONE, ADMIN)
    assert (gone.status_code, gone.json()) == (200, {"kind": "accounts", "name": "acme/main", "dry_run": False})
    is_problem(await house.call("GET", ONE, ADMIN), 404, "not_found")


async def test_auth_hears_which_key_asks(house: House) -> None:
    await put(house)
    await house.call("POST", "/api/keys", ADMIN, json={"name": "ci"})
    assert {caller.actor for caller in house.auth.callers} == {"key:key_admin (root)"}
    assert {caller.organisation for caller in house.auth.callers} == {"default"}


@pytest.mark.parametrize(
    ("tag", "status"), [('"1"', 200), ("*", 200), ('"7", "1"', 200), ('"7"', 412), ('"7", "8"', 412), ('W/"1"', 412)]
)
async def test_a_change_can_insist_on_the_version_it_is_made_to(house: House, tag: str, status: int) -> None:
    for method, path in (("PUT", ONE), ("DELETE", ONE), ("POST", f"{ONE}/adopt")):
        await put(house)
        answer = await house.call(method, path, ADMIN, json={}, headers={"if-match": tag})
        assert answer.status_code == status, (method, answer.text)
        if status == 412:
            is_problem(answer, 412, "version_mismatch")
        house.auth.objects.clear()


async def test_nothing_that_is_not_there_has_a_version(house: House) -> None:
    for tag in ("*", '"1"', '"1", "2"'):
        is_problem(await put(house, headers={"if-match": tag}), 412, "version_mismatch")
    assert house.auth.objects == {}


@pytest.mark.parametrize("tag", ["1", "", '"1', "1, 2", '"1" "2"', '"a b"', '"a",,"b"'])
async def test_what_is_no_tag_is_refused(house: House, tag: str) -> None:
    assert is_problem(await put(house, headers={"if-match": tag}), 400)["param"] == "If-Match"
    assert is_problem(await put(house, headers={"if-none-match": tag}), 400)["param"] == "If-None-Match"


async def test_a_creation_can_insist_that_there_is_none(house: House) -> None:
    new = {"if-none-match": "*"}
    assert (await put(house, headers=new)).status_code == 201
    is_problem(await put(house, headers=new), 412, "version_mismatch")


async def test_who_has_the_newest_version_is_not_sent_it_again(house: House) -> None:
    await put(house)
    for tag, status in (('"1"', 304), ('W/"1"', 304), ("*", 304), ('"2", "1"', 304), ('"2"', 200)):
        answer = await house.call("GET", ONE, ADMIN, headers={"if-none-match": tag})
        assert (answer.status_code, answer.headers["etag"]) == (status, '"1"')
    is_problem(await house.call("GET", ONE, ADMIN, headers={"if-none-match": "nonsense"}), 400)
    described = (await house.call("GET", "/api/openapi.json")).json()["paths"]["/api/accounts/{name}"]
    assert "304" in described["get"]["responses"]


async def test_a_dry_run_says_what_would_be_and_leaves_everything(house: House) -> None:
    would = await put(house, f"{ONE}?dry_run=true")
    assert (would.status_code, would.json()["outcome"], would.json()["dry_run"]) == (200, "created", True)
    assert "etag" not in would.headers
    assert house.auth.objects == {}
    await put(house)
    gone = await house.call("DELETE", f"{ONE}?dry_run=true", ADMIN)
    assert (gone.status_code, gone.json()["dry_run"]) == (200, True)
    assert len(house.auth.objects) == 1
    is_problem(await put(house, f"{ONE}?dry_run=true", "wrong"), 400)


async def test_pages_follow_each_other_until_all_was_seen(house: House) -> None:
    for number in range(7):
        hold(house, from_file("tags", f"t{number}"))
    seen, path, pages = [], "/api/request-tags?limit=3", 0
    while path:
        answer = await house.call("GET", path, ADMIN)
        seen += [item["name"] for item in answer.json()["items"]]
        pages += 1
        link = answer.links.get("next")
        assert (link is None) == (answer.json()["next"] is None)
        path = link["url"] if link else ""
    assert (seen, pages) == ([f"t{number}" for number in range(7)], 3)
    for limit in ("0", "1001", "-1", "x"):
        assert is_problem(await house.call("GET", f"/api/request-tags?limit={limit}", ADMIN), 422)["param"] == "limit"


async def test_an_object_of_a_file_is_shown_with_it_and_changed_only_once_it_was_adopted(house: House) -> None:
    hold(house, from_file("providers", "acme"))
    found = (await house.call("GET", "/api/providers/acme", ADMIN)).json()
    assert (found["managed_by"], found["source"], found["etag"]) == ("file", "house.yaml", "f00d")
    is_problem(await put(house, "/api/providers/acme"), 409, "managed_by_file")
    is_problem(await house.call("DELETE", "/api/providers/acme", ADMIN), 409, "managed_by_file")
    adopted = await house.call("POST", "/api/providers/acme/adopt", ADMIN, headers={"if-match": '"f00d"'})
    assert (adopted.status_code, adopted.headers["etag"], adopted.json()["managed_by"]) == (200, '"1"', "api")
    assert (await put(house, "/api/providers/acme")).status_code == 200


async def test_a_name_may_have_slashes_and_words_of_the_path(house: House) -> None:
    for name in ("acme/vendor/model-1", "acme/adopt", "a%2Fb", "dora@example.org", "%C3%A4"):
        made = await put(house, f"/api/prices/{name}")
        assert made.status_code == 201, made.text
        assert (await house.call("GET", made.headers["location"], ADMIN)).json() == made.json()["object"]
    for name in ("a%00b", "a%0Ab", "x" * 401):
        answer = await house.call("GET", f"/api/prices/{name}", ADMIN)
        assert answer.status_code in (404, 422), name
        is_problem(answer, answer.status_code)


@pytest.mark.parametrize(
    ("body", "media", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b'"\xff"', "application/json", 400, "invalid_json"),
        (b'{"a":1e999}', "application/json", 400, "invalid_json"),
        (b'{"a":"\\ud800"}', "application/json", 400, "invalid_json"),
        (b'{"a":' + b"[" * 100_000, "application/json", 413, "body_too_large"),
        (b'{"a":' + b"[" * 10_000, "application/json", 400, "invalid_json"),
        (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "application/json", 400, "invalid_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "", 415, "unsupported_media_type"),
        (b"a: 1", "application/yaml", 415, "unsupported_media_type"),
    ],
)
async def test_a_body_that_is_no_document_is_refused(
    house: House, body: bytes, media: str, status: int, code: str
) -> None:
    headers = {"content-type": media} if media else {}
    is_problem(await house.call("PUT", ONE, ADMIN, content=body, headers=headers), status, code)
    assert house.auth.callers == []


async def test_every_wrong_field_is_named(house: House) -> None:
    body = is_problem(await put(house, document={"tier": "wrong"}), 400)
    assert body["param"] == "tier"
    assert body["errors"] == [
        {"field": "tier", "message": "must be one of a, b"},
        {"field": "models[0].id", "message": "is required"},
        {"field": "combos/the best: targets[0]", "message": "there is no provider 'x'"},
    ]


async def test_methods_that_a_path_has_are_all_named(house: House) -> None:
    answer = await house.call("PATCH", ONE, ADMIN)
    is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, PUT"
    is_problem(await house.call("GET", "/api/gadgets", ADMIN), 404)
    is_problem(await house.call("PUT", "/api/gadgets/one", ADMIN, json={}), 404)


# ---- the whole at once ----------------------------------------------------------------------------------------------


async def test_a_file_is_applied_under_its_name(house: House) -> None:
    path = "/api/config/apply?source=house.yaml&dry_run=true"
    yaml = {"content-type": "application/yaml; charset=utf-8"}
    answer = await house.call("POST", path, ADMIN, content="combos: []  # ä\n", headers=yaml)
    assert house.auth.applied == [("combos: []  # ä\n", "house.yaml", "apply", True, False)]
    assert answer.json() == {
        "dry_run": True, "revision": 8, "unchanged": 3, "warnings": ["mind the gap"],
        "changes": [{"action": "update", "kind": "combos", "name": "best", "before": {"a": 1}, "after": {"a": 2}}],
    }  # fmt: skip


async def test_a_file_may_take_longer_than_any_other_question(house: House) -> None:
    applied = house.auth.apply_configuration

    async def slowly(*asked: Any, **more: Any) -> Applied:
        await asyncio.sleep(1)  # any other call has 0.2
        return await applied(*asked, **more)

    house.auth.apply_configuration = slowly  # type: ignore[method-assign]
    yaml = {"content-type": "application/yaml"}
    answer = await house.call("POST", "/api/config/apply?source=a", ADMIN, content="combos: []", headers=yaml)
    assert answer.status_code == 200


async def test_json_is_applied_as_yaml_can_read_it(house: House) -> None:
    tabbed = b'{\t"combos": [{"name": "\\ud83d\\ude00"}]}'
    kind = {"content-type": "application/json"}
    answer = await house.call(
        "POST", "/api/config/apply?mode=import&take_over=true", ADMIN, content=tabbed, headers=kind
    )
    assert answer.status_code == 200
    assert house.auth.applied == [('{"combos":[{"name":"😀"}]}', "", "import", False, True)]


@pytest.mark.parametrize(
    ("query", "media", "body", "status"),
    [
        ("", "text/yaml", b"", 400),
        ("?source=", "text/yaml", b"", 400),
        ("?source=a&mode=both", "text/yaml", b"", 422),
        ("?source=a%0Ab", "text/yaml", b"", 422),
        ("?source=a&dry_run=perhaps", "text/yaml", b"", 422),
        ("?source=a", "text/yaml", b"\xff", 400),
        ("?source=a", "application/json", b"a: 1", 400),
        ("?source=a", "text/html", b"", 415),
    ],
)
async def test_what_cannot_be_applied_reaches_nobody(
    house: House, query: str, media: str, body: bytes, status: int
) -> None:
    path = f"/api/config/apply{query}"
    is_problem(await house.call("POST", path, ADMIN, content=body, headers={"content-type": media}), status)
    assert house.auth.applied == []


async def test_a_file_may_be_larger_than_other_bodies_and_has_its_bound(house: House) -> None:
    yaml = {"content-type": "text/yaml"}
    path = "/api/config/apply?source=a"
    assert (await house.call("POST", path, ADMIN, content=b"#" * 500_000, headers=yaml)).status_code == 200
    is_problem(await house.call("POST", path, ADMIN, content=b"#" * 1_100_000, headers=yaml), 413, "body_too_large")


async def test_the_whole_is_exported_as_a_file(house: House) -> None:
    answer = await house.call("GET", "/api/config/export", ADMIN)
    assert (answer.text, answer.headers["content-type"]) == ("providers: []\n", "text/yaml; charset=utf-8")


# ---- whose ----------------------------------------------------------------------------------------------------------


def elsewhere(house: House) -> None:
    """Everyone is of another organisation."""
    house.component.service.forget()
    known = house.auth.people
    house.auth.people = {d: msgspec.structs.replace(who, organisation="other") for d, who in known.items()}


async def test_auth_hears_whose_things_are_meant(house: House) -> None:
    hold(house, from_file("teams", "one"))
    hold(house, from_file("teams", "mine"), "other")
    elsewhere(house)
    names = [item["name"] for item in (await house.call("GET", "/api/teams", ADMIN)).json()["items"]]
    assert names == ["mine"]
    is_problem(await house.call("GET", "/api/teams/one", ADMIN), 404)
    assert {caller.organisation for caller in house.auth.callers} == {"other"}


async def test_only_who_runs_the_gateway_has_the_whole_its_breakers_and_its_processes(house: House) -> None:
    elsewhere(house)
    for method, path in (
        ("POST", "/api/config/apply?source=a"),
        ("GET", "/api/config/export"),
        ("GET", "/api/system"),
        ("POST", "/api/quota/breakers/acme/first/reset"),
    ):
        is_problem(await house.call(method, path, ADMIN, json={}), 403, "organisation_not_allowed")
    assert (house.auth.applied, house.quota.resets) == ([], [])


async def test_quota_and_usage_are_of_ones_own_organisations_keys(house: House) -> None:
    elsewhere(house)
    found = (await house.call("GET", "/api/quota", ADMIN)).json()
    assert ([key["key_id"] for key in found["keys"]], found["breakers"]) == (["key_dev"], [])
    totals = (await house.call("GET", "/api/usage?group_by=model", ADMIN)).json()["totals"]
    assert [query.key_id for query in house.analytics.queries] == ["key_dev"]
    assert totals["requests"] == 3
    nobodys = (await house.call("GET", "/api/usage?key=key_admin", ADMIN)).json()["totals"]
    assert (len(house.analytics.queries), nobodys["requests"]) == (1, 0)


async def test_the_platform_may_ask_for_anothers_and_nobody_else(house: House) -> None:
    hold(house, from_file("teams", "one"), "other")
    assert (await house.call("GET", "/api/teams/one?organisation=other", ADMIN)).status_code == 200
    await house.call("GET", "/api/keys?organisation=other", ADMIN)
    assert {caller.organisation for caller in house.auth.callers} == {"other"}
    elsewhere(house)
    for path in ("/api/teams", "/api/teams/one", "/api/keys"):
        answer = await house.call("GET", f"{path}?organisation=default", ADMIN)
        is_problem(answer, 403, "organisation_not_allowed")
    assert (await house.call("GET", "/api/teams/one?organisation=other", ADMIN)).status_code == 200


async def test_a_developer_reads_no_configuration(house: House) -> None:
    for kind in KINDS:
        is_problem(await house.call("GET", kind.path, DEV), 403)


async def test_a_document_comes_back_as_it_is_kept(house: House) -> None:
    document = {"a": [1, 2.5, True, None, "ä"], "b": {"c": "\u0000"}}
    assert (await put(house, document=document)).json()["object"]["document"] == document
    assert json.loads(house.auth.objects["default", "accounts", "acme/main"].document) == document


async def test_auth_hears_what_who_applies_a_file_may_hand_out(house: House) -> None:
    yaml = {"content-type": "application/yaml"}
    await house.call("POST", "/api/config/apply?source=a", ADMIN, content="keys: []", headers=yaml)
    assert house.auth.scopes == [Scopes()]


async def test_a_key_that_a_file_changed_is_asked_about_anew(house: House) -> None:
    yaml = {"content-type": "application/yaml"}
    for text, dry_run, asked in (("keys: [a]", "true", 0), ("combos: []", "false", 0), ("keys: [a]", "false", 1)):
        await house.call("GET", "/api/usage", DEV)
        path = f"/api/config/apply?source=a&dry_run={dry_run}"
        await house.call("POST", path, ADMIN, content=text, headers=yaml)
        before = house.auth.calls
        await house.call("GET", "/api/usage", DEV)
        assert house.auth.calls - before == asked
