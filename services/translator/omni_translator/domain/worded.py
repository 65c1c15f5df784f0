"""A wish for structured output in the user's own words, for a format that has no place for one."""

from typing import Final

import msgspec

from omni_translator.domain.fields import to_json
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Message, OutputFormat, Role, Text

_WISH: Final = "Answer with nothing but "


def with_wish(turns: tuple[Message, ...], form: OutputFormat | None, losses: Losses) -> tuple[Message, ...]:
    """``turns``, the last of which is the user's and ends with the wish. A model may not heed it: declared."""
    if form is None:
        return turns
    losses.approximated("response_format", "asked for in words, which the model may not heed")
    shape = "one JSON object" if form.schema is None else "JSON of this schema: " + to_json(form.schema).decode()
    wish = Text(_WISH + shape)
    if not turns or turns[-1].role is not Role.USER:
        return (*turns, Message(role=Role.USER, parts=(wish,)))
    return (*turns[:-1], msgspec.structs.replace(turns[-1], parts=(*turns[-1].parts, wish)))
