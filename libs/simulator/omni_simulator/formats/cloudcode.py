"""Google's Cloud Code Assist (google-gemini/gemini-cli, packages/core/src/code_assist): Gemini's in an envelope."""

from collections.abc import Sequence
from typing import Any

from omni_wire.errors import GatewayError, InvalidRequest

from omni_simulator.formats.base import encode
from omni_simulator.formats.gemini import GeminiFormat
from omni_simulator.reading import obj, text
from omni_simulator.values import Answer, Ask, Frames

_GEMINI = GeminiFormat()
_KNOWN = frozenset(
    {
        *("model", "project", "user_prompt_id", "request", "enabled_credit_types"),
        *("requestId", "requestType", "userAgent"),  # of Antigravity
    }
)
_LEAD, _END = b"data: ", b"\r\n\r\n"


class CloudCodeFormat:
    request_id_header = b"x-request-id"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        for key in body:
            if key not in _KNOWN:
                raise InvalidRequest(f'Invalid JSON payload received. Unknown name "{key}"', param=key)
        inner = obj(body.get("request"), "request")
        if action == "count":  # the model stands inside there
            model = text(inner.get("model"), "request.model").removeprefix("models/")
            unknown = (body.keys() - {"request"}) | (inner.keys() - {"model", "contents"})
            if unknown:
                raise InvalidRequest(f'Invalid JSON payload received. Unknown name "{min(unknown)}"', param="request")
        else:
            model = text(body.get("model"), "model")
        if "project" in body:
            text(body["project"], "project")
        return _GEMINI.read(inner, seed, model, action)

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        return _enclosed(_GEMINI.whole(ask, answer), answer)

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        inner = _GEMINI.frames(ask, answer)
        frames = [
            (_LEAD + _enclosed(data.removeprefix(_LEAD).removesuffix(_END), answer) + _END, tokens)
            for data, tokens in inner.frames
        ]
        return Frames(frames, inner.ending)

    def count(self, tokens: int) -> bytes:
        return _GEMINI.count(tokens)

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return _GEMINI.error(error, request_id)

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        return _GEMINI.error_frame(ask, error, request_id, first=first)

    def model(self, name: str) -> dict[str, Any]:
        return _GEMINI.model(name)

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return _GEMINI.models(names)


def _enclosed(inner: bytes, answer: Answer) -> bytes:
    return b'{"response":%b,"traceId":%b}' % (inner, encode(answer.seed))
