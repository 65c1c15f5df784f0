"""Which requests may be answered with the answer to other words of the same meaning. Pure.

All of a request but the text of its last turn has to be the same, and of that text whatever a vector of its meaning
hardly shows: its numbers, what stands in quotes, names of code, and words that turn a sentence round. All this makes
the name of a bucket; only what is in the same bucket is compared by meaning.
"""

import hashlib
import re
import unicodedata
from typing import Any

import msgspec
from omni_wire.formats import WireFormat

# Characters of the text: what says more is a document, whose vector shows nothing of a sentence in it.
MAX_TEXT = 2_000

_encode = msgspec.json.Encoder(order="deterministic").encode


class Turn(msgspec.Struct, frozen=True):
    """``text`` is what the last turn says, ``rest`` the request without it."""

    text: str
    rest: dict[str, Any]


# By dialect: where its turns stand, where a turn's content does, and of what kind a part with text is.
_TURNS = {
    WireFormat.OPENAI_CHAT: ("messages", "content", "text"),
    WireFormat.OPENAI_RESPONSES: ("input", "content", "input_text"),
    WireFormat.ANTHROPIC_MESSAGES: ("messages", "content", "text"),
    WireFormat.GEMINI_GENERATE: ("contents", "parts", None),
    WireFormat.OLLAMA_CHAT: ("messages", "content", None),
}


def last_turn(client_format: WireFormat, said: dict[str, Any]) -> Turn | None:
    """None where the last turn is not the user's, or is not text alone (an image, a file, a tool's result), or has none
    or more than ``MAX_TEXT`` characters of it."""
    where, content, kind = _TURNS[client_format]
    turns = said.get(where)
    if isinstance(turns, str):  # Responses' short form
        return _turn(turns, said | {where: ""})
    listed = turns if isinstance(turns, list) else [turns]  # Gemini takes one without its list
    last = listed[-1] if listed else None
    if not isinstance(last, dict) or last.get("role", "user") != "user" or last.get("images"):
        return None
    if last.get("type", "message") != "message":
        return None
    found = _split(last.get(content), kind)
    if found is None:
        return None
    text, blank = found
    return _turn(text, said | {where: [*listed[:-1], last | {content: blank}]})


def _turn(text: str, rest: dict[str, Any]) -> Turn | None:
    return Turn(text, rest) if text.strip() and len(text) <= MAX_TEXT else None


def _split(content: Any, kind: str | None) -> tuple[str, Any] | None:
    """The text of a turn's content, and the content without it; None where there is anything but text."""
    if isinstance(content, str):
        return content, ""
    parts = content if isinstance(content, list) else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, dict) else None
        if not isinstance(text, str) or (kind is None and len(part) > 1) or (kind and part.get("type") != kind):
            return None
        texts.append(text)
    return "\n".join(texts), [part | {"text": ""} for part in parts]


# ---- what a vector hardly shows -------------------------------------------------------------------------------------

# They count as one word, so that "is not", "isn't" and "never" differ from none of them and not from each other.
_SAYS_NOT = (
    "not no never none neither nor cannot nobody nothing nowhere without non "
    "nicht kein keine keinen keiner keinem nie niemals ohne pas jamais sans aucun aucune ne rien "
    "nunca sin ningún ninguna nada não nem sem nessun nessuna senza mai niet geen nooit zonder не нет без никогда"
)
# Of two opposites one is enough: where only one of two texts has it, they differ.
_TURNS_ROUND = (
    "off out down after below under last less least fewer min minimum decrease decreases decreased decreasing "
    "reduce reduces reduced reducing disable disabled disables disabling deny denied denies remove removed removing "
    "delete deleted deleting stop stopped stopping close closed closing unlock false worst worse expensive slow slower "
    "slowest low lower lowest small smaller smallest old older oldest late later latest sell selling receive pull "
    "decode decrypt import uninstall disconnect exclude excluding negative different odd only except unless or"
)
_COUNTS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NOT, _TURNING = frozenset(_SAYS_NOT.split()), frozenset(_TURNS_ROUND.split())
_NUMBERS = {word: str(value) for value, word in enumerate(_COUNTS.split())} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80", "ninety": "90",
    "hundred": "100", "thousand": "1000", "million": "1000000", "billion": "1000000000", "half": "1/2",
    "quarter": "1/4", "dozen": "12", "once": "1x", "twice": "2x", "double": "2x", "triple": "3x",
}  # fmt: skip

_QUOTED = re.compile(
    r"```(.*?)```|`([^`]+)`|\"([^\"]+)\"|“([^“”]+)”|„([^“”]+)[“”]|«([^«»]+)»|(?<!\w)'([^']+)'(?!\w)", re.S
)
_NUMBER = re.compile(r"-?\d+(?:[.,:/-]?\d+)*%?")
_COUNTED = re.compile(rf"{_NUMBER.pattern}|\b(?:{'|'.join(_NUMBERS)})\b", re.IGNORECASE)
# What is no word of a sentence: with a sign in it, or capitals behind its first letter.
_SIGNS = re.compile(r"[_/\\@#$&|<>=+*^~{}\[\]()%€£]|[^\W\d]\.\w|::|--")
_CAPITALS = re.compile(r"\w[^\W\d_]*[A-Z]")
_EDGE = ".,;:!?…\"'“”„«»`()[]{}"
# With a capital, and not where a sentence begins.
_NAMED = re.compile(r"(?<=[^\s.!?:;…\"“„«(])\s+([A-Z][^\W\d_]*)")
_NO_NAMES = frozenset(("I",))
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def marks(text: str) -> list[list[str]]:
    """What two texts must have alike: numbers, what is quoted, names of code and of others, each in its order, which
    makes another question of "2 by 10" and "10 by 2"; and, in any order, words that turn a sentence round."""
    plain = unicodedata.normalize("NFKC", text)
    quoted = [next(filter(None, found)) for found in _QUOTED.findall(plain) if any(found)]
    codes = [bare for piece in plain.split() if (bare := piece.strip(_EDGE)) and _is_code(piece, bare)]
    words = [word.casefold().replace("’", "'") for word in _WORD.findall(plain)]
    numbers = [_NUMBERS.get(found.casefold(), found) for found in _COUNTED.findall(plain)]
    turning = ["not" if _is_not(word) else word for word in words if word in _TURNING or _is_not(word)]
    named = [name for name in _NAMED.findall(plain) if name not in _NO_NAMES and not _CAPITALS.search(name)]
    return [numbers, quoted, codes, named, sorted(turning)]


def _is_code(piece: str, bare: str) -> bool:
    return bool(_SIGNS.search(bare) or _CAPITALS.search(bare)) or piece.startswith(("--", "$", "/", "@", "#"))


def _is_not(word: str) -> bool:
    return word in _NOT or word.endswith("n't")


def bucket(context: str, embeddings: str, text: str) -> str:
    """What may be compared: ``context`` is the name of the request without the text, ``embeddings`` whose vectors."""
    return hashlib.sha256(_encode([context, embeddings, marks(text)])).hexdigest()[:40]
