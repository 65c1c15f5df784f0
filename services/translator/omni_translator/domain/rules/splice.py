"""Rules on a request that keeps its format: the body's own bytes, but for the fields that a rule changed.

The request as it was and as it is are both written; only what differs between the two goes into the client's body.
"""

import re
from typing import Any, Final

import msgspec
from omni_wire.body import Body
from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Codec
from omni_translator.domain.model import Conversation

_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_HUMP: Final = re.compile("(?<=[a-z])(?=[A-Z])")
_OTHER_LIMIT: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


def splice(body: bytes, before: Conversation, after: Conversation, codec: Codec) -> bytes:
    """Raises ``WireError`` where the codec cannot write ``after``."""
    old = _FIELDS.decode(codec.encode_request(before).body)
    new = _FIELDS.decode(codec.encode_request(after).body)
    opened = Body(body)
    changes: dict[str, Any] = {}
    for field in (*new, *(field for field in old if field not in new)):
        now = new.get(field)
        if bytes(old.get(field, b"")) != bytes(now or b""):
            changes[_spelt(field, opened, codec.format)] = now
    return opened.with_fields(changes)


def _spelt(field: str, body: Body, wire_format: WireFormat) -> str:
    """The name under which the client's body has this field, where a format has two."""
    if wire_format is WireFormat.OPENAI_CHAT:
        other = _OTHER_LIMIT.get(field, "")
    elif wire_format is WireFormat.GEMINI_GENERATE:
        other = _HUMP.sub("_", field).lower()
    else:
        return field
    return other if body.has(other) and not body.has(field) else field
