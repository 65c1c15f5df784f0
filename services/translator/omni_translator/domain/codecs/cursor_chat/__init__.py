"""Cursor's chat: StreamUnifiedChatWithTools, protobuf in the frames of Connect. It only streams.

Cursor publishes no description; what is known stands in ``schema``, and what is not is declared lost. A whole answer is
here the stream it came as.
"""

from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Encoded, Reply, StreamDecoder, StreamEncoder
from omni_translator.domain.codecs.cursor_chat.decode import decode_request
from omni_translator.domain.codecs.cursor_chat.encode import encode_request
from omni_translator.domain.codecs.cursor_chat.stream_in import Decoder
from omni_translator.domain.codecs.cursor_chat.stream_out import Encoder
from omni_translator.domain.events import fold, unfold
from omni_translator.domain.model import Conversation, Response


class CursorChat:
    """See ``omni_translator.domain.codec.Codec``."""

    format = WireFormat.CURSOR_CHAT

    def decode_request(self, body: bytes) -> Conversation:
        return decode_request(body)

    def encode_request(self, conversation: Conversation) -> Encoded:
        return encode_request(conversation)

    def decode_response(self, body: bytes) -> Response:
        decoder = Decoder()
        events = decoder.feed(body)
        if decoder.error is not None:
            raise decoder.error
        if not events:
            raise WireError("an answer without a frame")
        return fold(events)

    def encode_response(self, response: Response, reply: Reply) -> Encoded:
        encoder = Encoder(reply)
        body = b"".join([encoder.emit(event) for event in unfold(response)])
        return Encoded(body, encoder.losses)

    def stream_decoder(self) -> StreamDecoder:
        return Decoder()

    def stream_encoder(self, reply: Reply) -> StreamEncoder:
        return Encoder(reply)
