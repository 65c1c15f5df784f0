"""Masking of texts and of JSON that come in pieces, and turning marks back."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omni_catalogue.guards import KINDS
from omni_translator.domain.guards.detectors import detectors
from omni_translator.domain.guards.masking import JsonMasker, Restorer, TextMasker, mask_json, mask_text
from omni_translator.domain.guards.scanner import Mark, Marks, Scanner, Stretch

ALL = detectors(KINDS, (("ticket", r"(?i)TKT-\d{6}"),))
TELLING = (
    "jane.roe@example.com", "bob+news@mail.example.co.uk", "4111 1111 1111 1111", "4111111111111111",
    "3782-822463-10005",
    "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "536-90-4399", "529.982.247-25", "11.222.333/0001-81",
    "+49 30 1234567", "(415) 555-2671", "192.0.2.7", "2001:db8::ff00:42:8329", "TKT-123456",
    "sk-proj-abcdefghijklmnop1234567890", "AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabcd\n-----END RSA PRIVATE KEY-----",
)  # fmt: skip
PLAIN = (
    " ", ", ", ".", "\n", "mail ", "order 4111-22", "v1.2.3.4", "x@", "@", "[EMAIL_1]", "é", "-----BEGIN",
    "sk-learn", "eyJ",
    "+1", "12:34:56", "std::vector", "DE89", "1.2.3", "550e8400-e29b-41d4-a716-446655440000",
    "\\n", '"', "{", "\\", "😀",
)  # fmt: skip
texts = st.lists(st.sampled_from(TELLING + PLAIN) | st.text(max_size=6), max_size=12).map("".join)
cuts = st.lists(st.integers(0, 400), max_size=8)


def pieces(text: str, at: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut for cut in at if cut < len(text))})
    return [text[start:end] for start, end in pairwise(places)]


@settings(max_examples=300, deadline=None)
@given(texts, cuts)
def test_where_a_text_is_cut_changes_nothing(text: str, at: list[int]) -> None:
    marks, whole = Marks(), Marks()
    masker = TextMasker(ALL, marks)
    told = "".join([masker.feed(piece) for piece in pieces(text, at)]) + masker.end()
    assert told == mask_text(text, ALL, whole)
    assert marks.found == whole.found


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(TELLING), st.sampled_from(PLAIN), st.sampled_from((" ", ", ", "\n")))
def test_a_finding_is_masked_wherever_it_is_cut_in_two(telling: str, before: str, after: str) -> None:
    text = f"{before} {telling}{after}and so on"
    for cut in range(len(text) + 1):
        masker = TextMasker(ALL, Marks())
        told = masker.feed(text[:cut]) + masker.feed(text[cut:]) + masker.end()
        assert telling not in told
        assert told.endswith(f"{after}and so on")


@settings(max_examples=200, deadline=None)
@given(texts, cuts)
def test_no_more_is_held_back_than_a_match_may_need(text: str, at: list[int]) -> None:
    scanner = Scanner(ALL, Marks())
    for piece in pieces(text, at):
        scanner.feed(piece)
        assert scanner.held <= 256


@pytest.mark.parametrize(
    "text", ["Hello, world. ", "It costs 5 euros, 10 at most!\n", "a list:\n- one\n- two\n", "naïve 漢字 "]
)
def test_words_that_cannot_become_a_finding_go_out_at_once(text: str) -> None:
    masker = TextMasker(ALL, Marks())
    assert masker.feed(text) == text


@given(st.text(alphabet="abc xyz,;!?\n\t漢é", max_size=200), cuts)
def test_a_text_with_nothing_to_find_comes_out_as_it_went_in(text: str, at: list[int]) -> None:
    masker = TextMasker(ALL, Marks())
    assert "".join([masker.feed(piece) for piece in pieces(text, at)]) + masker.end() == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from((4111111111111111, 1.5)) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(json_values, cuts, st.booleans(), st.sampled_from((None, 2)))
def test_json_stays_json_however_it_is_written_and_cut(value: object, at: list[int], ascii_: bool, indent: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_, indent=indent)
    masker = JsonMasker(ALL, Marks())
    told = "".join([masker.feed(piece) for piece in pieces(text, at)]) + masker.end()
    assert told == mask_json(text, ALL, Marks())
    json.loads(told)
    if mask_text(text, ALL, Marks()) == text and "\\" not in text:
        assert told == text


@given(texts)
def test_text_that_is_no_json_is_masked_and_never_lost(text: str) -> None:
    marks = Marks()
    told = mask_json(text, ALL, marks)
    if not marks.found:
        assert told == text


@settings(max_examples=200, deadline=None)
@given(texts, cuts)
def test_marks_turn_back_into_what_they_stand_for(text: str, at: list[int]) -> None:
    marks = Marks(taken=["[EMAIL_1]"])
    masked = mask_text(text, ALL, marks)
    restorer = Restorer({mark.token: mark.original for mark in marks.all()})
    assert "".join([restorer.feed(piece) for piece in pieces(masked, at)]) + restorer.end() == text


def test_json_is_found_in_behind_its_escapes_and_keeps_its_spelling() -> None:
    written = r'{"to": "Jane\n\u006aane.roe\u0040example.com", "caf\u00e9": 4111111111111111, "n": 5}'
    masked = mask_json(written, ALL, Marks())
    assert masked == r'{"to": "Jane\n[EMAIL_1]", "caf\u00e9": "[CARD_1]", "n": 5}'


def test_what_is_said_again_has_the_same_mark_and_what_comes_later_the_next_number() -> None:
    marks = Marks()
    assert mask_text("a@example.com b@example.com", ALL, marks) == "[EMAIL_1] [EMAIL_2]"
    assert mask_text("b@example.com c@example.com", ALL, marks) == "[EMAIL_2] [EMAIL_3]"
    later = Marks(marks.all())
    assert mask_text("a@example.com d@example.com", ALL, later) == "[EMAIL_1] [EMAIL_4]"


def test_a_mark_never_shows_what_it_stands_for() -> None:
    assert "jane" not in repr(Mark("[EMAIL_1]", "jane@example.com"))


def test_a_key_that_never_ends_is_masked_as_far_as_one_may_go() -> None:
    masked = mask_text("sk-proj-" + "a1" * 10_000, ALL, Marks())
    assert masked.startswith("[SECRET_1]a1")


def test_a_string_is_searched_once_however_many_escapes_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[str] = []
    feed = Scanner.feed

    def counted(scanner: Scanner, text: str) -> list[Stretch]:
        fed.append(text)
        return feed(scanner, text)

    monkeypatch.setattr(Scanner, "feed", counted)
    code = 'def f():\n    return "jane.roe@example.com"\n' * 50
    masked = json.loads(mask_json(json.dumps({"code": code}), ALL, Marks()))
    assert masked == {"code": code.replace("jane.roe@example.com", "[EMAIL_1]")}
    assert fed == ["code", code]


def test_only_marks_of_the_request_turn_back_and_what_may_become_one_waits_for_its_end() -> None:
    restorer = Restorer({f"[EMAIL_{number}]": f"{number}@example.com" for number in range(1, 20_001)})
    assert restorer.feed("a[0] [X_1] [EMAIL_20001] [EMAIL_2] [EMAIL_200") == "a[0] [X_1] [EMAIL_20001] 2@example.com "
    assert restorer.feed("00] [email") == "20000@example.com [email"
    assert (restorer.feed(" [EMAIL_1"), restorer.end(), restorer.restored) == (" ", "[EMAIL_1", 2)
