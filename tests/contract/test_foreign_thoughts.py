"""A conversation that changes provider is never a 400: the client sends back, in a provider's own dialect, what another
one thought. The providers here verify as the vendors do."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from omni_catalogue import snapshot as s
from omni_translator.domain.codecs import CODECS
from omni_wire.errors import LossRefused, UpstreamRejected
from omni_wire.formats import WireFormat

from tests.contract.test_router_formats import GEMINI, MESSAGES, RESPONSES, ask, call
from tests.support.router import PATIENT, Harness, harness, provider
from tests.support.scripted import Peer, Scripted, scripted

OWN = "b3VyLW93bi1wcm9vZg"  # the only proof that the strict provider takes
SKIP = "skip_thought_signature_validator"
MODEL = "gemini-3.8-flash"
TOOLS: dict[WireFormat, Any] = {
    MESSAGES: [{"name": "look", "input_schema": {"type": "object", "properties": {}}}],
    RESPONSES: [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}],
    GEMINI: [{"functionDeclarations": [{"name": "look"}]}],
}


def complaint(body: dict[str, Any]) -> str:
    """What a vendor says of a history; empty when it takes it."""
    for message in body.get("messages", ()):
        for block in message["content"] if isinstance(message["content"], list) else ():
            if block["type"] == "thinking" and block.get("signature") != OWN:
                return "messages.1.content.0: Invalid `signature` in `thinking` block"
    last = [message for message in body.get("messages", ()) if message["role"] == "assistant"][-1:]
    if last and body.get("thinking", {}).get("type") == "enabled" and last[0]["content"][0]["type"] != "thinking":
        return "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`"
    for item in body.get("input", ()):
        if item.get("type") == "reasoning" and not item.get("encrypted_content"):
            return f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
        if item.get("type") == "reasoning" and item["encrypted_content"] != OWN:
            return "The encrypted content could not be verified."
    for content in body.get("request", body).get("contents", ()):
        calls = [part for part in content["parts"] if "functionCall" in part]
        if calls and calls[0].get("thoughtSignature") not in (OWN, SKIP):
            return "Function call is missing a thought_signature in functionCall parts."
    return ""


class Strict:
    """Answers "fine", or the complaint, and remembers what it was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    async def play(self, peer: Peer) -> None:
        while request := await peer.request():
            head, _, raw = request.partition(b"\r\n\r\n")
            body = json.loads(raw)
            self.seen.append(body)
            wrong = complaint(body)
            told = {"error": {"message": wrong}} if wrong else _fine(head)
            data, status = json.dumps(told).encode(), b"400 Bad Request" if wrong else b"200 OK"
            await peer.say(
                b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (status, len(data), data)
            )


