"""Cloud Code's envelope: what stands around a request of Gemini's, and what it never does unasked."""

import json
from typing import Any

import msgspec
import pytest
from omni_translator.domain.model import Conversation
from omni_wire.errors import WireError

from tests.codecs.support import CHAT, CLOUDCODE, GEMINI, body, events_of

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]


def written(conversation: Conversation, **more: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(CLOUDCODE.encode_request(msgspec.structs.replace(conversation, **more)).body)
    return sent


def asked(**more: Any) -> Conversation:
    return CHAT.decode_request(body({"model": "gemini-x", "messages": [{"role": "user", "content": "Hi"}]} | more))


def test_the_envelope_holds_model_and_project_and_what_gemini_would_be_asked() -> None:
    sent = written(asked(max_tokens=9), project="my-project")
    inner = json.loads(GEMINI.encode_request(asked(max_tokens=9)).body)
    assert sent == {"model": "gemini-x", "project": "my-project", "request": inner}


def test_without_a_project_none_is_named() -> None:
    assert written(asked()).keys() == {"model", "request"}


def test_a_product_is_posed_as_only_where_the_account_says_so() -> None:
    assert written(asked(tools=TOOLS), identity="somebody").keys() == {"model", "request"}
    sent = written(asked(tools=TOOLS), identity="antigravity")
    assert (sent["requestType"], sent["userAgent"]) == ("agent", "antigravity")
    assert sent["request"]["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


def test_a_choice_of_tools_is_the_clients_whoever_is_posed_as() -> None:
    sent = written(asked(tools=TOOLS, tool_choice="required"), identity="antigravity")
    assert sent["request"]["toolConfig"]["functionCallingConfig"]["mode"] == "ANY"
    assert "toolConfig" not in written(asked(), identity="antigravity")["request"]


@pytest.mark.parametrize(
    "wrong", [{}, {"model": "m"}, {"model": "m", "request": []}, {"model": "m", "request": {}}, []]
)
def test_a_request_without_its_inside_is_a_wire_error(wrong: Any) -> None:
    with pytest.raises(WireError):
        CLOUDCODE.decode_request(body(wrong))


@pytest.mark.parametrize("wrong", [b"[]", b"1", b'{"response":3}', b'{"traceId":"t"}', b'{"error":{"message":"no"}}'])
def test_an_answer_without_its_inside_is_a_wire_error(wrong: bytes) -> None:
    with pytest.raises(WireError):
        CLOUDCODE.decode_response(wrong)


def test_an_event_with_credits_only_changes_nothing() -> None:
    said = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}
    stream = b"data: %b\n\n" % body({"response": said, "traceId": "t"})
    last = b"data: %b\n\n" % body({"traceId": "t", "remainingCredits": [{"creditAmount": "7"}]})
    plain, _ = events_of(CLOUDCODE, [stream])
    events, error = events_of(CLOUDCODE, [stream + last])
    assert error == ""
    assert events[:-1] == plain[:-1]
    assert events[-1].extra == {"remainingCredits": [{"creditAmount": "7"}]}  # type: ignore[union-attr]
