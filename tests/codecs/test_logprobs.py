"""How likely each token was, asked and told between the formats that know it."""

import json
from typing import Any

import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import fold, unfold

from tests.codecs.support import (
    CHAT,
    GEMINI,
    MESSAGES,
    REPLY,
    RESPONSES,
    body,
    events_of,
    name,
    same_answer,
    write_stream,
)

TOKENS = [
    {
        "token": "Hé",
        "logprob": -0.1,
        "bytes": [72, 195, 169],
        "top_logprobs": [
            {"token": "Hé", "logprob": -0.1, "bytes": [72, 195, 169]},
            {"token": "A", "logprob": -2.5, "bytes": [65]},
        ],
    }
]
IN_GEMINI = {
    "chosenCandidates": [{"token": "Hé", "logProbability": -0.1}],
    "topCandidates": [
        {"candidates": [{"token": "Hé", "logProbability": -0.1}, {"token": "A", "logProbability": -2.5}]}
    ],
}
WISHES: dict[str, dict[str, Any]] = {
    CHAT.format: {"logprobs": True, "top_logprobs": 2},
    RESPONSES.format: {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    GEMINI.format: {"generationConfig": {"responseLogprobs": True, "logprobs": 2}},
}
ASKED: dict[str, dict[str, Any]] = {
    CHAT.format: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    RESPONSES.format: {"model": "m", "input": "hi"},
    GEMINI.format: {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]},
}
KNOWING = [CHAT, RESPONSES, GEMINI]
pairs = pytest.mark.parametrize(
    ("source", "target"), [(a, b) for a in KNOWING for b in KNOWING if a is not b], ids=name
)


@pairs
@pytest.mark.parametrize("wanted", [2, 0])
def test_the_wish_is_said_in_the_targets_words(source: Codec, target: Codec, wanted: int) -> None:
    wish = json.loads(json.dumps(WISHES[source.format]).replace("2", str(wanted))) if wanted else _without(source)
    encoded = target.encode_request(source.decode_request(body(ASKED[source.format] | wish)))
    written = json.loads(encoded.body)
    assert encoded.losses == ()
    expected = WISHES[target.format] if wanted else _without(target)
    assert {key: written.get(key) for key in expected} == expected


def _without(codec: Codec) -> dict[str, Any]:
    """The wish for no alternatives."""
    if codec is GEMINI:
        return {"generationConfig": {"responseLogprobs": True}}
    return {key: value for key, value in WISHES[codec.format].items() if key != "top_logprobs"}


def test_anthropic_knows_none() -> None:
    for source in KNOWING:
        asked = source.decode_request(body(ASKED[source.format] | WISHES[source.format]))
        assert MESSAGES.encode_request(asked).losses


def answer(codec: Codec) -> dict[str, Any]:
    if codec is CHAT:
        message = {"role": "assistant", "content": "Hé"}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": {"content": TOKENS, "refusal": None},
            "finish_reason": "stop",
        }
        return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}
    if codec is RESPONSES:
        text = {"type": "output_text", "text": "Hé", "annotations": [], "logprobs": TOKENS}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
        return {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [item]}
    candidate = {
        "content": {"role": "model", "parts": [{"text": "Hé"}]},
        "finishReason": "STOP",
        "logprobsResult": IN_GEMINI,
    }
    return {"candidates": [candidate | {"index": 0}], "modelVersion": "m", "responseId": "g"}


def told(codec: Codec, written: dict[str, Any]) -> Any:
    if codec is CHAT:
        return written["choices"][0]["logprobs"]["content"]
    if codec is RESPONSES:
        return written["output"][0]["content"][0]["logprobs"]
    return written["candidates"][0]["logprobsResult"]


@pairs
def test_an_answer_tells_it_in_the_clients_words_whole_and_streamed(source: Codec, target: Codec) -> None:
    response = source.decode_response(body(answer(source)))
    encoded = target.encode_response(response, REPLY)
    late = (source, target) == (GEMINI, RESPONSES)  # Gemini tells at the end, when the text has been told
    assert [loss.field for loss in encoded.losses] == (["content.logprobs"] if late else [])
    expected = IN_GEMINI if target is GEMINI else TOKENS
    assert told(target, json.loads(encoded.body)) == expected
    encoder = target.stream_encoder(REPLY)
    stream = b"".join([encoder.emit(event) for event in unfold(response)])
    assert encoder.losses == encoded.losses
    assert b"-2.5" in stream
    if not encoder.losses:
        events, error = events_of(target, [stream])
        assert error == ""
        assert same_answer(fold(events)) == same_answer(response)


@pytest.mark.parametrize("source", KNOWING, ids=name)
def test_at_home_it_stays_as_it_was(source: Codec) -> None:
    response = source.decode_response(body(answer(source)))
    assert told(source, json.loads(source.encode_response(response, REPLY).body)) == told(source, answer(source))
    assert b"-2.5" in write_stream(source, unfold(response))


@pytest.mark.parametrize("target", [RESPONSES, GEMINI], ids=name)
def test_chats_chunks_bring_their_share_each(target: Codec) -> None:
    def chunk(**choice: Any) -> bytes:
        return b"data: " + body({"id": "c", "model": "m", "choices": [{"index": 0} | choice]}) + b"\n\n"

    stream = b"".join(
        chunk(delta={"content": f"t{at}"}, logprobs={"content": [{"token": f"t{at}", "logprob": -at / 2}]})
        for at in range(3)
    )
    stream += chunk(delta={}, finish_reason="stop") + b"data: [DONE]\n\n"
    events, error = events_of(CHAT, [stream])
    assert error == ""
    written = write_stream(target, events)
    for at in range(3):
        assert b'"token":"t%d"' % at in written
