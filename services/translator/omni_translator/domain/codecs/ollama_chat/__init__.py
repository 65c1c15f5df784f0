"""Ollama's ``/api/chat``: JSON whole, or one object a line."""

from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import FormatCodec
from omni_translator.domain.codecs.ollama_chat.answer import decode_response, encode_response
from omni_translator.domain.codecs.ollama_chat.decode import decode_request
from omni_translator.domain.codecs.ollama_chat.encode import encode_request
from omni_translator.domain.codecs.ollama_chat.stream_in import Decoder
from omni_translator.domain.codecs.ollama_chat.stream_out import Encoder

CODEC: Final = FormatCodec(
    format=WireFormat.OLLAMA_CHAT,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
)
