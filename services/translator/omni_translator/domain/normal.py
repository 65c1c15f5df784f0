"""One form for conversations that formats spell differently though they mean the same.

Anthropic joins consecutive turns of one role itself, and takes no empty text; "developer" is OpenAI's newer name of
"system". So none of this is a loss.
"""

import msgspec

from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Message, Part, Reasoning, Role, Text


def merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Without empty texts and thoughts and empty messages, and with neighbours of one role joined.

    A message with unknown keys of its own stays apart, so that they stay its own.
    """
    out: list[Message] = []
    run: list[Part] = []  # the parts of the last message, while others may still join it
    for message in messages:
        parts = tuple(part for part in message.parts if not _is_empty(part))
        if not parts and not message.extra:
            continue
        role = Role.SYSTEM if message.role is Role.DEVELOPER else message.role
        last = out[-1] if out else None
        if last is not None and last.role is role and not last.extra and not message.extra:
            run += parts
            continue
        _close(out, run)
        run = list(parts)
        out.append(msgspec.structs.replace(message, role=role, parts=parts))
    _close(out, run)
    return tuple(out)


def split_system(messages: tuple[Message, ...], losses: Losses) -> tuple[tuple[Part, ...], tuple[Message, ...]]:
    """The leading system texts, and the turns after them, for a format that holds the two apart.

    System messages further on become user turns where they stand: an instruction keeps its place, marked as one.
    """
    messages = merged(messages)
    lead = 0
    leading: list[Part] = []
    while lead < len(messages) and messages[lead].role is Role.SYSTEM:
        losses.unknown(messages[lead].extra, "messages")
        leading += messages[lead].parts
        lead += 1
    system, turns = tuple(leading), messages[lead:]
    if system and not turns:
        losses.approximated("messages.role", "a lone system message is sent as the user's")
        return (), (Message(role=Role.USER, parts=system),)
    if not all(turn.role in (Role.USER, Role.ASSISTANT) for turn in turns):
        losses.approximated("messages.role", "a later system message is sent as the user's, in its place")
        turns = merged(tuple(_as_user(turn) for turn in turns))
    return system, turns


def _as_user(turn: Message) -> Message:
    if turn.role in (Role.USER, Role.ASSISTANT):
        return turn
    parts = tuple(
        msgspec.structs.replace(part, text=f"<system>\n{part.text}\n</system>") if isinstance(part, Text) else part
        for part in turn.parts
    )
    return msgspec.structs.replace(turn, role=Role.USER, parts=parts)


def _is_empty(part: Part) -> bool:
    if isinstance(part, Text):
        return not part.text and part.cache is None and not part.extra
    return isinstance(part, Reasoning) and not part.text and not part.signature and not part.extra


def _close(out: list[Message], run: list[Part]) -> None:
    if out and len(run) > len(out[-1].parts):
        out[-1] = Message(role=out[-1].role, parts=tuple(run))
