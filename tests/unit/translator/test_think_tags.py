"""Thoughts between tags, taken out of text: however it is cut, and nothing else of it."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from omni_catalogue.rules import AnswerRules
from omni_translator.domain.events import (
    Event,
    Finished,
    OfChoice,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    check,
    fold,
    unfold,
)
from omni_translator.domain.model import Choice, FinishReason, Reasoning, Response, Text, ToolCall
from omni_translator.domain.rules.chat_filter import ChatFilter
from omni_translator.domain.rules.think_tags import Splitter, ThinkingApart, split_response
from omni_wire.formats import WireFormat

CHAT = WireFormat.OPENAI_CHAT
WORDS = st.sampled_from(
    ["<think>", "</think>", "<thinking>", "</thinking>", "<thought>", "</internal_thought>", "<internal_thought>",
     "<", "</", "<thi", "think>", "\n", "\n\n", " ", "a", "über", "😀", "<b>", "2 < 3"]
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=14).map("".join)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


def split(pieces: list[str]) -> tuple[str, str]:
    splitter = Splitter()
    told = [piece for text in pieces for piece in splitter.feed(text)] + splitter.end()
    return "".join(t for inside, t in told if inside), "".join(t for inside, t in told if not inside)


@given(TEXTS, st.lists(st.integers(0, 200), max_size=6))
def test_where_a_text_is_cut_changes_nothing(text: str, places: list[int]) -> None:
    assert split(cut(text, places)) == split([text])


@pytest.mark.parametrize(
    "text", ["<think>\nI ponder <b>.\n</think>\n\nIt is <b>4</b>.", "a</think>b<think", "<think>\n\n</think>\n\nhi"]
)
def test_every_single_cut_of_a_text_gives_the_same(text: str) -> None:
    whole = split([text])
    assert all(split([text[:at], text[at:]]) == whole for at in range(len(text) + 1))
    assert split(list(text)) == whole


@given(st.text(alphabet=st.characters(exclude_characters="<"), max_size=40), st.lists(st.integers(0, 99), max_size=5))
def test_text_without_a_tag_comes_out_as_it_went_in(text: str, places: list[int]) -> None:
    assert split(cut(text, places)) == ("", text)


@given(TEXTS)
def test_nothing_is_lost_but_tags_and_line_ends(text: str) -> None:
    def letters(said: str) -> str:
        for name in ("internal_thought", "thinking", "thought", "think"):
            said = said.replace(f"<{name}>", "").replace(f"</{name}>", "")
        return "".join(sorted(said.replace("\n", "")))

    if "<thi<" not in text and "</<" not in text and "<<" not in text:  # taking a tag out makes no new one here
        thought, content = split([text])
        apart = "".join(sorted(letters(thought) + letters(content)))  # together they may look like a tag again
        assert apart == letters(text) or "</" in thought + content


@pytest.mark.parametrize(
    ("text", "thought", "content"),
    [
        ("<think>\nhm\n</think>\n\nyes", "hm", "yes"),
        ("<think>a</think>x<thinking>b</thinking>y", "ab", "xy"),
        ("<think>a</think>\n<think>b</think>\nz", "a\n\nb", "z"),
        ("<think>never closed\n</thin", "never closed\n</thin", ""),
        ("<think>all of it</think>", "all of it", ""),
        ("<think>\n\n</think>\n\nno thought", "", "no thought"),
        ("a < b and <b>bold</b>\n", "", "a < b and <b>bold</b>\n"),
        ("<think>a </thinking> b</think>c", "a </thinking> b", "c"),
        ("<internal_thought>deep</internal_thought>!", "deep", "!"),
        ("stray </think> stays", "", "stray </think> stays"),
        ("text\n\n<think>x</think>\n\nmore", "x", "text\n\n\n\nmore"),
    ],
)
def test_what_is_thought_and_what_is_said(text: str, thought: str, content: str) -> None:
    assert split([text]) == (thought, content)


# ---- over events ----------------------------------------------------------------------------------------------------


def answer(*parts: Any) -> Response:
    return Response(origin=CHAT, id="1", model="m", parts=parts, finish=FinishReason.STOP)


def through(events: list[Event]) -> list[Event]:
    apart = ThinkingApart()
    return [told for event in events for told in apart.see(event)]


def recut(response: Response, places: list[int]) -> list[Event]:
    return [
        piece
        for event in unfold(response)
        for piece in ([PartDelta(event.index, text) for text in cut(event.text, places) if text]
                      if isinstance(event, PartDelta) else [event])
    ]  # fmt: skip


@given(TEXTS, TEXTS, st.lists(st.integers(0, 99), max_size=5))
def test_a_stream_and_the_whole_answer_say_the_same(one: str, two: str, places: list[int]) -> None:
    response = answer(Text(one), ToolCall(id="c", name="f", arguments="{}"), Text(two))
    events = through(recut(response, places))
    assert check(events) == "finished"
    told, whole = fold(events), split_response(response)
    assert [(type(part), getattr(part, "text", "")) for part in told.parts if getattr(part, "text", "x")] == [
        (type(part), getattr(part, "text", "")) for part in whole.parts if getattr(part, "text", "x")
    ]


def test_a_thought_becomes_a_part_of_its_own_and_the_parts_after_it_move() -> None:
    events = through([
        Started(CHAT, "1", "m"), PartStarted(0, Text("")), PartDelta(0, "<thi"), PartDelta(0, "nk>hm</think>yes"),
        PartEnded(0), PartStarted(1, ToolCall(id="c", name="f")), PartDelta(1, "{}"), PartEnded(1),
        Finished(FinishReason.TOOL_CALLS),
    ])  # fmt: skip
    assert fold(events).parts == (
        Reasoning(text="hm", origin=CHAT), Text("yes"), ToolCall(id="c", name="f", arguments="{}")
    )  # fmt: skip


def test_tags_are_text_where_the_provider_tells_its_thoughts_itself() -> None:
    response = answer(Reasoning(text="hm", origin=CHAT), Text("write <think> in your template"))
    assert split_response(response) is response
    assert fold(through(list(unfold(response)))) == response


def test_an_answer_without_tags_is_left_alone() -> None:
    response = answer(Text("a < b"), Text(""), ToolCall(id="c", name="f"))
    assert split_response(response) is response
    assert fold(through(list(unfold(response)))) == response


CITED = {"type": "url_citation", "url": "https://a.example", "title": "A"}


def notes(start: int, end: int) -> dict[str, Any]:
    return {"annotations": [CITED | {"start_index": start, "end_index": end}]}


def test_every_choice_has_its_thoughts_taken_out() -> None:
    other = Choice(parts=(Text("<think>b</think>two"), Text("<thi")), finish=FinishReason.STOP)
    response = msgspec.structs.replace(answer(Text("<think>a</think>one")), others=(other,))
    events = through(recut(response, [3, 5, 9]))
    assert check(events) == "finished"
    assert fold(events) == split_response(response)
    assert fold(events).parts == (Reasoning(text="a", origin=CHAT), Text("one"))
    assert [choice.parts for choice in fold(events).others] == [
        (Reasoning(text="b", origin=CHAT), Text("two"), Text("<thi"))
    ]


def test_a_choice_that_tells_its_thoughts_itself_leaves_the_tags_of_another_to_be_read() -> None:
    other = Choice(parts=(Reasoning(text="hm", origin=CHAT), Text("a <think>tag")), finish=FinishReason.STOP)
    response = msgspec.structs.replace(answer(Text("<think>a</think>one")), others=(other,))
    told = fold(through(list(unfold(response))))
    assert told == split_response(response)
    assert told.parts[0] == Reasoning(text="a", origin=CHAT)
    assert told.others == (other,)


@pytest.mark.parametrize("choice", [0, 1])
def test_a_citation_stays_at_its_words_when_a_thought_before_them_goes(choice: int) -> None:
    said = "<think>where?</think>\n\nIt is in Bern [1]."
    start = said.index("Bern")
    cited = Text(said, extra=notes(start, start + 4))
    first = answer(*([cited] if choice == 0 else [Text("no")]))
    others = (Choice(parts=(cited,), finish=FinishReason.STOP),) if choice else ()
    response = msgspec.structs.replace(first, others=others)
    streamed: list[Event] = [
        Started(CHAT, "1", "m"), *(
            OfChoice(1, event) if choice else event
            for event in (PartStarted(0, Text("")), PartDelta(0, said), PartEnded(0, extra=notes(start, start + 4)))
        ), Finished(FinishReason.STOP)
    ]  # fmt: skip
    for told in (split_response(response), fold(through(streamed))):
        parts = told.others[0].parts if choice else told.parts
        text = parts[-1]
        assert isinstance(text, Text)
        place = text.extra["annotations"][0]
        assert text.text[place["start_index"] : place["end_index"]] == "Bern"


@given(TEXTS, st.lists(st.integers(0, 99), max_size=5), st.integers(0, 90))
def test_a_place_in_what_is_said_is_found_again_however_the_text_is_cut(text: str, places: list[int], at: int) -> None:
    marked = text[:at] + "§" + text[at:]
    splitter = Splitter()
    told = [piece for part in cut(marked, places) for piece in splitter.feed(part)] + splitter.end()
    content = "".join(said for inside, said in told if not inside)
    if "§" in content:
        assert content[splitter.place(min(at, len(text)))] == "§"
    assert splitter.length == len(content)


# ---- over Chat's own bytes ------------------------------------------------------------------------------------------


def chunk(index: int = 0, finish: str | None = None, **delta: Any) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "x", "odd": 1, "choices": [choice]}).encode() + b"\n\n"


def read(stream: bytes) -> dict[int, tuple[str, str]]:
    told: dict[int, tuple[str, str]] = {}
    for line in stream.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                thought, content = told.get(choice["index"], ("", ""))
                delta = choice["delta"]
                told[choice["index"]] = (
                    thought + (delta.get("reasoning_content") or ""), content + (delta.get("content") or "")
                )  # fmt: skip
    return told


def relay(stream: bytes, places: list[int] = []) -> bytes:  # noqa: B006 - never written to
    filtered = ChatFilter(AnswerRules(think_tags=True))
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    out = b"".join(filtered.feed(stream[a:b]) for a, b in pairwise(edges))
    return out + filtered.end()


@given(st.lists(TEXTS, max_size=5), st.lists(st.integers(0, 2000), max_size=4), st.booleans())
@example(["think>", "<think></think>\n"], [], False)
def test_a_relayed_stream_says_what_the_whole_text_would(texts: list[str], places: list[int], ended: bool) -> None:
    stream = b"".join(chunk(content=text) for text in texts)
    stream += (chunk(finish="stop") if ended else b"") + b"data: [DONE]\n\n"
    thought, content = read(relay(stream, places)).get(0, ("", ""))
    wanted = split(["".join(texts)])
    assert (thought.replace("\n", ""), content) == (wanted[0].replace("\n", ""), wanted[1])


def test_events_without_tags_keep_their_very_bytes() -> None:
    stream = chunk(role="assistant", content="") + chunk(content="plain, and 2 > 1") + b": odd comment\n\n"
    stream += b'data: {"error": {"message": "<think>"}}\n\n' + chunk(finish="stop") + b"data: [DONE]\n\n"
    assert relay(stream) == stream


@pytest.mark.parametrize("sign", [b"\\u003c", b"\\u003C"])
def test_a_tag_whose_sign_is_an_escape_is_a_tag_in_mid_answer_too(sign: bytes) -> None:
    texts = ["It is ", "<think>", "or is it", "</think>", "4."]
    stream = b"".join(chunk(content=text) for text in texts) + chunk(finish="stop") + b"data: [DONE]\n\n"
    assert read(relay(stream.replace(b"<", sign))) == read(relay(stream)) == {0: ("or is it", "It is 4.")}


def test_only_the_events_that_hold_tags_are_written_anew_and_keep_what_else_they_say() -> None:
    first, last = chunk(content="<think>hm</think>\n"), chunk(content="done")
    out = relay(first + last)
    assert out.endswith(last)
    assert json.loads(out[6 : out.index(b"\n")])["odd"] == 1


def test_each_choice_has_its_own_thoughts() -> None:
    stream = chunk(0, content="<think>a") + chunk(1, content="one") + chunk(0, content="</think>zero")
    assert read(relay(stream)) == {0: ("a", "zero"), 1: ("", "one")}


@pytest.mark.parametrize("whole", [True, False])
def test_a_relayed_citation_stays_at_its_words_when_a_thought_before_them_goes(whole: bool) -> None:
    said = "<think>where?</think>\n\nIt is in Bern."
    start = said.index("Bern")
    note = {
        "type": "url_citation",
        "url_citation": {"url": "https://a.example", "start_index": start, "end_index": start + 4},
    }
    if whole:
        message = {"role": "assistant", "content": said, "annotations": [note]}
        body = json.dumps({"choices": [{"index": 0, "message": message}]}).encode()
        told = json.loads(ChatFilter(AnswerRules(think_tags=True)).whole(body))["choices"][0]["message"]
    else:
        events = relay(chunk(content=said[:12]) + chunk(content=said[12:]) + chunk(annotations=[note])).split(b"\n\n")
        told = json.loads(events[-2][6:])["choices"][0]["delta"] | {"content": "It is in Bern."}
    place = told["annotations"][0]["url_citation"]
    assert told["content"][place["start_index"] : place["end_index"]] == "Bern"


def test_two_thoughts_parted_by_text_have_a_blank_line_between() -> None:
    stream = chunk(content="<think>a</think>x") + chunk(content="<think>b</think>y")
    assert read(relay(stream)) == {0: ("a\n\nb", "xy")}


def test_a_whole_answer_of_thought_alone_keeps_it() -> None:
    body = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": "<think>hm"}}], "x": 1})
    told = json.loads(ChatFilter(AnswerRules(think_tags=True)).whole(body.encode()))
    assert told == {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "", "reasoning_content": "hm"}}], "x": 1
    }  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"no JSON", b"[]", b'{"choices": 5}', b'{"choices":[7,{"message":"x"}]}'])
def test_what_cannot_be_read_is_passed_on(body: bytes) -> None:
    assert ChatFilter(AnswerRules(think_tags=True, sanitize=False)).whole(body) == body


def test_what_is_known_of_a_text_besides_its_words_stands_once_behind_its_last() -> None:
    signed = Text("<think>a</think>b <think>c</think>d", extra={"thoughtSignature": "c2ln"})
    found = split_response(answer(signed))
    assert [(part.text, part.extra) for part in found.parts if isinstance(part, Text)] == [
        ("b ", {}), ("d", {"thoughtSignature": "c2ln"}),
    ]  # fmt: skip
    unclosed = Text("a <think>c", extra={"thoughtSignature": "c2ln"})
    found = split_response(answer(unclosed))
    assert not any(part.extra for part in found.parts if isinstance(part, Text | Reasoning))
