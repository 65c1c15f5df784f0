"""Google's Gemini API: generateContent and streamGenerateContent."""

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Encoded, Reply, StreamDecoder, StreamEncoder
from omni_translator.domain.codecs.gemini_generate.answer import decode_response, encode_response
from omni_translator.domain.codecs.gemini_generate.decode import decode_request
from omni_translator.domain.codecs.gemini_generate.encode import Options, encode_request
from omni_translator.domain.codecs.gemini_generate.stream_in import Decoder
from omni_translator.domain.codecs.gemini_generate.stream_out import Encoder
from omni_translator.domain.model import Conversation, Response


class GeminiGenerate:
    """See ``omni_translator.domain.codec.Codec``. ``options`` are those of the provider that is written to."""

    format = WireFormat.GEMINI_GENERATE

    def __init__(self, options: Options | None = None) -> None:
        self._options = options or Options()

    def decode_request(self, body: bytes) -> Conversation:
        return decode_request(body)

    def encode_request(self, conversation: Conversation) -> Encoded:
        return encode_request(conversation, self._options)

    def decode_response(self, body: bytes) -> Response:
        return decode_response(body)

    def encode_response(self, response: Response, reply: Reply) -> Encoded:
        return encode_response(response, reply)

    def stream_decoder(self) -> StreamDecoder:
        return Decoder()

    def stream_encoder(self, reply: Reply) -> StreamEncoder:
        return Encoder(reply)
