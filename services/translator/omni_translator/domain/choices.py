"""Several answers to one request: ``n`` of OpenAI Chat, ``candidateCount`` of Gemini. No other format has them.

A request says how many in its ``extra``, as it came. Of an answer the first is the response itself, the others are its
``others``; in a stream they come as ``OfChoice``. Usage is of them all.

Sources: OpenAI's reference of Chat (``n``, ``choices``), ai.google.dev/api/generate-content (``candidateCount``,
``candidates``); read 2026-11-29.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_translator.domain.events import Event, Finished, OfChoice, PartDelta, PartEnded, PartStarted
from omni_translator.domain.model import Choice, Json, Response

KEYS: Final = {WireFormat.GEMINI_GENERATE: "candidates", WireFormat.OPENAI_CHAT: "choices"}
_MAX: Final = 128  # OpenAI's own limit; what has more in an answer is none


def take_count(extra: Json, origin: WireFormat) -> int | None:
    """How many answers are asked for, where it is more than one. What says so is taken out of a request's ``extra``."""
    holder, key = extra, "n"
    if origin is WireFormat.GEMINI_GENERATE:
        config, key = extra.get("generationConfig"), "candidateCount"
        if not isinstance(config, dict):
            return None
        holder = extra["generationConfig"] = dict(config)
    elif origin is not WireFormat.OPENAI_CHAT:
        return None
    value = holder.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 2:
        return None
    del holder[key]
    return value


def number(index: Any, path: str) -> int:
    """The number of a choice in a stream; none is the first. Raises ``WireError``."""
    if index is None:
        return 0
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < _MAX:
        raise WireError(f"{path} must count choices", path)
    return index


def tell(choice: int, told: Iterable[Event], events: list[Event]) -> None:
    """Tell the events of a further choice as its own, as the decoder told them that has read only it."""
    for event in told:
        if isinstance(event, Finished):
            residues = [event.extra[key] for key in KEYS.values() if key in event.extra]
            event = msgspec.structs.replace(event, extra=residues[0][0] if residues else {})
        if isinstance(event, PartStarted | PartDelta | PartEnded | Finished):
            events.append(OfChoice(choice, event))


def answers(response: Response) -> tuple[Choice, ...]:
    """Every answer of a response, the first one first, each with its ``extra`` where that of a whole answer has it."""
    first = Choice(
        parts=response.parts,
        finish=response.finish,
        finish_detail=response.finish_detail,
        stop_sequence=response.stop_sequence,
        extra=response.extra,
    )
    others = [msgspec.structs.replace(other, extra=within(other.extra, response.origin)) for other in response.others]
    return (first, *others)


def within(extra: Json, origin: WireFormat) -> Json:
    """The ``extra`` of a further choice as that of a whole answer."""
    return {KEYS[origin]: [extra]} if extra and origin in KEYS else {}
