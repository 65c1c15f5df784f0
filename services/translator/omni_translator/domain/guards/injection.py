"""Attempts to turn a model against its operator, found by rules over the words of a request.

What is looked at is what comes from outside: a user's parts, documents, and results of tools, in which others than the
user may speak. Before the rules see a text it is made plain: characters that show as others or as nothing are undone,
as are letters with gaps between them, and what is written in base64 is looked at too. Every rule is linear in its text
(no repetition without a bound), and no more than ``MOST`` characters of a text and ``MOST_OF_ALL`` of a request are
looked at, the newest messages first.

A phrase between quotation marks, in a text that is about such phrases, counts as medium whatever its rule.
"""

import base64
import binascii
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec
from omni_catalogue.guards import BLOCK, MEDIUM, OFF, REPORT, SEVERITIES, RequestGuards, action

from omni_translator.domain.guards.injection_rules import RULES
from omni_translator.domain.model import Conversation, Document, Part, Role, Text, ToolResult

MOST: Final = 64 * 1024
MOST_OF_ALL: Final = 256 * 1024
_HEAD: Final = 48 * 1024  # of a text that is longer; the rest is taken from its end
_BLOBS: Final = 8
_BLOB: Final = 8 * 1024

# Letters of other alphabets that show as ours (Unicode's confusables, the common ones).
_SHOWS_AS: Final = str.maketrans(
    "аеорсухіјѕԁһԛԝɡВЕКМНОРСТХАІЅЈαεικνορτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ’‘“”‐‑–—",
    "aeopcyxijsdhqwgBEKMHOPCTXAISJaeiknoptuxABEZHIKMNOPTYX''\"\"----",
)
_LEET: Final = str.maketrans("0134578@$", "oieastbas")
_TAGS: Final = range(0xE0020, 0xE007F)  # characters that show as nothing and mean ASCII
_SPREAD: Final = re.compile(r"(?<!\w)(?:[A-Za-z][ .\-_*]){4}[A-Za-z](?!\w)")  # l i k e this
_GAP: Final = re.compile(r"(?<=\b[A-Za-z])[ .\-_*](?=[A-Za-z]\b)")
_MIXED: Final = re.compile(r"(?<!\w)(?=[a-z0-9@$]{0,20}[a-z])[a-z0-9@$]{3,24}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{24,8192}={0,2}")
_MARKUP: Final = str.maketrans("", "", "*`~")
_SPACES: Final = re.compile(r"[^\S\n]{1,200}")
_QUOTES: Final = {'"': '"', "'": "'", "«": "»", "„": '"', "(": ")"}
_ABOUT: Final = re.compile(
    r"\b(?:prompt[\s-]injections?|injection\s(?:attack|attempt)s?|jailbreak(?:s|ing)?\s(?:attack|attempt|prompt|technique)s?|"
    r"red[\s-]team(?:ing)?|classif(?:y|ier|ication)|detect(?:s|or|ion|ing)?|guardrails?|phrases?\s(?:like|such)|"
    r"for\sexample|e\.g\.|such\sas|attack(?:er)?s?\s|explain|what\sdoes|the\sphrase|unit\stests?|regex|filter\sfor|"
    r"translate|security|defen[cd])"
)


class Found(msgspec.Struct, frozen=True):
    """``action`` is "report" or "block"."""

    rule: str
    action: str
    count: int


def inspect(conversation: Conversation, guards: RequestGuards) -> tuple[Found, ...]:
    own = dict(guards.rules)
    seen: Counter[tuple[str, str]] = Counter()
    left = MOST_OF_ALL
    for text in _outside(conversation):
        for rule, quoted in _rules_in(text[:left]):
            done = action(guards.injection, rule, own)
            if done != OFF:
                done = REPORT if quoted and rule not in own else done
                seen[rule, done] += 1
        left -= len(text)
        if left <= 0:
            break
    return tuple(Found(rule, done, count) for (rule, done), count in sorted(seen.items()))


def blocks(found: tuple[Found, ...]) -> tuple[str, ...]:
    return tuple(each.rule for each in found if each.action == BLOCK)


def rules_in(text: str) -> frozenset[str]:
    """The names of what is found, whatever it is between."""
    return frozenset(rule for rule, _ in _rules_in(text))


def grave(text: str) -> bool:
    """Whether ``block`` would refuse it."""
    return any(not quoted and SEVERITIES[rule] != MEDIUM for rule, quoted in _rules_in(text))


def _outside(conversation: Conversation) -> Iterator[str]:
    for message in reversed(conversation.messages):
        if message.role is Role.USER:
            for part in message.parts:
                yield from _texts(part)


def _texts(part: Part) -> Iterator[str]:
    match part:
        case Text() | Document() if part.text:
            yield part.text if len(part.text) <= MOST else part.text[:_HEAD] + part.text[-(MOST - _HEAD) :]
        case ToolResult():
            for inner in part.parts:
                yield from _texts(inner)


def _rules_in(text: str) -> list[tuple[str, bool]]:
    """Each rule that finds something, once, and whether all that it finds is only quoted."""
    plain, hidden = _plain(text)
    found = _found(plain)
    leet = _MIXED.sub(lambda word: word[0].translate(_LEET), plain)
    if leet != plain:
        for rule, quoted in _found(leet).items():
            found.setdefault(rule, quoted)
    for inner in (*_decoded(text), hidden):
        inside = _found(_plain(inner)[0]) if inner else {}
        if inside:
            found["encoding_evasion"] = False
            found.update(dict.fromkeys(inside, False))
    return sorted(found.items())


def _found(plain: str) -> dict[str, bool]:
    found: dict[str, bool] = {}
    about = None
    for rule, pattern in RULES:
        for match in pattern.finditer(plain):
            if about is None:
                about = _ABOUT.search(plain) is not None
            quoted = about and _is_quoted(plain, match.start(), match.end())
            found[rule] = found.get(rule, True) and quoted
            if not quoted:
                break
    return found


def _plain(text: str) -> tuple[str, str]:
    """``text`` as it shows, in small letters; and what in it does not show and is text all the same."""
    hidden = ""
    if not text.isascii():
        hidden = "".join(chr(ord(char) - 0xE0000) for char in text if ord(char) in _TAGS)
        text = unicodedata.normalize("NFKC", text).translate(_SHOWS_AS)
        text = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Mn"))
    if _SPREAD.search(text) is not None:
        text = _GAP.sub("", text)
    return _SPACES.sub(" ", text.translate(_MARKUP)).lower(), hidden


def _decoded(text: str) -> Iterator[str]:
    for number, found in enumerate(_BASE64.finditer(text)):
        if number == _BLOBS:
            return
        blob = found[0][:_BLOB].rstrip("=").translate(str.maketrans("-_", "+/"))
        blob = blob[: len(blob) - (len(blob) % 4 == 1)]
        try:
            told = base64.b64decode(blob + "=" * (-len(blob) % 4), validate=True).decode("utf-8", "strict")
        except (binascii.Error, UnicodeDecodeError):
            continue
        if told.isprintable() or "\n" in told:
            yield told


def _is_quoted(text: str, start: int, end: int) -> bool:
    """Whether a quotation opens shortly before and closes after, on the same line."""
    line = text.rfind("\n", 0, start) + 1
    before = text[max(line, start - 60) : start]
    after = text[end : end + 120].partition("\n")[0]
    return any(opening in before and closing in after for opening, closing in _QUOTES.items() if opening != "'") or (
        before.endswith("'") and "'" in after
    )
