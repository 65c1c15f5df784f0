"""What is spliced out of a relayed history: thoughts without a proof, and nothing beside them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain.thoughts import doubted, unproved, without_proofs
from omni_wire.body import Body
from omni_wire.errors import UpstreamFailed, UpstreamRejected
from omni_wire.formats import CLIENT_FORMATS, WireFormat

MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
RESPONSES, CHAT = WireFormat.OPENAI_RESPONSES, WireFormat.OPENAI_CHAT
SIGNED = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
UNSIGNED = {"type": "thinking", "thinking": "hm", "signature": ""}
CALL = {"type": "tool_use", "id": "a", "name": "f", "input": {"type": "thinking"}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "x"}]}
ASK = {"role": "user", "content": 'Is "thinking":1 a key?'}


def mended(wire_format: WireFormat, fields: dict[str, Any], model: str = "m") -> dict[str, Any]:
    body = Body(json.dumps(fields).encode())
    changed: dict[str, Any] = json.loads(body.with_fields(unproved(wire_format, body, model)))
    return changed


def said(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


# ---- Anthropic ----


@pytest.mark.parametrize("kept", [[SIGNED, CALL], [{"type": "redacted_thinking", "data": "x"}, CALL], [CALL]])
def test_signed_thoughts_and_their_bytes_stay(kept: list[dict[str, Any]]) -> None:
    raw = json.dumps({"messages": [ASK, said(*kept), RESULT]}).encode()
    body = Body(raw)
    assert body.with_fields(unproved(MESSAGES, body, "m")) is raw


@pytest.mark.parametrize("unsigned", [UNSIGNED, {"type": "thinking", "thinking": "hm"}, UNSIGNED | {"signature": None}])
def test_an_unsigned_thought_is_left_out_and_nothing_else(unsigned: dict[str, Any]) -> None:
    x = {"x_new": 1.10}
    asked = {"messages": [ASK, said(unsigned, CALL) | x, RESULT, said(SIGNED, CALL), RESULT], "x": 1}
    expected = {"messages": [ASK, said(CALL) | x, RESULT, said(SIGNED, CALL), RESULT], "x": 1}
    assert mended(MESSAGES, asked) == expected


def test_a_turn_of_unsigned_thoughts_only_goes_with_them() -> None:
    assert mended(MESSAGES, {"messages": [ASK, said(UNSIGNED), ASK]}) == {"messages": [ASK, ASK]}


def test_a_pending_call_without_its_thought_is_not_answered_with_a_thinking_budget() -> None:
    edits = [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]
    asked = {
        "messages": [ASK, said(UNSIGNED, CALL), RESULT],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "context_management": {"edits": edits},
    }
    changed = mended(MESSAGES, asked)
    assert changed["thinking"] == {"type": "disabled"}
    assert changed["context_management"] == {"edits": edits[1:]}
    only = mended(MESSAGES, asked | {"context_management": {"edits": edits[:1]}})
    assert "context_management" not in only
    adaptive = mended(MESSAGES, asked | {"thinking": {"type": "adaptive"}})
    assert (adaptive["thinking"], adaptive["context_management"]) == ({"type": "adaptive"}, {"edits": edits})
    answered = mended(MESSAGES, asked | {"messages": [*asked["messages"], said({"type": "text", "text": "x"}), ASK]})  # type: ignore[misc]
    assert answered["thinking"]["type"] == "enabled"


# ---- Responses ----


def test_a_reasoning_item_of_ours_is_left_out_and_openais_stay() -> None:
    ours = {"type": "reasoning", "id": "rs_0199-ab_0", "summary": [{"type": "summary_text", "text": "hm"}]}
    theirs = [
        {"type": "reasoning", "id": "rs_0199-ab_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "reasoning", "id": "rs_68f1c0ffee", "summary": []},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
    ]
    assert mended(RESPONSES, {"input": [ours, *theirs], "store": False})["input"] == theirs
    assert mended(RESPONSES, {"input": theirs})["input"] == theirs
    assert mended(RESPONSES, {"input": 'a text with "rs_1_1"'})["input"] == 'a text with "rs_1_1"'


# ---- Gemini ----


def turn(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def test_the_first_call_of_a_turn_is_marked_where_the_model_wants_it() -> None:
    call: dict[str, Any] = {"functionCall": {"name": "f", "args": {"x": 1.10}}}
    signed = call | {"thoughtSignature": "c2ln"}
    marked = call | {"thoughtSignature": "skip_thought_signature_validator"}
    asked = {"contents": [turn({"text": "hm", "thought": True}, call, call), turn(signed, call), turn(call)]}
    expected = {"contents": [turn({"text": "hm", "thought": True}, marked, call), turn(signed, call), turn(marked)]}
    assert mended(GEMINI, asked, "gemini-3.8-flash") == expected
    assert mended(GEMINI, asked, "gemini-2.5-pro") == asked
    snake = {"contents": [{"role": "model", "parts": [{"function_call": {"name": "f"}, "thought_signature": "x"}]}]}
    assert mended(GEMINI, snake, "gemini-3.8-flash") == snake


# ---- proofs that a provider has refused ----


@pytest.mark.parametrize(
    ("wire_format", "message"),
    [
        (MESSAGES, "messages.1.content.0: Invalid `signature` in `thinking` block"),
        (RESPONSES, "The encrypted content gAAA could not be verified. Reason: organization_id did not match."),
        (GEMINI, "Thought signature is not valid."),
        (GEMINI, "Function call is missing a thought_signature in functionCall parts."),
    ],
)
def test_a_refusal_of_a_proof_is_known_by_its_words(wire_format: WireFormat, message: str) -> None:
    assert doubted(wire_format, UpstreamRejected(message, status=400))
    assert not doubted(wire_format, UpstreamRejected(message, status=403))
    assert not doubted(wire_format, UpstreamFailed(message))
    assert not doubted(wire_format, UpstreamRejected("max_tokens is too large", status=400))
    assert not doubted(CHAT, UpstreamRejected(message, status=400))


def test_no_proof_is_left() -> None:
    asked = {"messages": [ASK, said(SIGNED, CALL), RESULT], "thinking": {"type": "enabled", "budget_tokens": 2000}}
    changed = json.loads(without_proofs(MESSAGES, json.dumps(asked).encode()) or b"{}")
    assert changed == {"messages": [ASK, said(CALL), RESULT], "thinking": {"type": "disabled"}}
    items = [{"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}, {"role": "user", "content": "x"}]
    assert json.loads(without_proofs(RESPONSES, json.dumps({"input": items}).encode()) or b"") == {"input": items[1:]}
    call = {"functionCall": {"name": "f"}, "thoughtSignature": "x"}
    contents = {"contents": [turn({"text": "a", "thoughtSignature": "y"}, {"thoughtSignature": "z"}, call)]}
    assert json.loads(without_proofs(GEMINI, json.dumps(contents).encode()) or b"") == {
        "contents": [turn({"text": "a"}, {"text": ""}, call | {"thoughtSignature": "skip_thought_signature_validator"})]
    }


def test_a_body_without_proofs_is_not_asked_with_again() -> None:
    for wire_format, field in ((MESSAGES, "messages"), (RESPONSES, "input"), (GEMINI, "contents")):
        assert without_proofs(wire_format, json.dumps({field: [{"role": "user", "parts": []}]}).encode()) is None


words = st.sampled_from(
    ["messages", "input", "contents", "role", "content", "parts", "type", "signature", "thinking", "id", "functionCall"]
)
values = st.recursive(
    st.none()
    | st.integers()
    | st.sampled_from(["assistant", "model", "thinking", "reasoning", "tool_use", "rs_1_1", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


def test_a_turn_of_gemini_without_parts_has_nothing_to_take_proofs_from() -> None:
    assert without_proofs(GEMINI, b'{"contents":[{"role":"signature"}]}') is None


@given(st.sampled_from(CLIENT_FORMATS), st.dictionaries(words, values, max_size=4))
def test_no_shape_raises_anything(wire_format: WireFormat, fields: dict[str, Any]) -> None:
    raw = json.dumps(fields).encode()
    body = Body(raw)
    json.loads(body.with_fields(unproved(wire_format, body, "gemini-3.8-flash")))
    if wire_format is not CHAT:
        json.loads(without_proofs(wire_format, raw) or b"{}")
