"""A Chat answer for clients that know OpenAI's own fields only."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.rules import AnswerRules
from omni_translator.domain.rules.chat_filter import ChatFilter
from omni_translator.domain.rules.sanitize import sanitized

RULES = AnswerRules(sanitize=True)
CLEAN: dict[str, Any] = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a\n\n\n\nb"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}  # fmt: skip


def whole(answer: Any) -> Any:
    return json.loads(ChatFilter(RULES).whole(json.dumps(answer).encode()))


def test_a_clean_answer_keeps_its_very_bytes_line_ends_and_all() -> None:
    body = json.dumps(CLEAN, indent=1).encode()
    assert ChatFilter(RULES).whole(body) == body


def test_what_openai_does_not_know_is_left_out_at_every_level() -> None:
    odd = CLEAN | {"x_groq": {}, "provider": "p", "service_tier": None}
    message = CLEAN["choices"][0]["message"] | {"reasoning_details": [], "provider_specific_fields": {}}
    odd["choices"] = [CLEAN["choices"][0] | {"native_finish_reason": "x", "message": message}]
    odd["usage"] = CLEAN["usage"] | {"cost": 1, "queue_time": 2}
    assert whole(odd) == CLEAN


def test_other_names_become_openais_and_nothing_is_made_up() -> None:
    told = whole({"id": "gen-7", "choices": [{"message": {"reasoning": "hm"}}],
                  "usage": {"input_tokens": 4, "output_tokens": 5}})  # fmt: skip
    assert told == {
        "id": "chatcmpl-gen-7",
        "choices": [{"message": {"reasoning_content": "hm"}}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 5},
    }


def test_an_end_after_calls_is_named_so_unless_it_tells_more() -> None:
    def end(word: str) -> str:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        told = whole({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": word}]})
        return str(told["choices"][0]["finish_reason"])

    assert (end("stop"), end("eos"), end("length")) == ("tool_calls", "tool_calls", "length")


def test_calls_of_a_stream_are_remembered_until_its_end_each_choice_by_itself() -> None:
    calling: set[int] = set()
    sanitized({"choices": [{"index": 1, "delta": {"tool_calls": [{"index": 0}]}}]}, calling)
    ended = sanitized({"choices": [{"index": n, "delta": {}, "finish_reason": "stop"} for n in (0, 1)]}, calling)
    assert [choice["finish_reason"] for choice in ended["choices"]] == ["stop", "tool_calls"]


def test_a_streams_clean_events_keep_their_bytes_and_errors_are_left_alone() -> None:
    clean = b'data: {"id": "chatcmpl-1", "choices": []}\n\n'
    odd = b'data: {"id":"chatcmpl-1","choices":[],"x":1}\n\n'
    error = b'data: {"error":{"message":"no"},"x":1}\n\n'
    chat = ChatFilter(RULES)
    assert chat.feed(clean + odd + error + b"data: [DONE]\n\n") == (
        clean + b'data: {"id":"chatcmpl-1","choices":[]}\n\n' + error + b"data: [DONE]\n\n"
    )
    assert chat.changed == {"sanitize"}


KEYS = st.sampled_from(["choices", "message", "delta", "usage", "id", "tool_calls", "index", "x"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
    )
)
def test_no_answer_is_too_odd(answer: Any) -> None:
    body = json.dumps(answer).encode()
    once = ChatFilter(RULES).whole(body)
    assert ChatFilter(RULES).whole(once) == once
