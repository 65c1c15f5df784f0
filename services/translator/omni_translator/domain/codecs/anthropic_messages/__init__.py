"""Anthropic's Messages API."""

from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import FormatCodec
from omni_translator.domain.codecs.anthropic_messages.answer import decode_response, encode_response
from omni_translator.domain.codecs.anthropic_messages.decode import decode_request
from omni_translator.domain.codecs.anthropic_messages.encode import encode_request
from omni_translator.domain.codecs.anthropic_messages.stream_in import Decoder
from omni_translator.domain.codecs.anthropic_messages.stream_out import Encoder

CODEC: Final = FormatCodec(
    format=WireFormat.ANTHROPIC_MESSAGES,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
)
