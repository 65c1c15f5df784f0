"""Who says what, for providers that know fewer roles."""

from typing import Final

import msgspec

from omni_translator.domain.model import Conversation, Message, Part, Role, Text

_SYSTEM: Final = (Role.SYSTEM, Role.DEVELOPER)
_BEGIN: Final = "[System instructions]\n"
_END: Final = "\n[End of system instructions]\n\n"


def developer_to_system(conversation: Conversation) -> Conversation:
    """``developer`` is OpenAI's newer name of ``system``; most who took over its format know only the older."""
    if not any(message.role is Role.DEVELOPER for message in conversation.messages):
        return conversation
    messages = tuple(
        msgspec.structs.replace(message, role=Role.SYSTEM) if message.role is Role.DEVELOPER else message
        for message in conversation.messages
    )
    return msgspec.structs.replace(conversation, messages=messages)


def system_to_user(conversation: Conversation) -> Conversation:
    """All system texts, joined, before the first user's own text; without a user's turn they make one."""
    parts = [part for message in conversation.messages if message.role in _SYSTEM for part in message.parts]
    if not parts:
        return conversation
    texts = [part.text for part in parts if isinstance(part, Text) and part.text]
    others = tuple(part for part in parts if not isinstance(part, Text))
    turns = [message for message in conversation.messages if message.role not in _SYSTEM]
    head = _BEGIN + "\n\n".join(texts) + _END if texts else ""
    at = next((index for index, turn in enumerate(turns) if _is_said_by_user(turn)), -1)
    if at < 0:
        told: tuple[Part, ...] = (Text(head.rstrip("\n")), *others) if head else others
        turns.insert(0, Message(role=Role.USER, parts=told))
    else:
        turns[at] = msgspec.structs.replace(turns[at], parts=(*others, *before(head, turns[at].parts)))
    return msgspec.structs.replace(conversation, messages=tuple(turns))


def before(head: str, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """``parts`` with ``head`` in front: within the first text where that is a plain one, else a text of its own."""
    if not head:
        return parts
    first = parts[0] if parts else None
    if isinstance(first, Text) and first.cache is None and not first.extra:
        return (msgspec.structs.replace(first, text=head + first.text), *parts[1:])
    return (Text(head.rstrip("\n")), *parts)


def _is_said_by_user(turn: Message) -> bool:
    return turn.role is Role.USER and any(isinstance(part, Text) for part in turn.parts)
