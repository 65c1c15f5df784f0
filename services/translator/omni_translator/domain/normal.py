"""One form for conversations that formats spell differently though they mean the same.

Anthropic joins consecutive turns of one role itself, and takes no empty text; "developer" is OpenAI's newer name of
"system". So none of this is a loss.
"""

import msgspec

from omni_translator.domain.model import Message, Part, Role, Text


def merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Without empty texts and empty messages, and with neighbours of one role joined.

    A message with unknown keys of its own stays apart, so that they stay its own.
    """
    out: list[Message] = []
    run: list[Part] = []  # the parts of the last message, while others may still join it
    for message in messages:
        parts = tuple(
            part
            for part in message.parts
            if not (isinstance(part, Text) and not part.text and part.cache is None and not part.extra)
        )
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


def _close(out: list[Message], run: list[Part]) -> None:
    if out and len(run) > len(out[-1].parts):
        out[-1] = Message(role=out[-1].role, parts=tuple(run))
