"""Which requests belong to one conversation, as far as a prompt cache is concerned."""

import json
from typing import Any

import pytest
from omni_router.domain.conversation import fingerprint, is_marked, kept
from omni_wire.body import Body
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
SYSTEM, USER = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}
MORE = [{"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]


def mark(wire_format: WireFormat, key: str = "key", model: str = "m", **fields: Any) -> str:
    body = Body(json.dumps(fields).encode())
    return fingerprint(wire_format, body, key, model, marked=is_marked(body))


@pytest.mark.parametrize(
    ("wire_format", "first", "more"),
    [
        (CHAT, {"messages": [SYSTEM, USER]}, {"messages": [SYSTEM, USER, *MORE], "temperature": 0}),
        (
            RESPONSES,
            {"instructions": "Be kind.", "input": [USER]},
            {"instructions": "Be kind.", "input": [USER, *MORE]},
        ),
        (MESSAGES, {"system": "Be kind.", "messages": [USER]}, {"system": "Be kind.", "messages": [USER, *MORE]}),
        (
            GEMINI,
            {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
            {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}, {"role": "model", "parts": []}]},
        ),
        (WireFormat.OLLAMA_CHAT, {"messages": [USER]}, {"messages": [USER, *MORE]}),
    ],
)
def test_a_conversation_is_the_same_as_it_grows(
    wire_format: WireFormat, first: dict[str, Any], more: dict[str, Any]
) -> None:
    assert mark(wire_format, **first) == mark(wire_format, **more)


def test_what_comes_before_the_first_turn_makes_it_another() -> None:
    plain = {"messages": [SYSTEM, USER]}
    others = [
        {"messages": [SYSTEM, USER | {"content": "Hullo"}]},
        {"messages": [SYSTEM | {"content": "Be curt."}, USER]},
        {"messages": [USER]},
        plain | {"tools": [{"type": "function", "function": {"name": "f"}}]},
    ]
    marks = {mark(CHAT, **fields) for fields in (plain, *others)}
    assert len(marks) == 5
    assert mark(CHAT, **plain, key="another") not in marks, "no key learns of another's"
    assert mark(CHAT, **plain, model="another") not in marks


def test_marks_of_what_to_keep_that_move_on_do_not_part_a_conversation() -> None:
    def turn(*marked: int) -> dict[str, Any]:
        keep = {"cache_control": {"type": "ephemeral"}}
        turns = [{"role": "user", "content": [{"type": "text", "text": f"{number}"}]} for number in range(3)]
        for number in marked:
            turns[number]["content"][0] |= keep  # type: ignore[index]
        return {"system": [{"type": "text", "text": "Be kind."} | keep], "messages": turns}

    assert mark(MESSAGES, **turn(0)) == mark(MESSAGES, **turn(2)) == mark(MESSAGES, **turn())


def test_a_clients_own_word_for_it_is_taken() -> None:
    one = mark(RESPONSES, input=[USER], prompt_cache_key="session-1")
    assert one == mark(RESPONSES, input=[MORE[1]], prompt_cache_key="session-1", previous_response_id="r")
    assert one != mark(RESPONSES, input=[USER], prompt_cache_key="session-2")


@pytest.mark.parametrize("fields", [{}, {"messages": "x"}, {"messages": [1, "x"]}, {"messages": [{"role": [1]}]}])
def test_what_is_no_conversation_has_a_mark_too(fields: dict[str, Any]) -> None:
    assert len(mark(CHAT, **fields)) == 32


def test_what_a_prompt_cache_keeps_is_what_is_told_or_where_nothing_must_be_marked_all() -> None:
    usage = Usage(input_tokens=1000, cached_input_tokens=300, cache_write_tokens=200, output_tokens=9)
    assert kept(CHAT, usage) == kept(GEMINI, usage) == 1000
    assert kept(MESSAGES, usage) == kept(WireFormat.BEDROCK_CONVERSE, usage) == 500
