"""Half a surrogate pair, as it stands in JSON where a string was cut inside an emoji, in whatever a codec reads."""

import json

import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import fold, unfold
from omni_translator.domain.model import FinishReason, Response, Text
from omni_wire.formats import WireFormat

from tests.codecs.support import CHAT, CLIENTS, MESSAGES, REPLY

HALF, READ = rb"\ud83d", "\ufffd"


def cut(data: bytes) -> bytes:
    assert READ.encode() in data
    return data.replace(READ.encode(), HALF)


def said(codec: Codec) -> Response:
    texts = (Text(f"one {READ}"),)
    return Response(origin=codec.format, id="a", model="m", parts=texts, finish=FinishReason.STOP)


def text_of(response: Response) -> str:
    return "".join(part.text for part in response.parts if isinstance(part, Text))


@pytest.mark.parametrize("codec", CLIENTS, ids=lambda codec: codec.format.value)
def test_an_answer_that_holds_it_is_read(codec: Codec) -> None:
    whole = cut(codec.encode_response(said(codec), REPLY).body)
    assert text_of(codec.decode_response(whole)) == f"one {READ}"
    encoder, decoder = codec.stream_encoder(REPLY), codec.stream_decoder()
    stream = cut(b"".join(encoder.emit(event) for event in unfold(said(codec))))
    assert text_of(fold([*decoder.feed(stream), *decoder.end()])) == f"one {READ}"


def test_a_gemini_stream_goes_on_after_it() -> None:
    codec = next(codec for codec in CLIENTS if codec.format is WireFormat.GEMINI_GENERATE)
    chunks = [
        json.dumps({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}} | more]}).encode()
        for text, more in (("a", {}), ("\ud83d", {}), ("b", {}), ("c", {"finishReason": "STOP"}))
    ]
    decoder = codec.stream_decoder()
    events = decoder.feed(b"".join(b"data: %b\n\n" % chunk for chunk in chunks))
    assert text_of(fold([*events, *decoder.end()])) == f"a{READ}bc"


def test_arguments_that_hold_it_are_kept_where_they_must_be_an_object() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"text": "cut \\ud83d"}'}}
    asked = {"model": "m", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}]}
    encoded = MESSAGES.encode_request(CHAT.decode_request(json.dumps(asked).encode()))
    assert json.loads(encoded.body)["messages"][1]["content"][0]["input"] == {"text": f"cut {READ}"}
