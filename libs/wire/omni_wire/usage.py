"""Token counts, in the one convention used behind the codecs."""

from collections.abc import Callable
from operator import add
from typing import Any

import msgspec

_MAX_DIGITS = 18
_MAX_FLOAT = 2.0**53  # up to here a float is exact


def count_of(value: Any) -> int:
    """A count, or an index, that a provider told; 0 for anything odd, which is no reason to lose its answer. Some write
    12 as 12.0, and protobuf's JSON reads "12" as well (protobuf.dev/programming-guides/json)."""
    if type(value) is int:
        return value if value > 0 else 0
    if type(value) is float:
        return int(value) if 0 < value < _MAX_FLOAT and value.is_integer() else 0
    if type(value) is str and len(value) <= _MAX_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    return 0


# Counts that are no counts (negative, a text, a fraction), which are 0 here; more than ``MOST_TOKENS``, which nobody
# believes; more input than the model's window holds, which is charged as it was told.
UNREADABLE, ABSURD, BEYOND_CONTEXT = SUSPECT = ("unreadable", "absurd", "beyond_context")
# Of an answer: a thousand times the largest window there is.
MOST_TOKENS = 1_000_000_000


def is_odd(value: Any) -> bool:
    """Whether something was told that is no count."""
    return value is not None and value != 0 and not count_of(value)


def unreadable(*values: Any) -> str:
    """``UNREADABLE`` where one of what a provider told is no count, else ""."""
    return UNREADABLE if any(map(is_odd, values)) else ""


# Service tiers, as answers name them, that are billed at the rates of batches: OpenAI's flex processing
# (platform.openai.com/docs/guides/flex-processing), Anthropic's batches (docs.anthropic.com, service tiers).
BATCH_TIERS = ("flex", "batch")


class _Counts(msgspec.Struct, frozen=True, omit_defaults=True):
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    image_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0


class Apart(_Counts, frozen=True, omit_defaults=True, kw_only=True):
    """Tokens that some providers count apart, because they cost otherwise: of what is written to the cache for an hour
    (Anthropic, ``cache_creation.ephemeral_1h_input_tokens``), of sound and of images. Each is part of a count of
    ``Usage``. ``tier`` is one of ``BATCH_TIERS`` where the whole answer was billed so, else ""."""

    tier: str = ""

    def merge(self, other: "Apart | None") -> "Apart":
        """The larger of each."""
        return self if other is None else self._with(max, other)

    def plus(self, other: "Apart | None") -> "Apart":
        return self if other is None else self._with(add, other)

    def _with(self, how: Callable[[int, int], int], other: "Apart") -> "Apart":
        return Apart(*map(how, _counts(self), _counts(other)), tier=self.tier or other.tier)


def _counts(apart: Apart) -> tuple[int, ...]:
    return msgspec.structs.astuple(apart)[:-1]


def apart(
    *,
    cache_write_1h: Any = 0,
    audio_input: Any = 0,
    image_input: Any = 0,
    audio_output: Any = 0,
    image_output: Any = 0,
    tier: Any = "",
) -> Apart | None:
    """As ``count_of`` reads each, and ``tier`` where it is one of ``BATCH_TIERS``; None where there is nothing of it,
    as of nearly every answer."""
    tier = tier if tier in BATCH_TIERS else ""
    if not (cache_write_1h or audio_input or image_input or audio_output or image_output or tier):
        return None
    found = Apart(*map(count_of, (cache_write_1h, audio_input, image_input, audio_output, image_output)), tier=tier)
    return found if tier or any(_counts(found)) else None


def by_modality(details: Any) -> dict[str, int]:
    """Google's list of counts by what they are of, such as ``[{modality: AUDIO, tokenCount: 5}]``."""
    found = dict[str, int]()
    for each in details if isinstance(details, list) else ():
        word = each.get("modality") if isinstance(each, dict) else None
        if isinstance(word, str):
            found[word] = found.get(word, 0) + count_of(each.get("tokenCount"))
    return found


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer.

    ``input_tokens`` includes ``cached_input_tokens`` and ``cache_write_tokens``; ``output_tokens`` includes
    ``reasoning_tokens``. Anthropic's own input count excludes the cached ones, and Gemini's output count excludes
    thoughts; the codecs convert. ``estimated`` is true when a count was derived here because the provider gave none.
    ``apart`` is None where nothing was counted apart. ``suspect`` is what was wrong with the counts that the provider
    gave, one of ``SUSPECT``; "" where nothing was.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    apart: Apart | None = None
    suspect: str = ""

    def plus(self, other: "Usage") -> "Usage":
        """The sum of two answers' usage."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.estimated or other.estimated,
            other.apart if self.apart is None else self.apart.plus(other.apart),
            self.suspect or other.suspect,
        )

    def merge(self, other: "Usage") -> "Usage":
        """The larger of each count: providers report cumulatively, and some repeat themselves."""
        if (
            not other.estimated
            and self.apart is None
            and other.output_tokens >= self.output_tokens
            and other.input_tokens >= self.input_tokens
            and other.cached_input_tokens >= self.cached_input_tokens
            and other.cache_write_tokens >= self.cache_write_tokens
            and other.reasoning_tokens >= self.reasoning_tokens
        ):
            return other
        return Usage(
            max(self.input_tokens, other.input_tokens),
            max(self.cached_input_tokens, other.cached_input_tokens),
            max(self.cache_write_tokens, other.cache_write_tokens),
            max(self.output_tokens, other.output_tokens),
            max(self.reasoning_tokens, other.reasoning_tokens),
            self.estimated and other.estimated,
            other.apart if self.apart is None else self.apart.merge(other.apart),
            self.suspect or other.suspect,
        )
