"""A request that is not sent: which key asks for which model, in which dialect, with which body."""

from typing import Any

import msgspec
from omni_wire.formats import WireFormat

_TEXT = "Hello"
_TURN = {"role": "user", "content": _TEXT}
# A body for each dialect, where none is given.
BODIES: dict[WireFormat, dict[str, Any]] = {
    WireFormat.OPENAI_CHAT: {"messages": [_TURN]},
    WireFormat.OPENAI_RESPONSES: {"input": _TEXT},
    WireFormat.ANTHROPIC_MESSAGES: {"messages": [_TURN], "max_tokens": 1024},
    WireFormat.GEMINI_GENERATE: {"contents": [{"role": "user", "parts": [{"text": _TEXT}]}]},
    WireFormat.OLLAMA_CHAT: {"messages": [_TURN]},
}


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is a name or an id, "" for the asker's own. ``model`` replaces that of ``body``; ``stream`` its
    ``stream``, None leaves that as it is. Without a body it is a short one."""

    model: str
    key: str = ""
    client_format: WireFormat = WireFormat.OPENAI_CHAT
    stream: bool | None = None
    body: dict[str, Any] | None = None

    def request(self) -> tuple[bytes, str, bool]:
        """The body, and model and stream where its dialect says them in the path."""
        body = dict(BODIES[self.client_format] if self.body is None else self.body)
        if self.client_format is WireFormat.GEMINI_GENERATE:
            return msgspec.json.encode(body), self.model, bool(self.stream)
        body["model"] = self.model
        if self.stream is not None:
            body["stream"] = self.stream
        return msgspec.json.encode(body), "", False
