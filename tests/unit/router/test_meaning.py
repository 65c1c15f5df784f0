"""What may be compared by meaning: pure decisions."""

import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain import meaning
from omni_router.domain.meaning import MAX_TEXT, last_turn, marks
from omni_wire.formats import WireFormat

CHAT, RESPONSES, MESSAGES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES, WireFormat.ANTHROPIC_MESSAGES
GEMINI, OLLAMA = WireFormat.GEMINI_GENERATE, WireFormat.OLLAMA_CHAT
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content} | more


@pytest.mark.parametrize(
    ("client_format", "said", "text"),
    [
        (CHAT, {"messages": [user("first"), {"role": "assistant", "content": "x"}, user("last")]}, "last"),
        (
            CHAT,
            {"messages": [user([{"type": "text", "text": "this"}, {"type": "text", "text": "that"}])]},
            "this\nthat",
        ),
        (MESSAGES, {"messages": [user([{"type": "text", "text": "just this", "cache_control": {}}])]}, "just this"),
        (RESPONSES, {"input": "just words"}, "just words"),
        (RESPONSES, {"input": [user([{"type": "input_text", "text": "just this"}], type="message")]}, "just this"),
        (GEMINI, {"contents": [{"parts": [{"text": "just this"}]}]}, "just this"),
        (GEMINI, {"contents": {"role": "user", "parts": {"text": "just this"}}}, "just this"),
        (OLLAMA, {"messages": [user("just this", images=[])]}, "just this"),
    ],
)
def test_the_text_of_the_last_turn_is_told_from_the_rest(
    client_format: WireFormat, said: dict[str, Any], text: str
) -> None:
    turn = last_turn(client_format, said)
    assert turn is not None
    assert turn.text == text
    assert text not in str(turn.rest)


@pytest.mark.parametrize(
    ("client_format", "said"),
    [
        (CHAT, {"messages": [user("a"), {"role": "assistant", "content": "b"}]}),
        (CHAT, {"messages": [user([{"type": "text", "text": "a"}, IMAGE])]}),
        (CHAT, {"messages": [{"role": "tool", "tool_call_id": "1", "content": "a"}]}),
        (CHAT, {"messages": [user(" ")]}),
        (CHAT, {"messages": [user("a" * (MAX_TEXT + 1))]}),
        (CHAT, {"messages": [user([])]}),
        (CHAT, {"messages": [user(None)]}),
        (CHAT, {"messages": []}),
        (CHAT, {}),
        (CHAT, {"messages": [7]}),
        (MESSAGES, {"messages": [user([{"type": "tool_result", "tool_use_id": "1", "content": "a"}])]}),
        (RESPONSES, {"input": [{"type": "function_call_output", "call_id": "1", "output": "a"}]}),
        (RESPONSES, {"input": [user([{"type": "input_file", "text": "a"}])]}),
        (GEMINI, {"contents": [{"parts": [{"text": "a"}, {"inlineData": {"data": "AA=="}}]}]}),
        (GEMINI, {"contents": [{"parts": [{"text": "a", "thought": True}]}]}),
        (OLLAMA, {"messages": [user("a", images=["AA=="])]}),
    ],
)
def test_what_is_not_a_users_text_alone_is_not_compared(client_format: WireFormat, said: dict[str, Any]) -> None:
    assert last_turn(client_format, said) is None


def test_another_shape_of_the_same_words_is_another_rest() -> None:
    plain, parts = (last_turn(CHAT, {"messages": [user(it)]}) for it in ("a", [{"type": "text", "text": "a"}]))
    assert plain is not None
    assert parts is not None
    assert plain.rest != parts.rest


# ---- marks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I reset my password?", "how can i reset  the password"),
        ("Isn't that too much for 3 people?", "That is not too much for three people, is it?"),
        ("Explain `a_b` to me", "to me explain `a_b`!"),
        ("Add 2 and 3 for Ann", "for Ann: what are 2 and 3 together?"),
        ("What does getFoo do?", "Say what getFoo does."),
    ],
)
def test_other_words_that_may_mean_the_same_have_the_same_marks(one: str, other: str) -> None:
    assert marks(one) == marks(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is it safe?", "Is it not safe?"),
        ("It is safe", "It isn't safe"),
        ("with sugar", "without sugar"),
        ("Is 7 a prime?", "Is 9 a prime?"),
        ("two eggs", "three eggs"),
        ("Pay 10 USD", "Pay 10% USD"),
        ("on 2024-05-01", "on 2024-05-02"),
        ("1.5 litres", "15 litres"),
        ("Turn it on", "Turn it off"),
        ("Enable the flag", "Disable the flag"),
        ("What is `a`?", "What is `b`?"),
        ('What is "love"?', 'What is "hate"?'),
        ("Read /etc/hosts", "Read /etc/passwd"),
        ("Use GET here", "Use POST here"),
        ("call fooBar", "call fooBaz"),
        ("a < b", "a > b"),
        ("mail bob@example.com", "mail eve@example.com"),
        ("```x```", "```y```"),
        ("Ist das gut?", "Ist das nicht gut?"),
        ("both or none", "both and none"),
        ("10 divided by 2", "2 divided by 10"),
        ("Subtract five from 9", "Subtract 9 from five"),
        ("100 USD to EUR", "100 EUR to USD"),
        ("Rename foo_a to foo_b", "Rename foo_b to foo_a"),
        ("Translate from English to French", "Translate from French to English"),
        ("how far is Paris from London", "how far is Berlin from London"),
        ("Paris to London", "London to Paris"),
        ("not not good", "not good"),
    ],
)
def test_near_words_that_mean_another_thing_have_other_marks(one: str, other: str) -> None:
    assert marks(one) != marks(other)


PLAIN = st.text(string.ascii_lowercase, min_size=1, max_size=8).filter(lambda word: not any(marks(word)))
WORDS = st.lists(PLAIN, min_size=1, max_size=8)
MARKED = st.lists(st.sampled_from(["42", "7.5", "not", "off", "`x`", "a_b", "/tmp", "HTTP", "never"]), max_size=6)


@given(st.data(), WORDS, MARKED)
def test_the_words_around_marks_do_not_matter(data: st.DataObject, words: list[str], marked: list[str]) -> None:
    def said() -> str:
        places = sorted(data.draw(st.integers(0, len(words))) for _ in marked)
        left, told = list(data.draw(st.permutations(words))), list[str]()
        for place, mark in zip(places, marked, strict=True):
            told += [*left[: place - (len(words) - len(left))], mark]
            left = left[place - (len(words) - len(left)) :]
        return " ".join([*told, *left])

    assert marks(said()) == marks(said())


@given(WORDS, MARKED, st.sampled_from(["41", "nor", "off", "`y`", "b_a", "/dev", "FTP"]))
def test_one_mark_more_is_never_overlooked(words: list[str], marked: list[str], more: str) -> None:
    text = " ".join([*words, *marked])
    assert marks(f"{text} {more}") != marks(text)


@given(st.text(max_size=200))
def test_any_text_has_marks_that_are_its_own(text: str) -> None:
    assert marks(text) == marks(text)
    assert len(meaning.bucket("context", "acme/embed", text)) == 40


def test_contexts_and_models_of_vectors_have_buckets_of_their_own() -> None:
    names = {meaning.bucket(*each) for each in [("a", "m", "x"), ("b", "m", "x"), ("a", "n", "x"), ("a", "m", "x y")]}
    assert len(names) == 3
