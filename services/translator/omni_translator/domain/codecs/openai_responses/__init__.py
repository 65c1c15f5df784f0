"""OpenAI's Responses, and what Codex says in it."""

from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import FormatCodec
from omni_translator.domain.codecs.openai_responses.answer import decode_response
from omni_translator.domain.codecs.openai_responses.decode import decode_request
from omni_translator.domain.codecs.openai_responses.encode import encode_request
from omni_translator.domain.codecs.openai_responses.stream_in import Decoder
from omni_translator.domain.codecs.openai_responses.stream_out import Encoder, encode_response

CODEC: Final = FormatCodec(
    format=WireFormat.OPENAI_RESPONSES,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
)
