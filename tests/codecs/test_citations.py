"""The addresses a text cites."""

import json
from typing import Any

import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import fold, unfold
from omni_translator.domain.model import Response, Text

from tests.codecs.support import (
    ALL,
    CHAT,
    GEMINI,
    MESSAGES,
    REPLY,
    RESPONSES,
    TRANSCRIPTS,
    body,
    events_of,
    name,
    same_answer,
    write_stream,
)

CITED = {"start_index": 0, "end_index": 5, "url": "https://example.com/", "title": "An example"}
FILE = {"type": "file_citation", "file_id": "f", "index": 1}


def answer(codec: Codec, *more: dict[str, Any]) -> bytes:
    if codec is CHAT:
        notes = [{"type": "url_citation", "url_citation": CITED}, *more]
        message = {"role": "assistant", "content": "Hello", "annotations": notes}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return body({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]})
    text = {"type": "output_text", "text": "Hello", "annotations": [{"type": "url_citation"} | CITED, *more]}
    item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    return body({"id": "r", "object": "response", "status": "completed", "model": "m", "output": [item]})


def notes(codec: Codec, written: bytes) -> Any:
    value = json.loads(written)
    if codec is CHAT:
        return value["choices"][0]["message"]["annotations"]
    return value["output"][0]["content"][0]["annotations"]


@pytest.mark.parametrize(("source", "target"), [(CHAT, RESPONSES), (RESPONSES, CHAT)], ids=name)
def test_an_address_is_cited_in_the_clients_words_whole_and_streamed(source: Codec, target: Codec) -> None:
    response = source.decode_response(answer(source))
    encoded = target.encode_response(response, REPLY)
    assert encoded.losses == ()
    assert notes(target, encoded.body) == notes(target, answer(target))
    encoder = target.stream_encoder(REPLY)
    stream = b"".join([encoder.emit(event) for event in unfold(response)])
    assert encoder.losses == ()
    assert same_answer(fold(events_of(target, [stream])[0])) == same_answer(response)


@pytest.mark.parametrize("source", [CHAT, RESPONSES], ids=name)
def test_at_home_every_annotation_stays(source: Codec) -> None:
    response = source.decode_response(answer(source, FILE))
    assert notes(source, source.encode_response(response, REPLY).body) == notes(source, answer(source, FILE))
    encoder = source.stream_encoder(REPLY)
    stream = b"".join([encoder.emit(event) for event in unfold(response)])
    assert same_answer(fold(events_of(source, [stream])[0])) == same_answer(response)


@pytest.mark.parametrize("source", [CHAT, RESPONSES], ids=name)
def test_what_cannot_be_cited_elsewhere_is_declared(source: Codec) -> None:
    response = source.decode_response(answer(source, FILE))
    for target in ALL:
        if target is source:
            continue
        encoded = target.encode_response(response, REPLY)
        assert any("annotations" in loss.field for loss in encoded.losses), target.format
        encoder = target.stream_encoder(REPLY)
        for event in unfold(response):
            encoder.emit(event)
        assert set(encoder.losses) == set(encoded.losses)


def test_places_count_from_the_start_of_chats_one_text() -> None:
    text = {"type": "output_text", "text": "Hello", "annotations": [{"type": "url_citation"} | CITED]}
    item = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "So: "}, text]}
    whole = {"id": "r", "object": "response", "status": "completed", "model": "m", "output": [item]}
    (note,) = notes(CHAT, CHAT.encode_response(RESPONSES.decode_response(body(whole)), REPLY).body)
    assert (note["url_citation"]["start_index"], note["url_citation"]["end_index"]) == (4, 9)


# ---- over all four formats ------------------------------------------------------------------------------------------

CITED_ANSWERS = {CHAT: "cited", MESSAGES: "cited", GEMINI: "grounded", RESPONSES: "server_tool"}
FOUR = list(CITED_ANSWERS)
TEXT = "Zürich hat 448 664 Einwohner. 😀 Bern hat 137 000."
ZURICH, BERN = "https://example.com/zuerich", "https://example.com/bern"
crossings = pytest.mark.parametrize(
    ("source", "target"), [(one, other) for one in FOUR for other in FOUR if one is not other], ids=name
)


def transcript(codec: Codec, ending: str) -> bytes:
    return (TRANSCRIPTS / codec.format / f"{CITED_ANSWERS[codec]}{ending}").read_bytes()


