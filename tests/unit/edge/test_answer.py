import json

import pytest
from omni_edge.domain.answer import (
    KEEP_ALIVE,
    count_body,
    error_body,
    error_headers,
    header_value,
    last_frames,
    success_headers,
    trace_header,
    translation,
)
from omni_wire.errors import InvalidRequest, NotBuilt, RateLimited, StreamInterrupted, Unauthenticated
from omni_wire.formats import CLIENT_FORMATS, WireFormat

CHAT = WireFormat.OPENAI_CHAT


def test_a_stream_forbids_caching_and_buffering() -> None:
    headers = dict(success_headers(b"r", "text/event-stream", "acme", "m", (), stream=True))
    assert headers == {
        b"content-type": b"text/event-stream", b"x-request-id": b"r", b"x-omniroute-provider": b"acme",
        b"x-omniroute-model": b"m", b"x-omniroute-translation": b"lossless", b"cache-control": b"no-cache",
        b"x-accel-buffering": b"no",
    }  # fmt: skip


def test_losses_are_named() -> None:
    headers = dict(success_headers(b"r", "application/json", "a", "m", ("logprobs", "messages.0.name"), stream=False))
    assert headers[b"x-omniroute-translation"] == b"lossy; dropped=logprobs,messages.0.name"
    assert b"cache-control" not in headers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("gpt-x", b"gpt-x"),
        ("a b/c:d", b"a b/c:d"),
        ("a\r\nset-cookie: x", b"a%0D%0Aset-cookie: x"),
        ("modèle", b"mod%C3%A8le"),
    ],
)
def test_a_model_name_cannot_break_out_of_its_header(text: str, value: bytes) -> None:
    assert header_value(text) == value


@pytest.mark.parametrize(("seconds", "said"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.1, b"2"), (59.5, b"60")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, said: bytes) -> None:
    headers = dict(error_headers(RateLimited("slow down", retry_after=seconds), CHAT, b"r", 2))
    assert headers[b"retry-after"] == said


def test_an_error_without_a_known_time_says_none() -> None:
    assert b"retry-after" not in dict(error_headers(InvalidRequest("no"), CHAT, b"r", 2))


def test_a_401_names_the_scheme() -> None:
    assert dict(error_headers(Unauthenticated("no"), CHAT, b"r", 2))[b"www-authenticate"] == b"Bearer"


@pytest.mark.parametrize(
    ("wire_format", "path"),
    [
        (WireFormat.OPENAI_CHAT, ("error", "message")),
        (WireFormat.ANTHROPIC_MESSAGES, ("error", "message")),
        (WireFormat.GEMINI_GENERATE, ("error", "message")),
        (WireFormat.OLLAMA_CHAT, ("error",)),
    ],
)
def test_each_dialect_has_its_message_where_its_clients_look(wire_format: WireFormat, path: tuple[str, ...]) -> None:
    node = json.loads(error_body(NotBuilt("not yet"), wire_format, "r"))
    for step in path:
        node = node[step]
    assert node == "not yet"


def test_a_name_that_is_told_again_is_told_the_same_and_each_answer_has_its_own_list() -> None:
    first = success_headers(b"r1", "application/json", "acme", "m", (), stream=False)
    first.append((b"content-length", b"1"))
    again = success_headers(b"r2", "application/json", "acme", "m", (), stream=False)
    assert again == [*first[:-2], (b"x-request-id", b"r2")]


def test_no_value_is_longer_than_1024_bytes() -> None:
    told = dict(success_headers(b"r", "application/json", "p" * 10_000, "m" * 10_000, (), stream=False))
    assert told[b"x-omniroute-provider"] == b"p" * 1024
    assert told[b"x-omniroute-model"] == b"m" * 1024
    assert header_value("a" + "è" * 1000) == b"a" + b"%C3%A8" * 170 + b"%C3", "an escape is whole or not there"


