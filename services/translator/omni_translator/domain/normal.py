"""One form for conversations that formats spell differently though they mean the same.

Anthropic joins consecutive turns of one role itself, and takes no empty text; "developer" is OpenAI's newer name of
"system". So none of this is a loss.
"""

import msgspec

from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Message, Part, Reasoning, Role, Text, ToolResult
from omni_translator.domain.pairing import paired


def merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Without empty texts and thoughts and empty messages, and with neighbours of one role joined.

    A message with unknown keys of its own stays apart, so that they stay its own.
    """
    return messages if _is_settled(messages) else _merged(messages)


def _merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    out: list[Message] = []
    joined: list[Part] = []  # the parts of the last message, once another has joined it
    last: Message | None = None
    for message in messages:
        parts = _speaking(message.parts)
        if not parts and not message.extra:
            continue
        role = Role.SYSTEM if message.role is Role.DEVELOPER else message.role
        if last is not None and last.role is role and not last.extra and not message.extra:
            joined = joined or [*last.parts]
            joined += parts
            continue
        if joined:
            _close(out, joined)
            joined = []
        if role is not message.role or parts is not message.parts:
            message = msgspec.structs.replace(message, role=role, parts=parts)
        last = message
        out.append(message)
    if joined:
        _close(out, joined)
    return tuple(out)


def turn_by_turn(messages: tuple[Message, ...], losses: Losses) -> tuple[Message, ...]:
    """``messages`` merged, and calls and results one to one."""
    return messages if _is_settled(messages) else paired(_merged(messages), losses)


def _is_settled(messages: tuple[Message, ...]) -> bool:
    """Whether each message is one text, of another role than the one before: there is nothing to merge or to pair."""
    last = Role.DEVELOPER
    for message in messages:
        role, parts = message.role, message.parts
        if role is last or role is Role.DEVELOPER or len(parts) != 1:
            return False
        part = parts[0]
        if type(part) is not Text or not part.text:
            return False
        last = role
    return True


def split_system(messages: tuple[Message, ...], losses: Losses) -> tuple[tuple[Part, ...], tuple[Message, ...]]:
    """The leading system texts, and the turns after them with calls and results one to one, for a format that holds
    the two apart.

    System messages further on become user turns where they stand: an instruction keeps its place, marked as one.
    """
    settled = _is_settled(messages)
    messages = messages if settled else _merged(messages)
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
    for turn in turns:
        if turn.role is not Role.USER and turn.role is not Role.ASSISTANT:
            losses.approximated("messages.role", "a later system message is sent as the user's, in its place")
            turns = _merged(tuple([_as_user(turn) for turn in turns]))
            break
    return system, turns if settled else paired(turns, losses)


def results_first(turn: Message, losses: Losses) -> Message:
    """For a format that wants a turn's tool results before anything else in it."""
    if len(turn.parts) == 1:
        return turn
    results = tuple([part for part in turn.parts if type(part) is ToolResult])
    if not results or turn.parts[: len(results)] == results:
        return turn
    losses.approximated("messages.content", "tool results moved before the text of their turn")
    others = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
    return msgspec.structs.replace(turn, parts=results + others)


def _as_user(turn: Message) -> Message:
    if turn.role in (Role.USER, Role.ASSISTANT):
        return turn
    parts = tuple(
        msgspec.structs.replace(part, text=f"<system>\n{part.text}\n</system>") if isinstance(part, Text) else part
        for part in turn.parts
    )
    return msgspec.structs.replace(turn, role=Role.USER, parts=parts)


def _speaking(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """``parts`` without those that say nothing."""
    for part in parts:
        if _is_empty(part):
            return tuple([part for part in parts if not _is_empty(part)])
    return parts


def _is_empty(part: Part) -> bool:
    if type(part) is Text:
        return not part.text and part.cache is None and not part.extra
    return type(part) is Reasoning and not part.text and not part.signature and not part.extra


def _close(out: list[Message], joined: list[Part]) -> None:
    out[-1] = Message(role=out[-1].role, parts=tuple(joined))