def cited(response: Response) -> list[tuple[str, str]]:
    """The addresses of an answer, each with what of its text it backs."""
    said = "".join(part.text for part in response.parts if isinstance(part, Text))
    return [(url, said[start:end]) for url, _, start, end, _, _ in same_answer(response).extra.get("cited", [])]


@crossings
def test_what_a_provider_cites_reaches_every_client_whole_and_streamed(source: Codec, target: Codec) -> None:
    response = source.decode_response(transcript(source, ".json"))
    there = target.decode_response(target.encode_response(response, REPLY).body)
    events, error = events_of(source, [transcript(source, ".sse")])
    assert error == ""
    streamed, error = events_of(target, [write_stream(target, events)])
    assert error == ""
    assert cited(there) == cited(fold(streamed))
    assert {url for url, _ in cited(there)} == {url for url, _ in cited(response)} != set()
    if target is not MESSAGES:
        assert cited(there) == cited(response)


@pytest.mark.parametrize("target", [CHAT, RESPONSES, MESSAGES], ids=name)
def test_bytes_of_a_segment_become_characters_of_the_text(target: Codec) -> None:
    response = GEMINI.decode_response(transcript(GEMINI, ".json"))
    assert cited(response) == [(BERN, TEXT[-17:]), (ZURICH, TEXT[:29]), (ZURICH, TEXT[-17:])]
    encoded = target.encode_response(response, REPLY)
    if target is MESSAGES:
        blocks = json.loads(encoded.body)["content"]
        assert [block["text"] for block in blocks] == [TEXT]
        assert next((loss.field, loss.kind) for loss in encoded.losses) == (
            "choices.message.annotations",
            "approximated",
        )
    else:
        assert cited(target.decode_response(encoded.body)) == cited(response)


def test_characters_become_bytes_of_a_segment() -> None:
    response = CHAT.decode_response(transcript(CHAT, ".json"))
    grounding = json.loads(GEMINI.encode_response(response, REPLY).body)["candidates"][0]["groundingMetadata"]
    assert grounding["groundingChunks"][0] == {"web": {"uri": ZURICH, "title": "Zürich"}}
    for support in grounding["groundingSupports"]:
        segment = support["segment"]
        assert TEXT.encode()[segment["startIndex"] : segment["endIndex"]].decode() == segment["text"]


def test_a_block_that_cites_a_document_keeps_only_its_addresses_elsewhere() -> None:
    response = MESSAGES.decode_response(transcript(MESSAGES, ".json"))
    encoded = CHAT.encode_response(response, REPLY)
    assert {loss.field for loss in encoded.losses} == {
        "content",  # three blocks are one text
        "content.citations",
        "content.citations.encrypted_index",
    }
    (first, second) = notes(CHAT, encoded.body)
    assert first["url_citation"]["content"] == "448 664 Einwohnerinnen und Einwohner"
    assert TEXT[second["url_citation"]["start_index"] : second["url_citation"]["end_index"]] == "Bern hat 137 000."


def test_no_proof_of_a_found_page_is_made_up() -> None:
    response = CHAT.decode_response(transcript(CHAT, ".json"))
    (block,) = json.loads(MESSAGES.encode_response(response, REPLY).body)["content"]
    assert {citation["encrypted_index"] for citation in block["citations"]} == {""}


def test_an_anthropic_client_is_told_citations_within_their_block() -> None:
    events, _ = events_of(GEMINI, [transcript(GEMINI, ".sse")])
    frames = write_stream(MESSAGES, events).split(b"\n\n")
    kinds = [json.loads(frame.partition(b"data: ")[2])["type"] for frame in frames if frame]
    stop = kinds.index("content_block_stop")
    assert kinds[stop - 1] == "content_block_delta"
    assert kinds[stop + 1 :] == ["message_delta", "message_stop"]
    assert frames[stop - 1].count(b"citations_delta") == 1


def test_a_responses_client_is_told_each_annotation_before_its_text_is_done() -> None:
    events, _ = events_of(MESSAGES, [transcript(MESSAGES, ".sse")])
    stream = write_stream(RESPONSES, events)
    kinds = [line[7:].decode() for line in stream.split(b"\n") if line.startswith(b"event: ")]
    added = [at for at, kind in enumerate(kinds) if kind == "response.output_text.annotation.added"]
    assert len(added) == 2
    assert all(kinds[at + 1] == "response.output_text.done" for at in added)


