"""Calls and their results, one to one.

Every provider answers 400 to a result whose call is not there, and to a call whose result is not. A client that cut its
history short, or was cut short itself, sends such; so in a conversation from another format a result without its call
is said as the user's text, and a call that was passed over is given a result that says so. Both are declared.
"""

from typing import Final

import msgspec

from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Message, Part, Role, Text, ToolCall, ToolResult

NO_RESULT: Final = "(no result)"


def paired(messages: tuple[Message, ...], losses: Losses) -> tuple[Message, ...]:
    """``messages``, of which neighbours of one role have been joined as far as they may be. Calls of the last turn may
    wait for their results."""
    if not _calls(messages):
        return messages
    out: list[Message] = []
    waiting: dict[str, None] = {}  # calls, in order
    for message in messages:
        if message.role is Role.USER:
            message = _answering(message, waiting, losses)
        elif message.role is Role.ASSISTANT:
            if out and out[-1].role is not Role.ASSISTANT:  # else both are one turn
                _fill(out, waiting, losses)
            waiting |= {part.id: None for part in message.parts if isinstance(part, ToolCall)}
        out.append(message)
    if out and out[-1].role is not Role.ASSISTANT:
        _fill(out, waiting, losses)
    return tuple(out)


def _calls(messages: tuple[Message, ...]) -> bool:
    for message in messages:
        for part in message.parts:
            if type(part) is ToolCall or type(part) is ToolResult:
                return True
    return False


def _answering(message: Message, waiting: dict[str, None], losses: Losses) -> Message:
    """A user's turn in which every result answers one of the ``waiting`` calls, which then waits no longer."""
    parts: list[Part] = []
    changed = False
    for part in message.parts:
        if not isinstance(part, ToolResult) or part.id in waiting:
            if isinstance(part, ToolResult):
                del waiting[part.id]
            parts.append(part)
            continue
        changed = True
        losses.approximated("messages.tool_call_id", "it answers no call that waits for it; sent as text")
        losses.unknown(part.extra, "messages.content")
        if part.cache is not None:
            losses.dropped("messages.content.cache_control", "it stood on a result that answers no call")
        texts = [inner.text for inner in part.parts if isinstance(inner, Text)]
        parts.append(Text(f"Result of tool call {part.id}:\n" + "\n".join(texts)))
        parts += [inner for inner in part.parts if not isinstance(inner, Text)]
    return msgspec.structs.replace(message, parts=tuple(parts)) if changed else message


def _fill(out: list[Message], waiting: dict[str, None], losses: Losses) -> None:
    """Give the calls that still wait their results, where these belong: before what the user said next."""
    if not waiting:
        return
    losses.approximated("messages.tool_calls", "a call without a result is given an empty one")
    results = tuple(ToolResult(id=call_id, parts=(Text(NO_RESULT),)) for call_id in waiting)
    waiting.clear()
    at = len(out)
    while at and out[at - 1].role is not Role.ASSISTANT:
        at -= 1
    if at < len(out) and out[at].role is Role.USER:
        out[at] = msgspec.structs.replace(out[at], parts=(*_results(out[at]), *results, *_others(out[at])))
    else:
        out.insert(at, Message(role=Role.USER, parts=results))


def _results(message: Message) -> tuple[Part, ...]:
    return tuple(part for part in message.parts if isinstance(part, ToolResult))


def _others(message: Message) -> tuple[Part, ...]:
    return tuple(part for part in message.parts if not isinstance(part, ToolResult))
