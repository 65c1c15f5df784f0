"""Each dialect gets its own words for the same error, whole or in mid-stream; a provider's words are found in its."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_wire.errors import (
    KINDS,
    BodyTooLarge,
    BudgetExhausted,
    DependencyUnavailable,
    GatewayError,
    Internal,
    InvalidRequest,
    ModelNotFound,
    NotBuilt,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
    from_kind,
    render_body,
    render_frame,
    upstream_message,
)
from omni_wire.formats import CLIENT_FORMATS, WireFormat
from omni_wire.ndjson import NdjsonSplitter
from omni_wire.sse import SseSplitter, parse_event

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
ANTHROPIC, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
OLLAMA, COHERE = WireFormat.OLLAMA_CHAT, WireFormat.COHERE_CHAT
WITH_TYPE = (CHAT, RESPONSES, ANTHROPIC, GEMINI)
ERRORS = st.builds(
    lambda cls, message, status, param: cls(message, status=status, param=param),
    st.sampled_from(sorted(KINDS.values(), key=lambda cls: cls.kind)),
    st.text(),
    st.one_of(st.none(), st.integers(400, 599)),
    st.one_of(st.none(), st.text(max_size=10)),
)


def body(error: GatewayError, wire_format: WireFormat) -> dict[str, Any]:
    return dict(json.loads(render_body(error, wire_format, "req-1")))


# The status is what SDKs choose their exception class by; the type is what people's code looks at.
TYPES = [
    (InvalidRequest, 400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
    (Unauthenticated, 401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
    (BudgetExhausted, 402, "billing_error", "billing_error", "FAILED_PRECONDITION"),
    (PermissionDenied, 403, "permission_error", "permission_error", "PERMISSION_DENIED"),
    (ModelNotFound, 404, "invalid_request_error", "not_found_error", "NOT_FOUND"),
    (BodyTooLarge, 413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
    (RateLimited, 429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
    (Internal, 500, "server_error", "api_error", "INTERNAL"),
    (NotBuilt, 501, "server_error", "api_error", "UNIMPLEMENTED"),
    (UpstreamFailed, 502, "server_error", "api_error", "INTERNAL"),
    (DependencyUnavailable, 503, "server_error", "overloaded_error", "UNAVAILABLE"),
    (UpstreamTimeout, 504, "server_error", "timeout_error", "DEADLINE_EXCEEDED"),
]


@pytest.mark.parametrize(("cls", "status", "openai", "anthropic", "google"), TYPES)
def test_every_status_has_the_type_its_dialect_prescribes(
    cls: type[GatewayError], status: int, openai: str, anthropic: str, google: str
) -> None:
    error = cls("no")
    assert error.status == status
    for wire_format in (CHAT, RESPONSES):
        assert body(error, wire_format)["error"]["type"] == openai
    assert body(error, ANTHROPIC)["error"]["type"] == anthropic
    assert body(error, GEMINI)["error"]["status"] == google


def test_the_openai_body() -> None:
    assert body(InvalidRequest("temperature must be a number", param="temperature"), CHAT) == {
        "error": {
            "message": "temperature must be a number",
            "type": "invalid_request_error",
            "param": "temperature",
            "code": "bad_request",
            "request_id": "req-1",
        }
    }


def test_the_anthropic_body() -> None:
    assert body(RateLimited("slow down"), ANTHROPIC) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
        "request_id": "req-1",
    }


def test_the_gemini_body() -> None:
    assert body(ModelNotFound("no such model"), GEMINI) == {
        "error": {
            "code": 404,
            "message": "no such model",
            "status": "NOT_FOUND",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "MODEL_NOT_FOUND",
                    "domain": "omniroute",
                    "metadata": {"request_id": "req-1"},
                }
            ],
        }
    }


def test_the_place_of_what_is_wrong_is_in_the_message_where_there_is_no_field_for_it() -> None:
    wrong = InvalidRequest("must be a string", param="messages.0.content")
    assert body(wrong, ANTHROPIC)["error"]["message"] == "messages.0.content: must be a string"
    told = InvalidRequest("messages.0.content must be a string", param="messages.0.content")
    assert body(told, ANTHROPIC)["error"]["message"] == "messages.0.content must be a string"
    google = body(wrong, GEMINI)["error"]
    assert google["message"] == "messages.0.content: must be a string"
    assert google["details"][1] == {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": "messages.0.content", "description": google["message"]}],
    }


@given(ERRORS, st.sampled_from(WITH_TYPE))
def test_a_frame_is_a_whole_event_that_holds_the_error(error: GatewayError, wire_format: WireFormat) -> None:
    frame = render_frame(error, wire_format, "req-1")
    splitter = SseSplitter()
    first, *others = splitter.feed(frame)
    assert b"".join([first, *others]) == frame
    assert splitter.rest == b""
    if wire_format is GEMINI:
        assert (json.loads(first), parse_event(first).data) == (body(error, GEMINI), None)
        first, *others = others
    event = parse_event(first)
    assert event.data is not None
    payload = json.loads(event.data)
    if wire_format in (CHAT, GEMINI):
        assert event.event == b""
        assert payload == body(error, wire_format)
    else:
        assert event.event == b"error"
        assert payload["type"] == "error"
    if wire_format is not RESPONSES:
        assert others == []
        return
    flat = {"code": error.code, "message": error.message, "param": error.param}
    assert payload == {"type": "error", "sequence_number": payload["sequence_number"]} | flat | {
        "error": flat | {"type": payload["error"]["type"]}
    }
    (second,) = others
    failed = json.loads(parse_event(second).data or b"")
    assert (failed["type"], failed["sequence_number"]) == ("response.failed", payload["sequence_number"] + 1)
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": error.code, "message": error.message}


def test_the_events_of_a_failed_response_go_on_with_its_numbers() -> None:
    first, second = SseSplitter().feed(render_frame(Internal("no"), RESPONSES, "req-1", sequence_number=7))
    assert [json.loads(parse_event(event).data or b"")["sequence_number"] for event in (first, second)] == [7, 8]


@given(ERRORS, st.sampled_from(WITH_TYPE))
def test_the_body_always_has_the_message_and_a_type(error: GatewayError, wire_format: WireFormat) -> None:
    inner = body(error, wire_format)["error"]
    if wire_format in (CHAT, RESPONSES):
        assert (inner["message"], inner["param"]) == (error.message, error.param)
    else:
        assert error.message in inner["message"]
        assert (error.param or "") in inner["message"]
    if wire_format is GEMINI:
        assert inner["code"] == error.status
        assert inner["status"].isupper()
    else:
        assert inner["type"].endswith("_error") or inner["type"] == "request_too_large"


@pytest.mark.parametrize("wire_format", CLIENT_FORMATS)
def test_a_message_that_is_no_unicode_is_rendered_all_the_same(wire_format: WireFormat) -> None:
    said = body(InvalidRequest("half \ud83d"), wire_format)["error"]
    assert (said if wire_format is OLLAMA else said["message"]) == "half ?"
    assert render_frame(InvalidRequest("half \ud83d"), wire_format, "req-1")


@given(ERRORS)
def test_ollamas_error_is_a_text_whole_and_on_a_line(error: GatewayError) -> None:
    said = body(error, OLLAMA)
    assert error.message in said["error"]
    assert (error.param or "") in said["error"]
    frame = render_frame(error, OLLAMA, "req-1")
    assert NdjsonSplitter().feed(frame) == [frame]
    assert json.loads(frame) == said


@given(ERRORS)
def test_coheres_error_is_a_message_and_in_mid_stream_an_end(error: GatewayError) -> None:
    said = body(error, COHERE)
    assert error.message in said["message"]
    (event,) = SseSplitter().feed(render_frame(error, COHERE, "req-1"))
    ended = json.loads(parse_event(event).data or b"")
    assert ended == {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": said["message"]}}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_rebuilt_from_its_name(kind: str) -> None:
    plain = from_kind(kind, "why")
    assert (type(plain), plain.kind, plain.message, str(plain)) == (KINDS[kind], kind, "why", "why")
    assert (plain.status, plain.code) == (KINDS[kind].status, KINDS[kind].code)
    assert (plain.param, plain.retry_after) == (None, None)
    detailed = from_kind(kind, "why", status=418, retry_after=2.5, param="p", code="c")
    assert (detailed.status, detailed.retry_after, detailed.param, detailed.code) == (418, 2.5, "p", "c")


def test_a_kind_of_another_version_is_internal() -> None:
    assert type(from_kind("quantum_flux", "?")) is Internal


def test_kinds_are_unique_and_statuses_are_errors() -> None:
    assert len({cls.kind for cls in KINDS.values()}) == len(KINDS)
    assert all(400 <= cls.status < 600 for cls in KINDS.values())
    assert UpstreamRejected("no", status=422).status == 422
    assert UpstreamRejected.status == 400


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"error":{"message":"bad key","type":"invalid_request_error"}}', "bad key"),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', "Overloaded"),
        (b'[{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT"}}]', "API key not valid"),
        (b'{"error":"model not found"}', "model not found"),
        (b'{"object":"error","message":"too long"}', "too long"),
        (b'{"error":{"error":{"message":"wrapped"}}}', "wrapped"),
        (b'{"detail":"Not Found"}', '{"detail":"Not Found"}'),
        (rb'{"error":{"message":"cut \ud83d"}}', "cut \ufffd"),
        (b"upstream connect error", "upstream connect error"),
        (b"<html>\xff</html>", "<html>\ufffd</html>"),
        (b"", "no details given"),
        (b" \n ", "no details given"),
        (b"[]", "[]"),
        (b"null", "null"),
        (b'{"error":{"message":42}}', '{"error":{"message":42}}'),
    ],
)
def test_a_providers_message_is_found_whatever_its_dialect(raw: bytes, message: str) -> None:
    assert upstream_message(raw) == message


@given(st.binary())
def test_no_body_of_a_provider_breaks_the_reading_of_its_error(raw: bytes) -> None:
    assert upstream_message(raw)


@pytest.mark.parametrize("raw", [b'{"error":' * 100_000, b"[" * 100_000, b'{"error":' * 900 + b"1" + b"}" * 900])
def test_a_body_nested_past_any_sense_is_quoted_in_short(raw: bytes) -> None:
    assert len(upstream_message(raw)) == 200


def test_a_long_message_is_cut() -> None:
    assert len(upstream_message(json.dumps({"error": {"message": "x" * 10_000}}).encode())) == 2000
    assert len(upstream_message(b"x" * 10_000)) == 200