def _fine(head: bytes) -> dict[str, Any]:
    if b"/v1/messages" in head:
        return {
            "id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "fine"}], "usage": {"input_tokens": 1, "output_tokens": 1},
        }  # fmt: skip
    if b"/responses" in head:
        text = {"type": "output_text", "text": "fine", "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        return {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [item]}
    told = {"candidates": [{"content": {"role": "model", "parts": [{"text": "fine"}]}, "finishReason": "STOP"}]}
    return {"response": told} if b"/v1internal" in head else told


@pytest.fixture
async def strict() -> AsyncIterator[tuple[Strict, Scripted]]:
    made = Strict()
    async with scripted(made.play) as server:
        yield made, server


@pytest.fixture
async def gw(clean_redis: str, strict: tuple[Strict, Scripted]) -> AsyncIterator[Harness]:
    async with harness(clean_redis) as made:
        url = strict[1].url
        made.configure(
            provider("acme", f"{made.simulator.url}/v1"),
            provider("an", url, MESSAGES),
            provider("re", f"{url}/v1", RESPONSES),
            provider("ge", url, GEMINI),
            provider("cl", url, WireFormat.CLOUDCODE_GENERATE),
        )
        yield made


NAMES = {MESSAGES: "an", RESPONSES: "re", GEMINI: "ge"}


def history(dialect: WireFormat, answer: dict[str, Any]) -> dict[str, Any]:
    """The next turn of a client that sends back what it was given, and the result of its call."""
    if dialect is MESSAGES:
        call_id = next(block["id"] for block in answer["content"] if block["type"] == "tool_use")
        result = {"type": "tool_result", "tool_use_id": call_id, "content": "found"}
        turns = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
        return {"messages": [{"role": "user", "content": "Look"}, *turns]}
    if dialect is RESPONSES:
        call_id = next(item["call_id"] for item in answer["output"] if item["type"] == "function_call")
        result = {"type": "function_call_output", "call_id": call_id, "output": "found"}
        return {"input": [{"role": "user", "content": "Look"}, *answer["output"], result], "store": False}
    result = {"functionResponse": {"name": "look", "response": {"output": "found"}}}
    contents = [{"role": "user", "parts": [{"text": "Look"}]}, answer["candidates"][0]["content"]]
    return {"contents": [*contents, {"role": "user", "parts": [result]}]}


@pytest.mark.parametrize("dialect", [MESSAGES, RESPONSES, GEMINI])
async def test_what_another_provider_thought_is_no_400_in_a_providers_own_dialect(
    gw: Harness, strict: tuple[Strict, Scripted], dialect: WireFormat
) -> None:
    _, raw, _ = await ask(gw, call(dialect, "acme/sim+think+tools", tools=TOOLS[dialect]))
    answer = json.loads(raw)
    assert b"first I read" in raw, "the client was told the thought"
    turn = history(dialect, answer) | {"tools": TOOLS[dialect]}
    if dialect is MESSAGES:
        turn |= {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    head, again, error = await ask(gw, call(dialect, f"{NAMES[dialect]}/{MODEL}", **turn))
    assert error is None
    assert (head.status, head.passthrough) == (200, True)
    assert "fine" in str(CODECS[dialect].decode_response(again).parts)
    assert len(strict[0].seen) == 1, "it was right the first time"
    assert head.losses == {MESSAGES: ("messages.content.thinking",), RESPONSES: ("input.reasoning",)}.get(dialect, ())


STRICTLY = {"x-omniroute-translation": "strict"}


@pytest.mark.parametrize("dialect", [MESSAGES, RESPONSES])
async def test_a_strict_client_is_refused_rather_than_relayed_without_a_thought(
    gw: Harness, strict: tuple[Strict, Scripted], dialect: WireFormat
) -> None:
    _, raw, _ = await ask(gw, call(dialect, "acme/sim+think+tools", tools=TOOLS[dialect]))
    turn = history(dialect, json.loads(raw)) | {"tools": TOOLS[dialect]}
    with pytest.raises(LossRefused, match=r"messages\.content\.thinking|input\.reasoning"):
        await ask(gw, call(dialect, f"{NAMES[dialect]}/{MODEL}", headers=STRICTLY, **turn))
    assert strict[0].seen == []


async def test_a_strict_client_hears_that_its_proof_was_refused(gw: Harness, strict: tuple[Strict, Scripted]) -> None:
    turn = history(MESSAGES, SIGNED_ELSEWHERE[MESSAGES])
    with pytest.raises(UpstreamRejected, match="Invalid `signature`"):
        await ask(gw, call(MESSAGES, f"an/{MODEL}", headers=STRICTLY, **turn))
    assert len(strict[0].seen) == 1


SIGNED_ELSEWHERE: dict[WireFormat, dict[str, Any]] = {
    MESSAGES: {
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "Zm9yZWlnbg"},
            {"type": "tool_use", "id": "a", "name": "look", "input": {}},
        ]
    },
    RESPONSES: {
        "output": [
            {"type": "reasoning", "id": "rs_68f1", "summary": [], "encrypted_content": "gAAAforeign"},
            {"type": "function_call", "call_id": "a", "name": "look", "arguments": "{}"},
        ]
    },
    GEMINI: {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [{"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "Zm9yZWlnbg"}],
                }
            }
        ]
    },
}


@pytest.mark.parametrize("dialect", [MESSAGES, RESPONSES, GEMINI])
async def test_a_proof_that_a_provider_refuses_is_taken_out_and_the_request_made_again(
    gw: Harness, strict: tuple[Strict, Scripted], dialect: WireFormat
) -> None:
    turn = history(dialect, SIGNED_ELSEWHERE[dialect])
    head, again, error = await ask(gw, call(dialect, f"{NAMES[dialect]}/{MODEL}", **turn))
    assert error is None
    assert head.losses
    assert "fine" in str(CODECS[dialect].decode_response(again).parts)
    assert len(strict[0].seen) == 2
    attempts, (request,) = await gw.events()
    assert (request.outcome, request.attempts) == ("ok", 2)
    refused, answered = attempts
    assert (refused.outcome, refused.provider_status, refused.cost_nano_usd) == ("failed", 400, 0)
    assert (answered.outcome, answered.provider_status) == ("ok", 200)
    assert refused.id != answered.id
    assert await gw.open_holds() == 0


