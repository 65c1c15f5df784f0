import json

import pytest
from omni_edge.domain.answer import error_body, error_headers, header_value, success_headers, translation
from omni_wire.errors import InvalidRequest, NotBuilt, RateLimited, Unauthenticated
from omni_wire.formats import WireFormat


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
    headers = dict(error_headers(RateLimited("slow down", retry_after=seconds), b"r", 2, close=False))
    assert headers[b"retry-after"] == said
    assert b"connection" not in headers


def test_an_error_without_a_known_time_says_none() -> None:
    assert b"retry-after" not in dict(error_headers(InvalidRequest("no"), b"r", 2, close=True))


def test_a_401_names_the_scheme() -> None:
    assert dict(error_headers(Unauthenticated("no"), b"r", 2, close=False))[b"www-authenticate"] == b"Bearer"


@pytest.mark.parametrize(
    ("wire_format", "path"),
    [
        (WireFormat.OPENAI_CHAT, ("error", "message")),
        (WireFormat.ANTHROPIC_MESSAGES, ("error", "message")),
        (WireFormat.GEMINI_GENERATE, ("error", "message")),
        (None, ("error",)),
    ],
)
def test_each_dialect_has_its_message_where_its_clients_look(
    wire_format: WireFormat | None, path: tuple[str, ...]
) -> None:
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
