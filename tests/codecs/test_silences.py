"""What codecs once changed or dropped without a word, found by the matrix of wire formats."""

from typing import Any

import msgspec
import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import PartStarted, check, fold, unfold
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import FinishReason, Opaque, Part, Response, Text, ToolCall
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from tests.codecs.support import CHAT, GEMINI, MESSAGES, REPLY, RESPONSES, body, events_of, write_stream

CUSTOM = {"id": "call_1", "type": "custom", "custom": {"name": "run", "input": "print(1)"}}


def answer_of(*parts: Part, origin: WireFormat = WireFormat.OPENAI_RESPONSES) -> Response:
    return Response(origin=origin, id="a", model="m", parts=parts, finish=FinishReason.TOOL_CALLS)


def declared(target: Codec, response: Response) -> tuple[set[str], set[str]]:
    """The fields declared of a whole answer, and of the same streamed."""
    encoder = target.stream_encoder(REPLY)
    for event in unfold(response):
        encoder.emit(event)
    whole = target.encode_response(response, REPLY)
    return {loss.field for loss in whole.losses}, {loss.field for loss in encoder.losses}


def test_a_freeform_call_is_an_argument_of_a_function_for_a_client_of_messages() -> None:
    answer = answer_of(ToolCall(id="call_1", name="run", arguments='say("hi")', freeform=True))
    whole = msgspec.json.decode(MESSAGES.encode_response(answer, REPLY).body)
    assert whole["content"][0]["input"] == {"input": 'say("hi")'}
    events, error = events_of(MESSAGES, [write_stream(MESSAGES, unfold(answer))])
    assert error == ""
    call = fold(events).parts[0]
    assert isinstance(call, ToolCall)
    assert msgspec.json.decode(call.arguments) == {"input": 'say("hi")'}
    field = "choices.message.custom_tool_call"
    assert declared(MESSAGES, answer) == ({field}, {field})


def test_the_namespace_of_a_call_is_declared_where_a_client_has_none() -> None:
    answer = answer_of(ToolCall(id="call_1", name="look", arguments="{}", namespace="git"))
    for target, field in (
        (CHAT, "content.function_call.namespace"),
        (MESSAGES, "choices.message.function_call.namespace"),
        (GEMINI, "content.function_call.namespace"),
    ):
        assert declared(target, answer) == ({field}, {field})
    assert declared(RESPONSES, answer) == (set(), set())


def test_a_function_that_need_not_be_strict_loses_nothing_in_gemini() -> None:
    tool = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}
    request: dict[str, Any] = {"model": "m", "input": "Hi", "tools": [tool]}
    assert GEMINI.encode_request(RESPONSES.decode_request(body(request))).losses == ()
    tool["strict"] = True
    losses = GEMINI.encode_request(RESPONSES.decode_request(body(request))).losses
    assert [loss.field for loss in losses] == ["tools.strict"]


def test_a_chat_stream_can_tell_a_call_that_is_no_function_call() -> None:
    answer = answer_of(
        Opaque(origin=WireFormat.OPENAI_CHAT, data=CUSTOM, slot="tool_calls"), origin=WireFormat.OPENAI_CHAT
    )
    events, error = events_of(CHAT, [write_stream(CHAT, unfold(answer))])
    assert error == ""
    assert fold(events).parts == answer.parts


def test_a_call_that_is_no_function_call_is_read_from_its_deltas() -> None:
    deltas: list[dict[str, Any]] = [
        {"content": "So."},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "custom", "custom": {"name": "run", "input": ""}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "print"}}]},
        {"tool_calls": [{"index": 0, "custom": {"input": "(1)"}}]},
    ]
    chunks = [{"id": "a", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "a", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    events, error = events_of(CHAT, [b"".join(b"data: %b\n\n" % body(chunk) for chunk in chunks)])
    assert error == ""
    assert check(events) == "finished"
    assert next(event.part for event in events if isinstance(event, PartStarted)) == Text("")
    assert fold(events).parts == (
        Text("So."),
        Opaque(origin=WireFormat.OPENAI_CHAT, data=CUSTOM, slot="tool_calls"),
    )


def test_a_loss_names_the_key_that_is_lost_and_not_what_holds_it() -> None:
    losses = Losses("X")
    losses.unknown(
        {
            "choices": [{"logprobs": {"content": []}, "message": {"audio": {"id": "a"}}}],
            "usageMetadata": {"promptTokensDetails": [1]},
            "generationConfig": {"candidateCount": 2, "thinkingConfig": {"new": 1}},
            "metadata": {"a": 1},
            "usage": 5,
        }
    )
    assert [loss.field for loss in losses.all()] == [
        "choices.message.audio",
        "usageMetadata.promptTokensDetails",
        "generationConfig.candidateCount",
        "generationConfig.thinkingConfig.new",
        "metadata",
        "usage",
    ]


def test_a_search_that_is_asked_for_without_options_is_declared() -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "web_search_options": {}}
    for target in (MESSAGES, RESPONSES, GEMINI):
        losses = target.encode_request(CHAT.decode_request(body(request))).losses
        assert "web_search_options" in {loss.field for loss in losses}


def test_thinking_of_an_empty_type_is_refused_rather_than_left_out() -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "thinking": {"type": "", "display": "x"}}
    with pytest.raises(WireError, match=r"thinking\.type must be given"):
        MESSAGES.decode_request(body(request))
