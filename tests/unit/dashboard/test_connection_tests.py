"""POST /api/accounts/{account}/test and /api/proxies/{proxy}/test: what is told, and who may ask."""

from omni_wire.errors import DependencyUnavailable

from tests.unit.dashboard.ports import ADMIN, House, is_problem


async def test_a_test_that_went_well_tells_the_way_and_the_address(house: House) -> None:
    answer = await house.call("POST", "/api/accounts/acme/first/test", ADMIN)
    assert answer.status_code == 200
    assert answer.json() == {
        "ok": True, "asked": "models", "message": "the provider takes the key", "status": 200, "latency_ms": 7,
        "code": None, "model": None, "proxy": "office", "level": "global", "egress": "203.0.113.7",
    }  # fmt: skip


async def test_one_that_failed_is_an_answer_all_the_same(house: House) -> None:
    answer = await house.call("POST", "/api/proxies/office/test", ADMIN)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["ok"], body["status"], body["code"]) == (False, None, "proxy_unreachable")


async def test_an_account_that_is_not_there_and_a_router_that_is_not_are_problems(house: House) -> None:
    is_problem(await house.call("POST", "/api/accounts/acme/none/test", ADMIN), 404, "not_found")
    house.router.failure = DependencyUnavailable("no router has announced itself yet")
    is_problem(await house.call("POST", "/api/accounts/acme/first/test", ADMIN), 503)
