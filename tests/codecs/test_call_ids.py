"""Ids of calls in a format that does not take them as they are: changed, told, and never two made one."""

import json
import re
from typing import Any

import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.model import ToolCall

from tests.codecs.pairs import REPLY
from tests.codecs.support import BEDROCK, CHAT, GEMINI, MESSAGES, RESPONSES

# What each format takes: Anthropic's and Bedrock's documentation; of OpenAI the message of its 400.
TAKEN = {
    MESSAGES.format: r"[a-zA-Z0-9_-]+",
    BEDROCK.format: r"[a-zA-Z0-9_.:-]{1,64}",
    CHAT.format: r".{1,40}",
    RESPONSES.format: r".{1,64}",
}
STEM = "read_many_files-1739812345678-"


def asked(*ids: str) -> bytes:
    """Parallel calls and their results, as gemini-cli names them."""
    calls = [{"functionCall": {"id": name, "name": "f", "args": {}}} for name in ids]
    results = [{"functionResponse": {"id": name, "name": "f", "response": {"output": name}}} for name in ids]
    turns = [("user", [{"text": "go"}]), ("model", calls), ("user", results)]
    return json.dumps({"contents": [{"role": role, "parts": parts} for role, parts in turns]}).encode()


def held(value: Any, keys: tuple[str, ...]) -> list[str]:
    if isinstance(value, list):
        return [found for item in value for found in held(item, keys)]
    if not isinstance(value, dict):
        return []
    own = [value[key] for key in keys if isinstance(value.get(key), str)]
    return own + [found for item in value.values() for found in held(item, keys)]


@pytest.mark.parametrize("codec", [MESSAGES, BEDROCK, CHAT, RESPONSES], ids=lambda codec: codec.format.value)
@pytest.mark.parametrize(
    "ids",
    [
        ("call.1", "call:1", "call/1"),
        ("call_1", "call/1", "call~1"),
        (f"{STEM}a1b2c3d4e5f6a", f"{STEM}a1b2c3d4e5f6b"),
        ("x" * 70 + "a", "x" * 70 + "b"),
    ],
)
def test_ids_that_differ_stay_different_and_results_find_their_calls(codec: Codec, ids: tuple[str, ...]) -> None:
    encoded = codec.encode_request(GEMINI.decode_request(asked(*ids)))
    sent = held(json.loads(encoded.body), ("id", "call_id", "tool_call_id", "tool_use_id", "toolUseId"))
    calls, results = sent[: len(ids)], sent[len(ids) :]
    assert calls == results
    assert len(set(calls)) == len(ids)
    assert all(re.fullmatch(TAKEN[codec.format], name) for name in calls)
    changed = any(name not in ids for name in calls)
    assert changed is ("messages.tool_calls.id" in {loss.field for loss in encoded.losses})


NAMELESS = {"type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize("client", [CHAT, RESPONSES, MESSAGES, GEMINI], ids=lambda codec: codec.format.value)
@pytest.mark.parametrize(
    "call", [NAMELESS, {**NAMELESS, "id": ""}, {**NAMELESS, "id": None}], ids=["no", "empty", "null"]
)
def test_calls_of_a_chat_provider_that_gives_them_no_id_are_told_apart(client: Codec, call: dict[str, Any]) -> None:
    answers = [
        {"index": at, "message": {"role": "assistant", "tool_calls": [call, call]}, "finish_reason": "tool_calls"}
        for at in range(2)
    ]
    response = CHAT.decode_response(json.dumps({"id": "chatcmpl-7", "choices": answers}).encode())
    ids = [part.id for parts in (response.parts, response.others[0].parts) for part in parts if type(part) is ToolCall]
    assert len(set(ids)) == 4
    assert all(ids)
    told = held(json.loads(client.encode_response(response, REPLY).body), ("id", "call_id"))
    assert set(ids[:2]) <= set(told)
