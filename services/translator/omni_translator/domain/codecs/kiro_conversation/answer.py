"""A whole answer, as AWS's SDKs hold one: its events in a list. See the package."""

from typing import Final

import msgspec
from omni_wire.errors import WireError, upstream_message

from omni_translator.domain.codec import Encoded, Reply
from omni_translator.domain.codecs.kiro_conversation.stream_in import Reader
from omni_translator.domain.codecs.kiro_conversation.stream_out import Writer
from omni_translator.domain.codecs.kiro_conversation.words import HOME
from omni_translator.domain.events import Event, Started, fold, unfold
from omni_translator.domain.fields import Fields, gather, to_json
from omni_translator.domain.model import Json, Response

_EVENTS: Final = "generateAssistantResponseResponse"


def decode_response(body: bytes) -> Response:
    """Raises ``WireError`` on anything but a list of events, errors included."""
    top = Fields.of_body(body)
    listed = top.items(_EVENTS)
    if listed is None:
        raise WireError(upstream_message(body) if top.peek("message") else f"{_EVENTS} must be given", _EVENTS)
    reader = Reader()
    events: list[Event] = []
    for index, item in enumerate(listed):
        if not isinstance(item, dict) or len(item) != 1:
            raise WireError("an event must be an object of one key", f"{_EVENTS}[{index}]")
        name, payload = next(iter(item.items()))
        if not isinstance(payload, dict):
            raise WireError("an event's payload must be an object", f"{_EVENTS}[{index}]")
        reader.read(name, dict(payload), events)
    reader.close(events)
    if not events or not isinstance(events[0], Started):
        events.insert(0, Started(HOME, "", ""))
    answer = fold(events)
    rest = top.rest()
    if not rest:
        return answer
    extra: Json = dict(answer.extra)
    gather(extra, rest)
    return msgspec.structs.replace(answer, extra=extra)


def encode_response(response: Response, reply: Reply) -> Encoded:
    writer = Writer(reply)
    events = [{name: payload} for event in unfold(response) for name, payload in writer.write(event)]
    return Encoded(to_json({_EVENTS: events}), writer.losses.all())
