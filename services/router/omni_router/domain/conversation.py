"""Which conversation a request goes on with, and what of it a provider keeps ready: its prompt cache."""

import hashlib
import re
from array import array
from typing import Any

import msgspec
from omni_wire.body import Body
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

# How long a prompt cache is taken to hold. Anthropic's lives for 5 minutes from its last use, OpenAI's for 5 to 10
# (docs.anthropic.com and platform.openai.com, prompt caching).
WARM_FOR = 300.0

_TURNS = {WireFormat.OPENAI_RESPONSES: "input", WireFormat.GEMINI_GENERATE: "contents"}
_BEFORE_TURNS = ("system", "instructions", "systemInstruction", "system_instruction", "tools")
# How nearly all begin that are no instruction: to see it takes no reading.
_USERS = (b'{"role":"user",', b'{"role": "user",')
_INSTRUCTIONS = ("system", "developer")
# They move on from turn to turn, and what they mark stays the same.
_MARKS = re.compile(rb',\s*"cache_control"\s*:\s*\{[^{}]*\}|"cache_control"\s*:\s*\{[^{}]*\}\s*,?')
# Where nothing is kept unless the client marks it, and what is kept is told.
_MARKED = frozenset({WireFormat.ANTHROPIC_MESSAGES, WireFormat.BEDROCK_CONVERSE})


class Size(msgspec.Struct, frozen=True):
    """Tokens that a request is expected to take; ``marked`` is whether it says what of it shall be kept ready."""

    input: int
    output: int
    marked: bool = False


def fingerprint(client_format: WireFormat, body: Body, key_id: str, model: str, *, marked: bool) -> str:
    """The same for all requests of one conversation: made of what each repeats from its first, which is what a prompt
    cache holds too. That is the tools, the instructions and the first turn, or the client's own ``prompt_cache_key``.

    Those of two keys, or of two requested ids, are never the same. ``marked`` is what ``is_marked`` says of the body.
    """
    told = body.raw("prompt_cache_key")
    if told not in (b"", b"null"):
        parts = [told]
    else:
        known = not body.names.isdisjoint(_BEFORE_TURNS)
        parts = [*(map(body.raw, _BEFORE_TURNS) if known else ()), *_opening(client_format, body)]
    if marked:
        parts = [_MARKS.sub(b"", part) for part in parts]
    parts += key_id.encode(), model.encode("utf-8", "surrogatepass")
    lengths = array("Q", (len(parts), *map(len, parts))).tobytes()
    return hashlib.sha256(b"".join((lengths, *parts))).hexdigest()[:32]


def _opening(client_format: WireFormat, body: Body) -> list[bytes]:
    """The first turns, up to the first that is no instruction."""
    raw = body.raw(_TURNS.get(client_format, "messages"))
    try:
        turns = _turns(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [raw]  # one text, or nothing that has turns
    found: list[bytes] = []
    for turn in turns:
        found.append(bytes(turn))
        if found[-1].startswith(_USERS) or _role(found[-1]) not in _INSTRUCTIONS:
            break
    return found


def _role(turn: bytes) -> Any:
    try:
        return _turn(turn).role
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class _Turn(msgspec.Struct):
    role: Any = None


_turns = msgspec.json.Decoder(list[msgspec.Raw]).decode
_turn = msgspec.json.Decoder(_Turn).decode


def expected(provider_format: WireFormat, size: Size, warm: int) -> tuple[int, int]:
    """Tokens of the input of a request of that size that are likely to be read from a prompt cache, and to be written
    to it, where ``warm`` tokens of its conversation are kept ready."""
    cached = min(warm, size.input)
    return cached, size.input - cached if size.marked and provider_format in _MARKED else 0


def is_marked(body: Body) -> bool:
    """Whether a client marks what is to be kept."""
    return b'"cache_control"' in body.whole


def kept(provider_format: WireFormat, usage: Usage) -> int:
    """Tokens of a request that the provider's prompt cache holds after it."""
    if provider_format in _MARKED:
        return usage.cached_input_tokens + usage.cache_write_tokens
    return usage.input_tokens