@pytest.mark.parametrize("dialect", [MESSAGES, RESPONSES])
async def test_a_proof_of_the_providers_own_is_relayed_untouched(
    gw: Harness, strict: tuple[Strict, Scripted], dialect: WireFormat
) -> None:
    answer = json.loads(json.dumps(SIGNED_ELSEWHERE[dialect]).replace("Zm9yZWlnbg", OWN).replace("gAAAforeign", OWN))
    turn = history(dialect, answer)
    head, _, error = await ask(gw, call(dialect, f"{NAMES[dialect]}/{MODEL}", **turn))
    assert error is None
    assert head.losses == ()
    (seen,) = strict[0].seen
    assert {key: seen[key] for key in turn} == turn


async def test_a_refusal_of_anything_else_is_told_at_once(gw: Harness, strict: tuple[Strict, Scripted]) -> None:
    turn = history(MESSAGES, {"content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]})
    with pytest.raises(UpstreamRejected, match="Expected `thinking`"):
        await ask(gw, call(MESSAGES, f"an/{MODEL}", thinking={"type": "enabled", "budget_tokens": 2000}, **turn))
    assert len(strict[0].seen) == 1


async def test_a_proof_that_cloud_code_refuses_is_taken_out_of_its_envelope(
    gw: Harness, strict: tuple[Strict, Scripted]
) -> None:
    turn = history(GEMINI, SIGNED_ELSEWHERE[GEMINI])
    head, again, error = await ask(gw, call(GEMINI, f"cl/{MODEL}", **turn))
    assert error is None
    assert "fine" in str(CODECS[GEMINI].decode_response(again).parts)
    assert "contents.parts.thoughtSignature" in head.losses
    refused, answered = [seen["request"]["contents"][1]["parts"][0]["thoughtSignature"] for seen in strict[0].seen]
    assert (refused, answered) == ("Zm9yZWlnbg", SKIP)


async def test_a_refused_proof_holds_a_budget_once_and_says_nothing_of_the_account(
    gw: Harness, strict: tuple[Strict, Scripted]
) -> None:
    budget = s.Budget(nano_usd=1_000_000_000)
    routing = s.Routing(breaker=s.BreakerPolicy(failures=1), timeouts=PATIENT)
    keys = (s.KeyPolicy(id="key-all", name="all", budget=budget),)
    gw.configure(provider("an", strict[1].url, MESSAGES), keys=keys, routing=routing)
    turn = history(MESSAGES, SIGNED_ELSEWHERE[MESSAGES])
    for _ in range(2):  # an open breaker would refuse the second
        _, _, error = await ask(gw, call(MESSAGES, f"an/{MODEL}", max_tokens=100, **turn))
        assert error is None
    attempts, requests = await gw.events()
    assert [request.attempts for request in requests] == [2, 2]
    assert len({event.id for event in attempts}) == 4
    spent, held = await gw.money("key-all")
    assert (spent, held) == (sum(event.cost_nano_usd for event in attempts), 0)
    assert spent == sum(request.cost_nano_usd for request in requests) > 0


class Stubborn(Strict):
    """Refuses every proof, and every request without one as well."""

    async def play(self, peer: Peer) -> None:
        told = b'{"error":{"message":"Invalid `signature` in `thinking` block"}}'
        while request := await peer.request():
            self.seen.append(json.loads(request.partition(b"\r\n\r\n")[2]))
            await peer.say(
                b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                % (len(told), told)
            )


async def test_a_proof_is_refused_once_and_never_for_ever(gw: Harness) -> None:
    stubborn = Stubborn()
    async with scripted(stubborn.play) as server:
        gw.configure(provider("an", server.url, MESSAGES), routing=s.Routing(retries=3, breaker=None, timeouts=PATIENT))
        with pytest.raises(UpstreamRejected, match="Invalid `signature`"):
            await ask(gw, call(MESSAGES, f"an/{MODEL}", **history(MESSAGES, SIGNED_ELSEWHERE[MESSAGES])))
    assert len(stubborn.seen) == 2
    attempts, (request,) = await gw.events()
    assert [event.outcome for event in attempts] == ["failed", "failed"]
    assert (request.attempts, request.status) == (2, 400)
    assert await gw.open_holds() == 0
