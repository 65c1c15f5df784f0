"""POST /api/simulate-route: whose request is simulated, how it looks, and what is told of it."""

import json
from typing import Any

import pytest
from omni_wire.errors import DependencyUnavailable
from omni_wire.formats import WireFormat

from tests.unit.dashboard.ports import ADMIN, DEV, House, is_problem

ROUTE = "/api/simulate-route"


async def ask(house: House, by: str = ADMIN, **asked: Any) -> Any:
    return await house.call("POST", ROUTE, by, json={"model": "best"} | asked)


async def test_without_more_it_is_a_short_chat_of_the_key_that_asks(house: House) -> None:
    answer = await ask(house, by=DEV)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model"], body["steps"], body["refused"]) == ("best", [{"account": "a/b"}], None)
    (call,) = house.router.calls
    assert (call.key_id, call.client_format, call.model, call.stream) == ("key_dev", WireFormat.OPENAI_CHAT, "", False)
    assert json.loads(call.body) == {"model": "best", "messages": [{"role": "user", "content": "Hello"}]}
    assert call.context.request_id == answer.headers["x-request-id"]


async def test_an_admin_names_a_key_by_id_or_name_and_a_developer_only_itself(house: House) -> None:
    for key in ("key_dev", "dora", "key_admin", ""):
        await ask(house, key=key)
    assert [call.key_id for call in house.router.calls] == ["key_dev", "key_dev", "key_admin", "key_admin"]
    is_problem(await ask(house, key="nobody"), 404, "not_found")
    for key in ("key_dev", "dora"):
        answer = await house.call("POST", ROUTE, DEV, json={"model": "best", "key": key})
        assert answer.status_code == 200
    is_problem(await house.call("POST", ROUTE, DEV, json={"model": "best", "key": "root"}), 403)


async def test_the_model_and_the_stream_of_a_body_are_those_that_are_asked_for(house: House) -> None:
    await ask(house, body={"model": "other", "n": 2}, stream=True)
    await ask(house, body={"stream": True})
    assert [json.loads(call.body) for call in house.router.calls] == [
        {"model": "best", "n": 2, "stream": True},
        {"model": "best", "stream": True},
    ]


async def test_geminis_requests_say_model_and_stream_in_the_path(house: House) -> None:
    await ask(house, format="gemini.generate", stream=True)
    (call,) = house.router.calls
    assert (call.client_format, call.model, call.stream) == (WireFormat.GEMINI_GENERATE, "best", True)
    assert set(json.loads(call.body)) == {"contents"}


@pytest.mark.parametrize("wrong", [{"model": ""}, {"format": "cohere.chat"}, {"body": []}, {"unknown": 1}])
async def test_what_cannot_be_simulated_is_refused(house: House, wrong: dict[str, Any]) -> None:
    is_problem(await ask(house, **wrong), 422)
    assert house.router.calls == []


async def test_a_router_that_is_away_or_answers_otherwise_is_named(house: House) -> None:
    house.router.failure = DependencyUnavailable("the router is not reachable")
    assert "router" in is_problem(await ask(house), 503)["detail"]
    house.router.failure, house.router.document = None, b"[]"
    is_problem(await ask(house), 503)
