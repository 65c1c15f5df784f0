"""Relaying a Chat stream: nothing invented, nothing hidden, the end told truly."""

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain.taps.chat import ChatStreamTap, read_answer
from omni_wire.errors import StreamInterrupted, UpstreamFailed
from omni_wire.usage import Usage


def event(**fields: object) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def delta(text: str) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


END = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = event(
    choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
)
DONE = b"data: [DONE]\n\n"
STREAM = delta("Grüße") + delta(" 世界") + END + USAGE + DONE


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans())
def test_cutting_the_bytes_anywhere_changes_nothing(cuts: list[int], relay_usage: bool) -> None:
    tap = ChatStreamTap(relay_usage=relay_usage)
    places = [0, *sorted(cuts), len(STREAM)]
    out = b"".join(tap.feed(STREAM[a:b]) for a, b in itertools.pairwise(places)) + tap.end()
    assert out == (STREAM if relay_usage else STREAM.replace(USAGE, b""))
    assert tap.usage == Usage(7, 3, 0, 2)
    assert tap.complete


def test_a_stream_that_ends_before_its_end_is_interrupted() -> None:
    tap = ChatStreamTap(relay_usage=False)
    assert tap.feed(delta("half")) == delta("half")
    with pytest.raises(StreamInterrupted):
        tap.end()


def test_a_finished_stream_without_done_is_given_one() -> None:
    tap = ChatStreamTap(relay_usage=False)
    tap.feed(delta("x") + END)
    assert tap.end() == DONE


def test_of_several_answers_each_must_end() -> None:
    other = event(choices=[{"index": 1, "delta": {"content": "y"}, "finish_reason": None}])
    tap = ChatStreamTap(relay_usage=False)
    tap.feed(other + delta("x") + END)
    assert not tap.complete
    with pytest.raises(StreamInterrupted):
        tap.end()
    tap = ChatStreamTap(relay_usage=False)
    tap.feed(other + delta("x") + END + event(choices=[{"index": 1, "delta": {}, "finish_reason": "length"}]) + USAGE)
    assert tap.complete
    assert tap.usage == Usage(7, 3, 0, 2)
    assert tap.end() == DONE


def test_an_empty_finish_reason_on_every_chunk_ends_nothing() -> None:
    tap = ChatStreamTap(relay_usage=False)
    tap.feed(event(choices=[{"index": 0, "delta": {"content": "half"}, "finish_reason": ""}]))
    assert not tap.complete
    with pytest.raises(StreamInterrupted):
        tap.end()


def test_usage_beside_choices_that_are_null_is_counted_and_withheld() -> None:
    usage = event(choices=None, usage={"prompt_tokens": 7, "completion_tokens": 2})
    tap = ChatStreamTap(relay_usage=False)
    assert tap.feed(delta("x") + END + usage + DONE) == delta("x") + END + DONE
    assert tap.usage == Usage(7, 0, 0, 2)


def test_what_came_before_an_error_event_is_still_relayed() -> None:
    tap = ChatStreamTap(relay_usage=False)
    assert tap.feed(delta("a") + event(error={"message": "overloaded"}) + delta("b")) == delta("a")
    assert isinstance(tap.failure, UpstreamFailed)
    assert "overloaded" in tap.failure.message


def test_a_line_that_is_not_json_is_a_failure_of_the_provider() -> None:
    tap = ChatStreamTap(relay_usage=False)
    assert tap.feed(delta("a") + b'data: {"choices": [\n\n') == delta("a")
    assert tap.failure is not None


def test_a_vendors_own_event_passes() -> None:
    tap = ChatStreamTap(relay_usage=False)
    odd = event(choices="none of the usual")
    assert tap.feed(odd) == odd
    assert tap.failure is None


def test_comments_pass_and_do_not_begin_the_answer() -> None:
    tap = ChatStreamTap(relay_usage=False)
    assert tap.feed(b": OPENROUTER PROCESSING\n\n") == b": OPENROUTER PROCESSING\n\n"
    assert not tap.begun


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_an_upstream_error(data: bytes) -> None:
    tap = ChatStreamTap(relay_usage=True)
    tap.feed(data)
    with contextlib.suppress(StreamInterrupted, UpstreamFailed):
        tap.end()


def test_tokens_are_estimated_from_what_went_by() -> None:
    tap = ChatStreamTap(relay_usage=False)
    tap.feed(delta("one") + delta("two") + delta("x" * 40))
    assert tap.estimate() == 12


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b'{"error":{"message":"no"}}', b'{"choices":[]}', b'{"choices":3}']
)
def test_what_is_no_answer_under_200_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        read_answer(body)
