"""``/api/audit``: pages of what was done, whose, and whether it is as it was written."""

import hashlib

import msgspec
import pytest
from omni_core.ports.audit import AuditVerdict

from tests.unit.dashboard.ports import ADMIN, House, entry, is_problem


def be_of(house: House, organisation: str) -> None:
    digest = hashlib.sha256(ADMIN.encode()).digest()
    house.auth.people[digest] = msgspec.structs.replace(house.auth.people[digest], organisation=organisation)


async def test_what_was_done_is_told_newest_first_and_page_by_page(house: House) -> None:
    seen, path, pages = [], "/api/audit?limit=2", 0
    while path:
        answer = await house.call("GET", path, ADMIN)
        seen += [item["number"] for item in answer.json()["items"]]
        link = answer.links.get("next")
        assert (link is None) == (answer.json()["next"] is None)
        path, pages = link["url"] if link else "", pages + 1
    assert (seen, pages) == ([5, 4, 3, 2, 1], 3)


async def test_an_entry_says_who_did_what_to_which_thing_and_how_it_is_sealed(house: House) -> None:
    assert (await house.call("GET", "/api/audit?limit=1", ADMIN)).json()["items"] == [
        {
            "number": 5, "at": 1_700_000_000_005, "organisation": "default", "actor": "cli:uid-7",
            "action": "teams.create", "target": "teams/t5", "before": None, "after": {"name": "core"},
            "previous": "00" * 32, "hash": "ab" * 32,
        }
    ]  # fmt: skip


async def test_what_somebody_damaged_is_shown_as_it_is(house: House) -> None:
    house.auth.audit = [entry(1, "default", after="{brok\ufffd")]
    (shown,) = (await house.call("GET", "/api/audit", ADMIN)).json()["items"]
    assert shown["after"] == "{brok\ufffd"


async def test_the_platform_sees_all_organisations_or_one_and_others_ask_for_their_own(house: House) -> None:
    async def numbers(query: str = "") -> list[int]:
        answer = await house.call("GET", f"/api/audit{query}", ADMIN)
        assert answer.status_code == 200, answer.text
        return [item["number"] for item in answer.json()["items"]]

    assert await numbers() == [5, 4, 3, 2, 1]
    assert await numbers("?organisation=guests") == [2]
    assert await numbers("?organisation=default") == [5, 4, 3, 1]
    be_of(house, "guests")
    house.component.service.forget()
    await numbers()
    assert (house.auth.callers[-1].organisation, house.auth.callers[-1].actor) == ("guests", "key:key_admin (root)")
    assert await numbers("?organisation=guests") == [2]
    is_problem(await house.call("GET", "/api/audit?organisation=default", ADMIN), 403, "organisation_not_allowed")
    is_problem(await house.call("GET", "/api/audit/verify", ADMIN), 403, "organisation_not_allowed")


async def test_the_first_entry_that_is_not_as_it_was_written_is_named(house: House) -> None:
    assert (await house.call("GET", "/api/audit/verify", ADMIN)).json() == {
        "ok": True, "entries": 5, "head": "5:" + "ab" * 32, "bad": None, "why": "",
    }  # fmt: skip
    house.auth.verdict = AuditVerdict(2, "2:" + "cd" * 32, 3, "its content is not what its hash says")
    assert (await house.call("GET", f"/api/audit/verify?head={house.auth.verdict.head}", ADMIN)).json() == {
        "ok": False, "entries": 2, "head": "2:" + "cd" * 32, "bad": 3, "why": "its content is not what its hash says",
    }  # fmt: skip


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "after=x", "after=-1", "after=" + "9" * 19])
async def test_what_is_no_page_is_refused(house: House, query: str) -> None:
    assert is_problem(await house.call("GET", f"/api/audit?{query}", ADMIN), 422)["param"] == query.partition("=")[0]
