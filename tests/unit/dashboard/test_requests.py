"""GET /api/requests/{id}: what became of a request and why, for those who may see it."""

import json

import msgspec

from tests.unit.dashboard.ports import ADMIN, DEV, FOUND, House, is_problem


async def test_a_request_is_told_with_its_attempts_its_money_and_its_decision(house: House) -> None:
    body = (await house.call("GET", "/api/requests/mine", ADMIN)).json()
    assert (body["id"], body["request_id"], body["key"], body["status"]) == ("0190", "mine", "key_dev", 200)
    assert (body["cost_nano_usd"], body["cost_usd"]) == (1_250_000, "0.00125")
    assert body["usage"]["cached_input_tokens"] == 10
    assert body["losses"] == ["top_k"]
    assert body["decision"]["steps"] == [{"provider": "claude", "outcome": "failed"}]
    (attempt,) = body["attempts"]
    assert (attempt["account"], attempt["outcome"], attempt["reserved_nano_usd"]) == ("claude/a", "failed", 9)
    assert attempt["first_byte_ms"] is attempt["provider_status"] is None


async def test_an_admin_asks_for_all_keys_and_a_developer_for_their_own(house: House) -> None:
    await house.call("GET", "/api/requests/mine", ADMIN)
    assert (await house.call("GET", "/api/requests/mine", DEV)).json()["id"] == "0190"
    assert house.analytics.asked == [("mine", None), ("mine", ("key_dev",))]


async def test_what_is_not_theirs_is_answered_as_what_nobody_has(house: House) -> None:
    house.analytics.found = [msgspec.structs.replace(FOUND, key_id="key_admin")]
    theirs = is_problem(await house.call("GET", "/api/requests/mine", DEV), 404, "not_found")
    nobodys = is_problem(await house.call("GET", "/api/requests/none", DEV), 404, "not_found")
    for body in (theirs, nobodys):
        del body["request_id"]
    assert json.loads(json.dumps(theirs).replace("mine", "none")) == nobodys


async def test_without_a_decision_or_with_an_unreadable_one_the_rest_is_told(house: House) -> None:
    for decision in (b"", b"[]", b"{"):
        house.analytics.found = [msgspec.structs.replace(FOUND, decision=decision)]
        body = (await house.call("GET", "/api/requests/0190", ADMIN)).json()
        assert (body["decision"], body["model"]) == (None, "best")


async def test_an_id_that_no_request_can_have_is_refused(house: House) -> None:
    is_problem(await house.call("GET", "/api/requests/a b", ADMIN), 422)
    assert house.analytics.asked == []
