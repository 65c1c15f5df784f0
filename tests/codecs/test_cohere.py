"""What is Cohere's alone: plans, documents and citations, two counts of tokens, failures told as a finish reason."""

from typing import Any

import msgspec
import pytest
from omni_translator.domain.codec import Encoded
from omni_translator.domain.events import Failed, Finished, fold
from omni_translator.domain.model import FinishReason, Reasoning
from omni_wire.errors import WireError
from omni_wire.usage import Usage

from tests.codecs.support import CHAT, COHERE, MESSAGES, REPLY, TRANSCRIPTS, body, events_of, write_stream

USER = {"role": "user", "content": "hi"}


def read(case: str) -> bytes:
    return (TRANSCRIPTS / "cohere.chat" / case).read_bytes()


def sent(encoded: Encoded) -> Any:
    return msgspec.json.decode(encoded.body)


def from_chat(model: str = "command-a-reasoning-08-2025", **more: Any) -> Encoded:
    return COHERE.encode_request(CHAT.decode_request(body({"model": model, "messages": [USER]} | more)))


def declared(encoded: Encoded) -> list[tuple[str, str]]:
    return [(loss.field, loss.kind) for loss in encoded.losses]


def test_a_plan_is_a_thought_that_goes_home_as_a_plan() -> None:
    answer = COHERE.decode_response(read("parallel_tools.json"))
    assert isinstance(answer.parts[0], Reasoning)
    message = sent(CHAT.encode_response(answer, REPLY))["choices"][0]["message"]
    assert message["reasoning_content"] == "I will look up both."
    assert sent(COHERE.encode_response(answer, REPLY))["message"]["tool_plan"] == "I will look up both."


def test_documents_and_the_other_settings_of_cohere_stay_at_home_and_are_declared_elsewhere() -> None:
    more = {
        "documents": [{"id": "1", "data": {"text": "x"}}],
        "citation_options": {"mode": "FAST"},
        "safety_mode": "STRICT",
    }
    conversation = COHERE.decode_request(body({"model": "m", "messages": [USER]} | more))
    assert {key: sent(COHERE.encode_request(conversation))[key] for key in more} == more
    assert set(more) <= {loss.field for loss in CHAT.encode_request(conversation).losses}


def test_citations_survive_at_home_and_are_declared_elsewhere() -> None:
    events, _ = events_of(COHERE, [read("citations.sse")])
    again, error = events_of(COHERE, [write_stream(COHERE, events)])
    assert error == ""
    cited = fold(again).extra["message"]["citations"]
    assert cited == msgspec.json.decode(read("citations.json"))["message"]["citations"]
    encoder = CHAT.stream_encoder(REPLY)
    for event in events:
        encoder.emit(event)
    assert "message.citations" in {loss.field for loss in encoder.losses}


def test_what_is_billed_counts_and_that_there_were_more_is_declared() -> None:
    answer = COHERE.decode_response(read("billed.json"))
    assert answer.usage == Usage(17, output_tokens=12)
    lost = {loss.field for loss in MESSAGES.encode_response(answer, REPLY).losses}
    assert lost == {"usage.tokens", "usage.billed_units"}
    whole = msgspec.json.decode(read("billed.json"))["usage"]
    assert sent(COHERE.encode_response(answer, REPLY))["usage"] == whole


@pytest.mark.parametrize("word", ["ERROR", "TIMEOUT"])
def test_a_failure_told_as_a_finish_reason_is_a_failure(word: str) -> None:
    whole = msgspec.json.decode(read("text.json")) | {"finish_reason": word}
    with pytest.raises(WireError, match="complete"):
        COHERE.decode_response(body(whole))
    events, _ = events_of(COHERE, [read("text.sse").replace(b'"COMPLETE"', b'"%b"' % word.encode())])
    assert isinstance(events[-1], Failed)
    assert not any(isinstance(event, Finished) for event in events)


def test_an_error_body_under_200_is_seen() -> None:
    with pytest.raises(WireError, match="invalid api token"):
        COHERE.decode_response(b'{"id":"1","message":"invalid api token"}')
    assert events_of(COHERE, [b'data: {"message":"too many tokens"}\n\n'])[0] == [Failed("too many tokens")]


def test_a_named_tool_is_the_only_one_offered_and_must_be_called() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    encoded = from_chat(tools=tools, tool_choice={"type": "function", "function": {"name": "b"}})
    assert [tool["function"]["name"] for tool in sent(encoded)["tools"]] == ["b"]
    assert sent(encoded)["tool_choice"] == "REQUIRED"
    assert declared(encoded) == [("tool_choice", "approximated")]


def test_settings_out_of_coheres_bounds_are_brought_within_them_and_declared() -> None:
    encoded = from_chat(top_p=1, presence_penalty=-0.5, frequency_penalty=0.25)
    assert {key: sent(encoded)[key] for key in ("p", "presence_penalty", "frequency_penalty")} == {
        "p": 0.99, "presence_penalty": 0, "frequency_penalty": 0.25,
    }  # fmt: skip
    assert declared(encoded) == [("top_p", "approximated"), ("presence_penalty", "approximated")]


@pytest.mark.parametrize(("model", "thinks"), [("command-a-reasoning-08-2025", True), ("command-a-03-2025", False)])
def test_only_models_that_think_are_told_how_much(model: str, thinks: bool) -> None:
    encoded = from_chat(model, reasoning_effort="low", max_completion_tokens=500)
    assert sent(encoded).get("thinking") == ({"type": "enabled", "token_budget": 499} if thinks else None)
    assert declared(encoded) == [("reasoning_effort", "approximated" if thinks else "dropped")]


def test_a_reason_of_the_first_version_is_read() -> None:
    whole = msgspec.json.decode(read("text.json"))
    for word, reason in (("ERROR_TOXIC", FinishReason.CONTENT_FILTER), ("ERROR_LIMIT", FinishReason.LENGTH)):
        assert COHERE.decode_response(body(whole | {"finish_reason": word})).finish is reason
