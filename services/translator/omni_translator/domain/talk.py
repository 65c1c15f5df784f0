"""Plain talk: messages of one text and nothing beside it, which most of any conversation is.

They are known by their shape alone, so that they are read and written without asking for all that is not there. What
has any other shape is left to its codec.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omni_wire.errors import WireError

from omni_translator.domain.fields import Fields, Place, spelt
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Message, Opaque, Part, Role, Text


def read_messages(
    items: list[Any] | None, roles: Mapping[str, Role], read: Callable[[Fields], Message]
) -> tuple[Message, ...]:
    """A request's ``messages``; ``read`` is for those that are no plain talk."""
    return tuple(
        [read_talk(item, roles) or read(Fields(item, ("messages", number))) for number, item in enumerate(items or ())]
    )


def read_talk(item: Any, roles: Mapping[str, Role]) -> Message | None:
    """The message that ``{"role", "content"}`` is, where the content is a string; None for anything else."""
    try:
        if len(item) == 2:
            role, text = roles.get(item["role"]), item.get("content")
            if role is not None and type(text) is str:
                return Message(role=role, parts=(Text(text),) if text else ())
    except (KeyError, TypeError):
        pass  # no object, or one without a role: whoever reads it in full says what is wrong
    return None


def read_content(value: Any, place: Place, read: Callable[[Fields], Part], kind: str = "text") -> tuple[Part, ...]:
    """A message's content: null, a string or a list of blocks. A block of that ``kind`` with a ``text`` and no other
    key is just its text; ``read`` is for all others. Raises ``WireError`` on anything else."""
    if isinstance(value, str):
        return (Text(value),) if value else ()
    if value is None:
        return ()
    if not isinstance(value, list):
        path = spelt(place)
        raise WireError(f"{path} must be a string or a list of blocks", path)
    return tuple([_read_text(item, kind) or read(Fields(item, (place, number))) for number, item in enumerate(value)])


def _read_text(item: Any, kind: str) -> Text | None:
    if type(item) is not dict or len(item) != 2 or item.get("type") != kind:
        return None
    text = item.get("text")
    return Text(text) if type(text) is str else None


def only_text(parts: Sequence[Part]) -> str:
    """The text that ``parts`` are, where that is all they say; empty for anything else."""
    return just_text(parts[0]) if len(parts) == 1 else ""


def just_text(part: Part) -> str:
    """The text that a part is, where that is all it says; empty for anything else."""
    return part.text if type(part) is Text and part.cache is None and not part.extra else ""


def system_texts(parts: Sequence[Part], losses: Losses) -> list[Part]:
    """What of a system message a format takes that has texts there and nothing else."""
    kept: list[Part] = [part for part in parts if isinstance(part, Text | Opaque)]
    for part in parts:
        if not isinstance(part, Text | Opaque):
            losses.dropped(f"system.{type(part).__name__.lower()}", "system messages are text")
    return kept
