"""OpenAI's Responses, and what Codex says in it."""

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Encoded, Reply, StreamDecoder, StreamEncoder
from omni_translator.domain.codecs.openai_responses.answer import decode_response
from omni_translator.domain.codecs.openai_responses.decode import decode_request
from omni_translator.domain.codecs.openai_responses.encode import encode_request
from omni_translator.domain.codecs.openai_responses.stream_in import Decoder
from omni_translator.domain.codecs.openai_responses.stream_out import Encoder, encode_response
from omni_translator.domain.model import Conversation, Response


class OpenAIResponses:
    """See ``omni_translator.domain.codec.Codec``."""

    format = WireFormat.OPENAI_RESPONSES

    def decode_request(self, body: bytes) -> Conversation:
        return decode_request(body)

    def encode_request(self, conversation: Conversation) -> Encoded:
        return encode_request(conversation)

    def decode_response(self, body: bytes) -> Response:
        return decode_response(body)

    def encode_response(self, response: Response, reply: Reply) -> Encoded:
        return encode_response(response, reply)

    def stream_decoder(self) -> StreamDecoder:
        return Decoder()

    def stream_encoder(self, reply: Reply) -> StreamEncoder:
        return Encoder(reply)
