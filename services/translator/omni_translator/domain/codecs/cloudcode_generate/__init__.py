"""Google's Cloud Code Assist: Gemini's generateContent in an envelope, as Gemini CLI and Antigravity call it.

A request is ``{model, project, user_prompt_id, request: {contents, …}}``, an answer ``{response: {candidates, …},
traceId}``, and so is every event of a stream (google-gemini/gemini-cli, packages/core/src/code_assist/converter.ts at
5411f11, 2026-08-21). What is inside is Gemini's own, and read and written by its codec. A client of Gemini and a
provider of this format therefore understand each other wholly: signatures and unknown keys go through.

Project and identity are the account's and not the client's to say: whoever encodes puts them into the conversation.
"""

from typing import Any, Final

import msgspec
from omni_wire.errors import WireError, upstream_message
from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Encoded, Reply, StreamDecoder, StreamEncoder
from omni_translator.domain.codecs.cloudcode_generate.deviations import DEVIATIONS
from omni_translator.domain.codecs.gemini_generate import GeminiGenerate
from omni_translator.domain.codecs.gemini_generate.stream_in import Decoder
from omni_translator.domain.codecs.gemini_generate.stream_out import Encoder
from omni_translator.domain.fields import Fields, from_json, overlay, to_json
from omni_translator.domain.model import Conversation, Json, Response

HOME: Final = WireFormat.CLOUDCODE_GENERATE
_GEMINI: Final = GeminiGenerate()


class CloudCodeGenerate:
    """See ``omni_translator.domain.codec.Codec``."""

    format = HOME

    def decode_request(self, body: bytes) -> Conversation:
        top = Fields.of_body(body)
        model = top.need_text("model")
        inner = top.plain("request")
        if inner is None:
            raise WireError("request must be given", "request")
        read = _GEMINI.decode_request(to_json(inner))
        extra = top.rest() | ({"request": read.extra} if read.extra else {})
        return msgspec.structs.replace(read, origin=HOME, model=model, extra=extra)

    def encode_request(self, conversation: Conversation) -> Encoded:
        envelope: Json = {}
        inner = conversation
        if conversation.origin is HOME:
            envelope = dict(conversation.extra)
            extra = envelope.pop("request", {})
            inner = msgspec.structs.replace(inner, origin=_GEMINI.format, extra=extra)
        encoded = _GEMINI.encode_request(inner)
        body: Json = {"model": conversation.model}
        if conversation.project:
            body["project"] = conversation.project
        deviations = DEVIATIONS.get(conversation.identity, ())
        body["request"] = from_json(encoded.body) if deviations else msgspec.Raw(encoded.body)
        for deviate in deviations:
            deviate(body)
        return Encoded(to_json(overlay(body, envelope)), encoded.losses)

    def decode_response(self, body: bytes) -> Response:
        """A Gemini answer: its ``origin`` is that format."""
        return _GEMINI.decode_response(to_json(_opened(from_json(body), body)))

    def encode_response(self, response: Response, reply: Reply) -> Encoded:
        encoded = _GEMINI.encode_response(response, reply)
        return Encoded(_closed(encoded.body, reply.id or response.id), encoded.losses)

    def stream_decoder(self) -> StreamDecoder:
        return _Decoder()

    def stream_encoder(self, reply: Reply) -> StreamEncoder:
        return _Encoder(msgspec.structs.replace(reply, array=False))


class _Decoder(Decoder):
    __slots__ = ()

    def _opened(self, decoded: Any, data: bytes) -> Any:
        return _opened(decoded, data)


class _Encoder(Encoder):
    __slots__ = ()

    def _frame(self, chunk: bytes) -> bytes:
        return super()._frame(_closed(chunk, self._id))


def _opened(decoded: Any, data: bytes) -> Any:
    """What is in the envelope, with the envelope's own unknown keys beside it; an error comes without one."""
    if not isinstance(decoded, dict):
        raise WireError("an answer must be an object")
    if decoded.get("error"):
        return {"error": decoded["error"]}
    envelope = dict(decoded)
    inner, trace = envelope.pop("response", None), envelope.pop("traceId", None)
    if inner is not None and not isinstance(inner, dict):
        raise WireError(f"response must be an object: {upstream_message(data)[:100]}", "response")
    opened: Json = envelope | (inner or {})
    if isinstance(trace, str) and trace and not opened.get("responseId"):
        opened["responseId"] = trace  # as Gemini CLI reads it
    return opened


def _closed(chunk: bytes, trace: str) -> bytes:
    return b'{"response":%b,"traceId":%b}' % (chunk, to_json(trace))
