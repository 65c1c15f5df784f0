"""The operator's own words around a request's system prompt.

They are the same for every request, so that what a provider caches of a prompt's beginning stays cached: the prefix
comes before the first marker and the suffix after the last, and no marked part is ever rewritten.
"""

from typing import Final

import msgspec
from omni_wire.formats import WireFormat

from omni_translator.domain.model import Conversation, Message, Part, Role, Text

_GAP: Final = "\n\n"


def inject(conversation: Conversation, prefix: str, suffix: str) -> Conversation:
    """``prefix`` before and ``suffix`` after the leading system texts; without such a message they are one."""
    messages = list(conversation.messages)
    lead = _leading(conversation)
    if not lead:
        text = _GAP.join(filter(None, (prefix, suffix)))
        messages.insert(0, Message(role=Role.SYSTEM, parts=(Text(text),)))
    else:
        if prefix:
            messages[0] = _with(messages[0], _before(prefix, messages[0].parts))
        if suffix:
            messages[lead - 1] = _with(messages[lead - 1], _after(suffix, messages[lead - 1].parts))
    return msgspec.structs.replace(conversation, messages=tuple(messages))


def _leading(conversation: Conversation) -> int:
    """How many messages at the beginning are the system's. Responses has ``instructions`` for the first of them, and a
    developer's item after it is the client's."""
    responses = conversation.origin is WireFormat.OPENAI_RESPONSES
    roles = (Role.SYSTEM,) if responses else (Role.SYSTEM, Role.DEVELOPER)
    count = 0
    for message in conversation.messages:
        if message.role not in roles or (responses and count):
            break
        count += 1
    return count


def _with(message: Message, parts: tuple[Part, ...]) -> Message:
    return msgspec.structs.replace(message, parts=parts)


def _joins(parts: tuple[Part, ...]) -> Text | None:
    """The one plain text that a message is, so that it stays one text."""
    only = parts[0] if len(parts) == 1 else None
    return only if isinstance(only, Text) and only.cache is None and not only.extra else None


def _before(prefix: str, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    only = _joins(parts)
    if only is not None:
        return (msgspec.structs.replace(only, text=_GAP.join(filter(None, (prefix, only.text)))),)
    return (Text(prefix), *parts)


def _after(suffix: str, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    only = _joins(parts)
    if only is not None:
        return (msgspec.structs.replace(only, text=_GAP.join(filter(None, (only.text, suffix)))),)
    return (*parts, Text(suffix))
