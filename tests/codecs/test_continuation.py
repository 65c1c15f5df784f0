"""An answer that broke off and was gone on with by another provider reads, in every client's format, as one answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_translator.domain import continuation
from omni_translator.domain.codec import Codec
from omni_translator.domain.continuation import Begun, Seam, WholeCalls
from omni_translator.domain.events import (
    Event,
    Finished,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    check,
    fold,
)
from omni_translator.domain.model import (
    Conversation,
    FinishReason,
    Message,
    OutputFormat,
    Reasoning,
    Role,
    Text,
    ToolCall,
)
from omni_wire.errors import UpstreamFailed, WireError
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from tests.codecs.support import CHAT, CLIENTS, GEMINI, MESSAGES, REPLY, name

STARTED = Started(WireFormat.COHERE_CHAT, "", "other")
STOP = Finished(FinishReason.STOP)
USED, MORE = Usage(10, 0, 0, 4, 0, True), Usage(20, 5, 0, 6, 0)


def texts(*pieces: str) -> list[Event]:
    return [PartStarted(0, Text("")), *(PartDelta(0, piece) for piece in pieces)]


def sent_of(codec: Codec, events: list[Event]) -> bytes:
    encoder = codec.stream_encoder(REPLY)
    return b"".join([encoder.emit(event) for event in events])


def gone_on(codec: Codec, sent: bytes, rest: list[Event], *, prefill: bool = False) -> tuple[Any, bytes]:
    """What the client makes of all of it, and the bytes of the rest."""
    begun = continuation.read(codec, sent)
    encoder, seam = codec.stream_encoder(REPLY), Seam(begun, USED, prefill)
    for event in begun.events:
        encoder.emit(event)
    more = b"".join([encoder.emit(told) for event in rest for told in seam.see(event)])
    decoder = codec.stream_decoder()
    events = decoder.feed(sent + more)
    assert decoder.error is None
    events += decoder.end()
    check(events)
    return fold(events), more


WORDS = st.text("abc xyz é€\n", min_size=1, max_size=12)


@pytest.mark.parametrize("codec", CLIENTS, ids=name)
@given(first=st.lists(WORDS, min_size=1, max_size=5), then=st.lists(WORDS, min_size=1, max_size=5))
def test_the_two_halves_are_one_text_with_one_end(codec: Codec, first: list[str], then: list[str]) -> None:
    whole, other = "".join(first), "".join(then)
    if len(whole.strip()) < 4:
        return
    sent = sent_of(codec, [STARTED, *texts(*first)])
    rest: list[Event] = [STARTED, *texts(*then), PartEnded(0), UsageReported(MORE), STOP]
    seam = Seam(Begun((), whole, True, 1), USED, False)
    try:
        new = "".join(each.text for event in rest for each in seam.see(event) if isinstance(each, PartDelta))
    except UpstreamFailed:
        return  # it begins as the first half does
    assert other.endswith(new)
    response, _ = gone_on(codec, sent, rest)
    assert "".join(part.text for part in response.parts if isinstance(part, Text)) == whole + new
    assert response.finish is FinishReason.STOP
    if response.usage is not None and codec.format is not WireFormat.OLLAMA_CHAT:
        assert (response.usage.input_tokens, response.usage.output_tokens) == (30, 10)


@pytest.mark.parametrize("codec", CLIENTS, ids=name)
def test_the_bytes_are_those_of_an_answer_that_was_never_broken_off(codec: Codec) -> None:
    pieces = ["Once ", "upon", " a ", "time"]
    end: list[Event] = [PartEnded(0), UsageReported(Usage(5, 0, 0, 4)), STOP]
    whole = sent_of(codec, [STARTED, *texts(*pieces), *end])
    for cut in range(1, len(pieces)):
        sent = sent_of(codec, [STARTED, *texts(*pieces[:cut])])
        assert whole.startswith(sent)
        begun = continuation.read(codec, sent)
        encoder, seam = codec.stream_encoder(REPLY), Seam(begun, Usage(), False)
        for event in begun.events:
            encoder.emit(event)
        rest = [STARTED, *texts(*pieces[cut:]), *end]
        more = b"".join([encoder.emit(told) for event in rest for told in seam.see(event)])
        assert fold_of(codec, sent + more) == fold_of(codec, whole)


def fold_of(codec: Codec, data: bytes) -> Any:
    decoder = codec.stream_decoder()
    return fold([*decoder.feed(data), *decoder.end()])


@pytest.mark.parametrize("codec", CLIENTS, ids=name)
def test_a_call_that_follows_is_one_of_the_same_answer(codec: Codec) -> None:
    sent = sent_of(codec, [STARTED, *texts("Let me look.")])
    call = ToolCall(id="call_1", name="look")
    rest: list[Event] = [
        STARTED, *texts(" Now"), PartEnded(0),
        PartStarted(1, call), PartDelta(1, '{"at": '), PartDelta(1, '"it"}'), PartEnded(1),
        UsageReported(MORE), Finished(FinishReason.TOOL_CALLS),
    ]  # fmt: skip
    response, _ = gone_on(codec, sent, rest)
    said, called = response.parts
    assert said.text == "Let me look. Now"
    assert (called.name, called.arguments.replace(" ", "")) == ("look", '{"at":"it"}')
    assert response.finish is FinishReason.TOOL_CALLS


def test_thoughts_after_the_text_are_left_out_and_said_to_be() -> None:
    seam = Seam(Begun((), "Hello", True, 1), USED, False)
    events: list[Event] = [
        STARTED, PartStarted(0, Reasoning(text="", origin=WireFormat.COHERE_CHAT)), PartDelta(0, "hm"), PartEnded(0),
        PartStarted(1, Text("")), PartDelta(1, ", world"), PartEnded(1), STOP,
    ]  # fmt: skip
    told = [each for event in events for each in seam.see(event)]
    assert told == [PartDelta(0, ", world"), PartEnded(0), STOP]
    assert seam.lost_thoughts


@pytest.mark.parametrize(
    ("text", "pieces", "new"),
    [
        ("The quick brown fox", [" jumps"], " jumps"),
        ("The quick brown fox", ["brown fox", " jumps"], " jumps"),
        ("The quick brown fox", ["br", "own", " fox jumps"], " jumps"),
        ("The quick brown fox", ["The quick brown fox jumps"], " jumps"),
        ("The quick brown fox", ["fox jumps"], "fox jumps"),  # too little to be sure that it is said again
        ("The quick brown fox", ["The quick brown fox"], ""),
        ("they said ha", [" ha ha"], " ha ha"),
        ("The quick brown fox", ["\n", "the quick brown fox jumps"], " jumps"),
        ("a = {\n            }\n", ["            }\n", "b"], "            }\nb"),
        ("x = 000000000000", ["0000000000 x"], "0000000000 x"),
    ],
)
def test_what_the_client_has_is_not_said_again(text: str, pieces: list[str], new: str) -> None:
    seam = Seam(Begun((), text, True, 1), USED, False)
    events = [STARTED, *texts(*pieces), PartEnded(0), STOP]
    told = [each for event in events for each in seam.see(event)]
    assert "".join(each.text for each in told if isinstance(each, PartDelta)) == new
    assert told[-2:] == [PartEnded(0), STOP]


@pytest.mark.parametrize(
    ("text", "fresh"),
    [
        ("The quick brown fox jumps over", "The quick brown dog sleeps"),
        ("The quick brown fox jumps over", "\nthe quick brown dog sleeps"),
        ("Hello Bob", "Hello Ann, how are you?"),
    ],
)
def test_an_answer_that_is_begun_anew_in_other_words_is_refused(text: str, fresh: str) -> None:
    seam = Seam(Begun((), text, True, 1), USED, False)
    with pytest.raises(UpstreamFailed, match="anew"):
        for event in [STARTED, *texts(fresh), PartEnded(0)]:
            seam.see(event)


def test_an_answer_of_a_given_form_is_not_gone_on_with() -> None:
    begun = continuation.read(CHAT, sent_of(CHAT, [STARTED, *texts('{"name": "Bob')]))
    asking = Conversation(
        origin=WireFormat.OPENAI_CHAT, model="m", messages=(), output_format=OutputFormat(kind="json_object")
    )
    with pytest.raises(WireError, match="form"):
        continuation.asked(asking, begun, False)


@pytest.mark.parametrize(
    ("text", "pieces", "new"),
    [("Hello ", [" world"], "world"), ("Hello \n", [" ", "\n", "you"], "you"), ("Hello", [" world"], " world"),
     ("Hello ", ["world"], "world"), ("ha ha ", ["ha ha"], "ha ha")],
)  # fmt: skip
def test_behind_a_prefill_only_its_blanks_can_come_twice(text: str, pieces: list[str], new: str) -> None:
    seam = Seam(Begun((), text, True, 1), USED, True)
    told = [each for event in [STARTED, *texts(*pieces), PartEnded(0), STOP] for each in seam.see(event)]
    assert "".join(each.text for each in told if isinstance(each, PartDelta)) == new


CALL = ToolCall(id="c", name="f")


@pytest.mark.parametrize("codec", CLIENTS, ids=name)
@pytest.mark.parametrize(
    "events",
    [
        [STARTED],
        [STARTED, PartStarted(0, CALL), PartDelta(0, "{}"), PartEnded(0)],
        [STARTED, *texts("done"), PartEnded(0), PartStarted(1, CALL), PartDelta(1, "{}"), PartEnded(1)],
        [STARTED, *texts("1")],
    ],
    ids=["nothing", "a call", "a text and a call", "too little"],
)
def test_what_does_not_end_in_a_text_is_not_gone_on_with(codec: Codec, events: list[Event]) -> None:
    sent = sent_of(codec, events)
    with pytest.raises(WireError):
        continuation.read(codec, sent)


@pytest.mark.parametrize("codec", [codec for codec in CLIENTS if codec is not GEMINI], ids=name)
def test_what_has_its_end_is_not_gone_on_with(codec: Codec) -> None:
    with pytest.raises(WireError):
        continuation.read(codec, sent_of(codec, [STARTED, *texts("done"), PartEnded(0), STOP]))


def test_calls_are_held_until_they_are_whole() -> None:
    calls = WholeCalls()
    usage = UsageReported(MORE)
    events = [*texts("x"), PartEnded(0), PartStarted(1, CALL), PartDelta(1, "{"), usage, PartDelta(1, "}")]
    told = [each for event in events for each in calls.see(event)]
    assert told == [*texts("x"), PartEnded(0), usage]
    assert list(calls.see(PartEnded(1))) == [
        PartStarted(1, CALL), PartDelta(1, "{"), PartDelta(1, "}"), PartEnded(1),
    ]  # fmt: skip


@pytest.mark.parametrize("prefill", [False, True])
def test_the_rest_is_asked_for_with_the_models_own_words(prefill: bool) -> None:
    events: list[Event] = [
        STARTED, PartStarted(0, Reasoning(text="", origin=WireFormat.OPENAI_CHAT)), PartDelta(0, "hm"), PartEnded(0),
        PartStarted(1, Text("")), PartDelta(1, "Half "),
    ]  # fmt: skip
    begun = continuation.read(MESSAGES, sent_of(MESSAGES, events))
    question = Message(role=Role.USER, parts=(Text("What?"),))
    before = Conversation(origin=WireFormat.OPENAI_CHAT, model="m", messages=(question,))
    messages = continuation.asked(before, begun, prefill).messages
    assert messages[:2] == (question, Message(role=Role.ASSISTANT, parts=(Text("Half" if prefill else "Half "),)))
    assert [message.role for message in messages[2:]] == ([] if prefill else [Role.USER])
    assert b"Half" in CHAT.encode_request(continuation.asked(before, begun, prefill)).body
