"""What a translation could not keep, as values."""

from typing import Any, Final

import msgspec

from omni_translator.domain.model import Json

# Objects (and lists of them) that codecs take apart: what is left of one names the key that was not understood, for
# "choices" alone would tell of a lost answer.
_HOLDERS: Final = frozenset(
    {
        *("choices", "message", "candidates", "output", "usage", "usageMetadata", "generationConfig"),
        *("thinkingConfig", "toolConfig", "functionCallingConfig", "functionCall", "functionResponse", "output_config"),
        *("thinking", "reasoning", "text", "response_format", "image_url", "source", "function", "options"),
        *("groundingMetadata", "citationMetadata"),
    }
)
_MAX_LEVELS: Final = 4
# What asks for something though it be empty: in OpenAI's documentation this is how a search is asked for.
_ASKS: Final = frozenset({"web_search_options"})


class Loss(msgspec.Struct, frozen=True):
    """``field`` is a dotted path without positions ("messages.content.cache_control"), so that repeats are one loss;
    ``kind`` is "dropped" or "approximated"."""

    field: str
    kind: str
    reason: str


class Losses:
    """The losses of one translation so far, each once."""

    __slots__ = ("_seen", "_target")

    def __init__(self, target: str) -> None:
        self._target = target
        self._seen: dict[Loss, None] = {}

    def dropped(self, field: str, reason: str = "") -> None:
        self._seen[Loss(field, "dropped", reason or f"{self._target} has no place for it")] = None

    def approximated(self, field: str, reason: str) -> None:
        self._seen[Loss(field, "approximated", reason)] = None

    def signature(self, holder: str = "content") -> None:
        """Declare that a proof is left behind."""
        self.dropped(f"{holder}.signature", "a signature is worth something to its origin only")

    def unsayable(self, part: object, holder: str, place: str) -> None:
        """Declare that a whole part is left out."""
        self.dropped(f"{holder}.{type(part).__name__.lower()}", f"not sayable in {place}")

    def only_one(self) -> None:
        """Declare that further answers to the same request are left out."""
        self.dropped("choices", f"{self._target} gives one answer only")

    def unknown(self, extra: Json, path: str = "", unsaid: Json | None = None) -> None:
        """Declare unknown keys that cannot go along. Nulls and empty containers say nothing, nor does a key that has
        the value ``unsaid`` gives it: its format's default, spelt out."""
        for key, value in extra.items():
            if not (says_something(value) or (key in _ASKS and value is not None)) or (
                unsaid and key in unsaid and unsaid[key] == value
            ):
                continue
            self._unknown(key, value, f"{path}.{key}" if path else key, 1)

    def _unknown(self, key: str, value: Any, path: str, level: int) -> None:
        members = value if isinstance(value, list) else [value]
        if key not in _HOLDERS or level == _MAX_LEVELS or not all(isinstance(member, dict) for member in members):
            self.dropped(path)
            return
        for member in members:
            for name, inner in member.items():
                if says_something(inner):
                    self._unknown(name, inner, f"{path}.{name}", level + 1)

    def all(self) -> tuple[Loss, ...]:
        return tuple(self._seen)


def says_something(value: Any, levels: int = 8) -> bool:
    """Whether a value holds anything but nulls and empty containers; what lies deeper than ``levels`` is something."""
    if levels == 0:
        return True
    if isinstance(value, dict):
        return any(says_something(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return any(says_something(item, levels - 1) for item in value)
    return value is not None
