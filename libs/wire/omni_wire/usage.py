"""Token counts, in the one convention used behind the codecs."""

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


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer.

    ``input_tokens`` includes ``cached_input_tokens`` and ``cache_write_tokens``; ``output_tokens`` includes
    ``reasoning_tokens``. Anthropic's own input count excludes the cached ones, and Gemini's output count excludes
    thoughts; the codecs convert. ``estimated`` is true when a count was derived here because the provider gave none.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False

    def plus(self, other: "Usage") -> "Usage":
        """The sum of two answers' usage."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.cached_input_tokens + other.cached_input_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.output_tokens + other.output_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.estimated or other.estimated,
        )

    def merge(self, other: "Usage") -> "Usage":
        """The larger of each count: providers report cumulatively, and some repeat themselves."""
        if (
            not other.estimated
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
        )
