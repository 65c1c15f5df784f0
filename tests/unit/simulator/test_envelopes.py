"""Cloud Code's envelope around Gemini, and Cursor's frames of protobuf: two formats that only providers speak."""

import json
import struct
import zlib
from typing import Any

import httpx
import pytest
from omni_simulator import Simulator
from omni_simulator.formats.cursor import field, fields_of

CURSOR = "/aiserver.v1.ChatService/StreamUnifiedChatWithTools"
CLOUD = "/v1internal:streamGenerateContent?alt=sse"
INNER = {"contents": [{"role": "user", "parts": [{"text": "Say hello"}]}]}


def framed(payload: bytes) -> bytes:
    return struct.pack(">BI", 0, len(payload)) + payload


def question(model: str, *more: bytes, words: str = "Say hello") -> bytes:
    said = field(1, field(1, words) + field(2, 1))
    return framed(field(1, said + field(5, field(1, model)) + b"".join(more)))


def frames(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        flags, length = struct.unpack_from(">BI", data)
        found.append((flags, data[5 : 5 + length]))
        data = data[5 + length :]
    return found


def told(data: bytes) -> tuple[str, str, list[str]]:
    """Text, thoughts and the arguments of each call."""
    text, thoughts, calls = "", "", {}
    for flags, payload in frames(data):
        if flags:
            continue
        answer: dict[str, Any] = fields_of(payload)
        for chat in answer.get("2", ()):
            text += "".join(chat.get("1", ()))
            thoughts += "".join(word for thought in chat.get("25", ()) for word in thought.get("1", ()))
        for call in answer.get("1", ()):
            tool = call["27"][0]["1"][0]
            calls[call["3"][0]] = calls.get(call["3"][0], "") + "".join(tool["3"])
    return text, thoughts, list(calls.values())


async def test_cursor_answers_in_frames_and_ends_with_one_that_says_so(http: httpx.AsyncClient, simulator: Simulator):
    answer = await http.post(CURSOR, content=question("sim+think:3+tokens:4"))
    assert answer.headers["content-type"] == "application/connect+proto"
    text, thoughts, calls = told(answer.content)
    assert (len(text.split()), thoughts, calls) == (4, "first I read", [])
    assert frames(answer.content)[-1] == (2, b"{}")
    assert simulator.served.output_tokens == 7


async def test_cursor_calls_the_tools_it_is_offered(http: httpx.AsyncClient):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = field(34, field(1, "weather") + field(3, json.dumps(schema)) + field(4, "custom"))
    answer = await http.post(CURSOR, content=question("sim+parallel:2", tool))
    assert [json.loads(arguments).keys() for arguments in told(answer.content)[2]] == [{"city"}] * 2
    answer = await http.post(CURSOR, content=question("sim+parallel:2", tool, field(48, 1)))
    assert told(answer.content)[2] == []


async def test_cursor_recounts_pictures_by_their_bytes_and_refuses_a_strange_signature(http: httpx.AsyncClient):
    picture = b"\xfb\xff\xfe not really a picture"
    shown = field(1, field(1, "What is it?") + field(2, 1) + field(10, field(1, picture)))
    answer = await http.post(CURSOR, content=question("sim+recount", shown))
    (seen,) = json.loads(told(answer.content)[0])["media"]
    assert (seen["bytes"], seen["crc32"]) == (len(picture), f"{zlib.crc32(picture):08x}")
    thought = field(1, field(1, "Yes") + field(2, 2) + field(45, field(1, "Hm.") + field(2, "c3RyYW5nZQ==")))
    refused = await http.post(CURSOR, content=question("sim", thought))
    assert refused.status_code == 400


async def test_a_schema_in_the_users_last_words_is_heeded(http: httpx.AsyncClient):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    for words, heeded in ((f"JSON of this schema: {json.dumps(schema)}", True), ("Some schema: {no", False)):
        answer = await http.post(CURSOR, content=question("sim", words=words))
        assert (told(answer.content)[0] == '{"city":"simulated city"}') is heeded


@pytest.mark.parametrize(
    ("fault", "ends"), [("error-event:2", True), ("error-200", True), ("clean-cut:2", False), ("malformed:2", True)]
)
async def test_cursors_faults_are_frames_too(http: httpx.AsyncClient, fault: str, ends: bool):
    answer = await http.post(CURSOR, content=question(f"sim+tokens:9+{fault}"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/connect+proto"
    flags, last = frames(answer.content)[-1]
    assert (flags == 2) is ends
    assert (b'"error"' in last) is fault.startswith("error")


@pytest.mark.parametrize(
    "body", [b"", b"{}", framed(b"\xff"), framed(b""), question("m")[:-1], framed(field(1, b"\x08"))]
)
async def test_what_is_no_request_of_cursors_is_refused_in_its_words(http: httpx.AsyncClient, body: bytes):
    answer = await http.post(CURSOR, content=body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_argument"


async def test_cloud_code_wraps_what_gemini_says(http: httpx.AsyncClient):
    asked = {"model": "sim+tokens:3", "project": "p", "user_prompt_id": "u", "request": INNER}
    whole = (await http.post("/v1internal:generateContent", json=asked)).json()
    assert whole.keys() == {"response", "traceId"}
    said = whole["response"]["candidates"][0]["content"]["parts"][0]["text"]
    assert len(said.split()) == 3
    streamed = await http.post(CLOUD, json=asked)
    events = [json.loads(line[6:]) for line in streamed.text.split("\r\n") if line.startswith("data: ")]
    parts = [part for event in events for part in event["response"]["candidates"][0]["content"]["parts"]]
    assert "".join(part["text"] for part in parts) == said


async def test_cloud_code_counts_and_refuses_what_it_does_not_know(http: httpx.AsyncClient):
    counted = await http.post("/v1internal:countTokens", json={"request": INNER | {"model": "models/sim+input:7"}})
    assert counted.json() == {"totalTokens": 7}
    for wrong in ({"model": "sim", "request": INNER, "stream": True}, {"request": INNER}, {"model": "sim"}):
        refused = await http.post(CLOUD, json=wrong)
        assert refused.status_code == 400
        assert refused.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert (await http.post("/v1internal:streamGenerateContent", json={})).status_code in (404, 405)


async def test_cloud_codes_error_event_has_no_envelope(http: httpx.AsyncClient):
    answer = await http.post(CLOUD, json={"model": "sim+tokens:9+error-event:2", "request": INNER})
    assert json.loads(answer.text.strip().split("data: ")[-1])["error"]["code"] == 500
