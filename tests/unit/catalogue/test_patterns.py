"""Patterns of a configuration: what is taken, what is refused, and that what is taken is never slow."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omni_catalogue.patterns import MAX_WIDTH, PatternError, compile_pattern


@pytest.mark.parametrize(
    ("written", "found", "not_found"),
    [
        (r"TKT-\d{6}", "see TKT-123456, please", "TKT-1234567"),
        (r"(?i)emp[_-]?[0-9]{4,6}", "EMP_12345", "tempo12345"),
        (r"[A-Z]{2}(?:-\d{2}){3}", "id AB-12-34-56.", "AB-12-34-567"),
        (r"(?:PAT|PID):?\d{5}", "PAT:12345", "PAT: 12345"),
        (r"café-\d{2}", "un café-12", "café-1"),
        (r"a\.b\[c", "(a.b[c)", "aXb[c"),
    ],
)
def test_a_pattern_finds_words_of_its_own(written: str, found: str, not_found: str) -> None:
    full = re.compile(compile_pattern(written).full)
    assert full.search(found)
    assert not full.search(not_found)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("(abc", r"has a '\(' that is not closed \(at character 1\)"),
        ("abc)", r"has a '\)' that nothing opens \(at character 4\)"),
        ("[a-", r"has a '\[' that is not closed"),
        ("[z-a]bc", "bad character range"),
        ("ab*c", r"repeats without an end; write \{0,64\} instead of \* \(at character 3\)"),
        (r"\w+@x", r"write \{1,64\} instead of \+"),
        ("^abc", "words of their own already"),
        ("(?=abc)abc", "looks around"),
        (r"(abc)\1", r"'\\1' is not known here"),
        (r"abc\b", r"'\\b' is not known here"),
        ("abc{2,1}", "a repetition is of 1 to 256"),
        ("abc{,3}", "a repetition is written"),
        ("abc||d", "has an empty choice"),
        ("(?:a{2}){3}{2}", "repeats a repetition"),
        ("ab", "fewer than 3"),
        ("a{1,200}b{1,200}", "may match 400 characters"),
        (r"\d{1,50}\d{1,50}\d{1,50}x", "is too slow"),
        ("(?:a{1,9}){2,9}b", "is too slow"),
        ("(?:a|aa){3,40}b", "is too slow"),
        ("(?:a{1,5}b?){3,10}c", "is too slow"),
        ("abc\\", r"ends with a lone '\\'"),
        ("x" * 201, "has more than 200 characters"),
        ("(?:" * 8 + "abc" + ")" * 8, "groups more than"),
    ],
)
def test_what_is_wrong_with_a_pattern_is_told_with_its_place(written: str, told: str) -> None:
    with pytest.raises(PatternError, match=told):
        compile_pattern(written)


_CHARS = st.sampled_from(("a", "b", "[ab]", r"\d", r"\w", "-", "."))
_TIMES = st.sampled_from(("", "?", "{2}", "{1,3}", "{0,20}", "{1,64}"))


@st.composite
def _written(draw: st.DrawFn, depth: int = 2) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        group = depth > 0 and draw(st.booleans())
        inner = (
            f"(?:{'|'.join(draw(st.lists(_written(depth - 1), min_size=1, max_size=2)))})" if group else draw(_CHARS)
        )
        parts.append(inner + draw(_TIMES))
    return "".join(parts)


_HOSTILE = ("a" * 4_000, "ab" * 2_000, "a-" * 2_000, "1" * 4_000, ("a" * 60 + "-") * 66, "aab" * 1_300 + "!")


@settings(max_examples=60, deadline=20_000)
@given(_written())
def test_no_pattern_that_is_taken_hangs_on_any_text(written: str) -> None:
    try:
        pattern = compile_pattern(written)
    except PatternError:
        return
    assert pattern.high <= MAX_WIDTH
    for text in _HOSTILE:
        for _ in re.finditer(pattern.full, text):
            pass
        re.search(pattern.partial, text[-MAX_WIDTH:])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_whatever_begins_a_match_is_held_back_as_one_that_may_come(data: st.DataObject) -> None:
    try:
        pattern = compile_pattern(data.draw(_written()))
    except PatternError:
        return
    text = data.draw(st.from_regex(pattern.full, fullmatch=False, alphabet="ab1-"))
    found = re.search(pattern.full, text)
    if found is None:
        return
    for end in range(found.start(), found.end()):
        partial = re.search(pattern.partial, text[:end])
        assert partial is not None
        assert partial.start() <= found.start()