def test_a_source_that_no_segment_names_is_declared() -> None:
    chunks = [{"web": {"uri": ZURICH, "title": "Zürich"}}, {"web": {"uri": BERN, "title": "Bern"}}]
    support = {"segment": {"endIndex": 5, "text": "Hello"}, "groundingChunkIndices": [0]}
    grounding = {
        "groundingChunks": chunks,
        "groundingSupports": [support],
        "searchEntryPoint": {"renderedContent": "x"},
    }
    candidate = {"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP", "groundingMetadata": grounding}
    response = GEMINI.decode_response(body({"candidates": [candidate], "responseId": "a"}))
    assert {loss.field for loss in CHAT.encode_response(response, REPLY).losses} == {
        "candidates.groundingMetadata.groundingChunks",
        "candidates.groundingMetadata.searchEntryPoint",
    }


@pytest.mark.parametrize(
    "segment",
    [
        {"startIndex": 40, "endIndex": 45, "text": "Hello"},  # where it is not: its words decide
        {"startIndex": 0, "endIndex": 5},
    ],
)
def test_a_segment_is_found_by_its_words_or_its_place(segment: dict[str, Any]) -> None:
    candidate = {
        "content": {"parts": [{"text": "Hello you"}]},
        "finishReason": "STOP",
        "groundingMetadata": {
            "groundingChunks": [{"retrievedContext": {"uri": ZURICH, "title": "Z", "text": "as it says"}}],
            "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
        },
    }
    response = GEMINI.decode_response(body({"candidates": [candidate], "responseId": "a"}))
    encoded = CHAT.encode_response(response, REPLY)
    assert encoded.losses == ()
    (note,) = notes(CHAT, encoded.body)
    assert note["url_citation"] == {
        "start_index": 0, "end_index": 5, "url": ZURICH, "title": "Z", "content": "as it says",
    }  # fmt: skip


def test_what_repeats_a_source_is_a_citation_of_it() -> None:
    candidate = {
        "content": {"parts": [{"text": "é Hello"}]},
        "finishReason": "STOP",
        "citationMetadata": {"citationSources": [{"startIndex": 3, "endIndex": 8, "uri": ZURICH, "license": "mit"}]},
    }
    response = GEMINI.decode_response(body({"candidates": [candidate], "responseId": "a"}))
    encoded = RESPONSES.encode_response(response, REPLY)
    assert cited(RESPONSES.decode_response(encoded.body)) == [(ZURICH, "Hello")]
    assert [loss.field for loss in encoded.losses] == ["candidates.citationMetadata.citationSources.license"]


def test_annotations_after_the_text_of_a_chat_stream_still_reach_a_gemini_client() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    deltas: list[dict[str, Any]] = [
        {"content": "Hello"},
        {"tool_calls": [call]},
        {"annotations": [{"type": "url_citation", "url_citation": CITED}]},
    ]
    chunks = [{"id": "a", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    chunks.append({"id": "a", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    events, _ = events_of(CHAT, [b"".join(b"data: %b\n\n" % body(chunk) for chunk in chunks)])
    encoder = GEMINI.stream_encoder(REPLY)
    streamed, _ = events_of(GEMINI, [b"".join([encoder.emit(event) for event in events])])
    assert encoder.losses == ()
    assert cited(fold(streamed)) == [("https://example.com/", "Hello")]


# ---- sent back ------------------------------------------------------------------------------------------------------


def test_a_history_that_cites_addresses_keeps_them_in_responses() -> None:
    page = {"type": "web_search_result_location", "url": ZURICH, "title": "Z", "cited_text": "q", "encrypted_index": ""}
    annotation = {"type": "url_citation", "start_index": 0, "end_index": 5, "url": ZURICH, "title": "Z"}
    of_messages = {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "assistant", "content": [{"type": "text", "text": "Hello", "citations": [page]}]},
            {"role": "user", "content": "And?"},
        ],
    }
    outer = {"type": "url_citation", "url_citation": {key: annotation[key] for key in annotation if key != "type"}}
    of_chat = {
        "model": "m",
        "messages": [
            {"role": "assistant", "content": "Hello", "annotations": [outer]},
            {"role": "user", "content": "And?"},
        ],
    }
    for codec, request, expected in (
        (MESSAGES, of_messages, annotation | {"content": "q"}),
        (CHAT, of_chat, annotation),
    ):
        encoded = RESPONSES.encode_request(codec.decode_request(body(request)))
        (part,) = json.loads(encoded.body)["input"][0]["content"]
        assert part["annotations"] == [expected]
        assert encoded.losses == ()
        declared = GEMINI.encode_request(codec.decode_request(body(request))).losses
        assert any(loss.field.endswith(("citations", "annotations")) for loss in declared)