def test_as_many_losses_are_named_as_fit_and_the_rest_is_counted() -> None:
    losses = [f"messages.{n}.name" for n in range(100_000)]
    value = translation(losses)
    assert len(value) <= 1024
    named, _, more = value.removeprefix(b"lossy; dropped=").rpartition(b",+")
    kept = named.decode().split(",")
    assert kept == losses[: len(kept)]
    assert more == b"%d more" % (len(losses) - len(kept))
    assert len(value) + len(losses[len(kept)]) + 1 > 1024
    assert translation(["x" * 2000, "y"]) == b"lossy; dropped=+2 more"
    assert translation(["x" * 1009]) == b"lossy; dropped=" + b"x" * 1009
    assert translation(["x" * 1010]) == b"lossy; dropped=+1 more"


def test_an_answer_of_the_gateways_own_names_no_provider() -> None:
    headers = success_headers(b"r", "application/json", "", "", (), stream=False)
    assert headers == [(b"content-type", b"application/json"), (b"x-request-id", b"r")]


def test_anthropics_sdks_find_the_request_id_where_they_look() -> None:
    headers = dict(error_headers(InvalidRequest("no"), WireFormat.ANTHROPIC_MESSAGES, b"r", 2))
    assert (headers[b"request-id"], headers[b"x-request-id"]) == (b"r", b"r")
    assert b"request-id" not in dict(error_headers(InvalidRequest("no"), CHAT, b"r", 2))


@pytest.mark.parametrize("wire_format", CLIENT_FORMATS)
def test_every_dialect_has_a_sign_of_life_that_is_whole_lines(wire_format: WireFormat) -> None:
    if wire_format is WireFormat.OLLAMA_CHAT:  # a line of its own would have to be JSON
        assert KEEP_ALIVE[wire_format] == b" "
        return
    assert KEEP_ALIVE[wire_format].endswith(b"\n\n")
    assert not KEEP_ALIVE[wire_format].startswith(b"data")


def test_an_error_in_an_array_is_its_last_element() -> None:
    error = StreamInterrupted("gone")
    (begun,) = last_frames(error, WireFormat.GEMINI_GENERATE, "r", array=True, first=False)
    (alone,) = last_frames(error, WireFormat.GEMINI_GENERATE, "r", array=True, first=True)
    assert json.loads(b"[{}" + begun)[1]["error"]["status"] == "INTERNAL"
    assert json.loads(alone)[0]["error"]["code"] == 502
    assert error_body(error, WireFormat.GEMINI_GENERATE, "r", array=True) == alone


def test_an_error_among_geminis_events_is_told_as_bare_json_and_as_an_event() -> None:
    bare, event = last_frames(
        StreamInterrupted("gone"), WireFormat.GEMINI_GENERATE, "r", array=False, first=False
    )  # fmt: skip
    assert json.loads(bare)["error"]["message"] == "gone"
    assert b"\n" not in bare.rstrip(b"\n")
    assert event == b"data: " + bare


@pytest.mark.parametrize(
    ("wire_format", "body"),
    [(WireFormat.ANTHROPIC_MESSAGES, {"input_tokens": 3}), (WireFormat.GEMINI_GENERATE, {"totalTokens": 3})],
)
def test_a_count_is_told_in_its_dialect(wire_format: WireFormat, body: dict[str, int]) -> None:
    assert json.loads(count_body(3, wire_format)) == body


def test_the_way_of_a_request_is_a_header_of_at_most_two_kibibytes_of_ascii() -> None:
    assert trace_header("combo best; a/one answers") == (b"x-omniroute-trace", b"combo best; a/one answers")
    _, value = trace_header("ä" * 3000)
    assert len(value) <= 2048
    assert value.isascii()
    error = InvalidRequest("no")
    assert b"x-omniroute-trace" not in dict(error_headers(error, CHAT, b"r", 2))
    error.trace = "a/one failed"
    assert dict(error_headers(error, CHAT, b"r", 2))[b"x-omniroute-trace"] == b"a/one failed"
