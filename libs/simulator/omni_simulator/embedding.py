"""What the simulated model makes of a text's meaning: a pure function of its words.

A vector is the sum of those of the text's words, each word's being 16 of its dimensions, up or down, by a hash. Words
are without their endings, and a few stand for others of the same meaning; those that say little (articles, pronouns,
what questions are made of) count for nothing. So the same in other words is near (a cosine of 0.95 to 1) and another
question far (half of its words another: 0.5). As in real models, a "not" or another number hardly shows: here not at
all.
"""

import base64
import hashlib
import math
import re
import struct
from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest
from omni_wire.usage import Usage

from omni_simulator.brain import input_tokens
from omni_simulator.reading import compact
from omni_simulator.values import Ask

DIMENSIONS, MOST_DIMENSIONS, MOST_TEXTS = 256, 4096, 2048

_WORD = re.compile(r"[^\W\d_]+")
_EMPTY_WORDS = """a an the this that these those i me my we us our you your he him his she her it its they them their
    who whom whose which what when where why how is am are was were be been being do does did done doing have has had
    having will would shall should can could may might must of in on at by for with about to from into and or but if so
    as than then there here not no never none please tell say give way any some one just also very much many most more
    way want like need kindly explain let get got t s re ll ve d m"""
_SAME = """reset change recover restore|password passphrase passcode|begin start launch|end finish stop|large big huge
    |small little tiny|car automobile vehicle|buy purchase acquire|cost price fee|fast quick rapid|error mistake fault
    |remove delete erase|make create build|repair fix mend|show display present|answer reply respond|city town
    |film movie|child kid|doctor physician|happy glad"""
_ENDINGS = ("ings", "ing", "edly", "ed", "ies", "es", "ly", "s")


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word.removesuffix(ending)
            break
    return word.removesuffix("e") if len(word) > 3 else word


_EMPTY = frozenset(_EMPTY_WORDS.split())
_MEANT = {_stem(word): _stem(group.split()[0]) for group in _SAME.split("|") for word in group.split()}


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """At length 1."""
    said = [word for word in _WORD.findall(text.casefold()) if word not in _EMPTY]
    meant = [_MEANT.get(stem, stem) for stem in map(_stem, said)] or [f"\n{text}"]
    sums = [0.0] * dimensions
    for word in meant:
        digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=48).digest()
        for at in range(0, 48, 3):
            sums[int.from_bytes(digest[at : at + 2], "big") % dimensions] += 1.0 if digest[at + 2] & 1 else -1.0
    length = math.hypot(*sums) or 1.0
    return [each / length for each in sums]


class Wanted(msgspec.Struct, frozen=True):
    """A request for vectors of texts."""

    ask: Ask
    dimensions: int
    packed: bool


def read(body: dict[str, Any], seed: str) -> Wanted:
    """OpenAI's format (platform.openai.com/docs/api-reference/embeddings), but for tokens as input. Raises
    ``InvalidRequest``."""
    model, given = body.get("model"), body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(model, str) or not model:
        raise InvalidRequest("model must be a text", param="model")
    if not isinstance(texts, list) or not 0 < len(texts) <= MOST_TEXTS:
        raise InvalidRequest(f"input must be a text or a list of up to {MOST_TEXTS}", param="input")
    if not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest("input must be texts, and none of them empty", param="input")
    dimensions, kind = body.get("dimensions", DIMENSIONS), body.get("encoding_format", "float")
    if type(dimensions) is not int or not 1 <= dimensions <= MOST_DIMENSIONS:
        raise InvalidRequest(f"dimensions must be from 1 to {MOST_DIMENSIONS}", param="dimensions")
    if kind not in ("float", "base64"):
        raise InvalidRequest("encoding_format must be float or base64", param="encoding_format")
    ask = Ask(model=model, seed=seed, stream=False, texts=tuple(texts), last_user=texts[-1], media=0)
    return Wanted(ask, dimensions, kind == "base64")


def whole(wanted: Wanted, tokens: int | None) -> tuple[bytes, Usage]:
    """The answer, and what it takes: ``tokens``, or those of its texts."""
    found = [vector(text, wanted.dimensions) for text in wanted.ask.texts]
    data = [
        {"object": "embedding", "index": at, "embedding": _packed(each) if wanted.packed else each}
        for at, each in enumerate(found)
    ]
    used = input_tokens(wanted.ask) if tokens is None else tokens
    usage = {"prompt_tokens": used, "total_tokens": used}
    said = compact({"object": "list", "data": data, "model": wanted.ask.model, "usage": usage})
    return said.encode(), Usage(input_tokens=used)


def _packed(found: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(found)}f", *found)).decode()
