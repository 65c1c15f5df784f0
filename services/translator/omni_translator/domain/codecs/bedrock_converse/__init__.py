"""Amazon Bedrock's Converse and ConverseStream.

Facts: the service's own model (botocore 1.44.8, bedrock-runtime 2023-09-30) and Bedrock's user guide (pages
conversation-inference, prompt-caching, tool-use, claude-messages-extended-thinking; read 2026-11-28). Model and
delivery are in the address, so a request's body names neither; an answer has no id.
"""

from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import FormatCodec
from omni_translator.domain.codecs.bedrock_converse.answer import decode_response, encode_response
from omni_translator.domain.codecs.bedrock_converse.decode import decode_request
from omni_translator.domain.codecs.bedrock_converse.encode import encode_request
from omni_translator.domain.codecs.bedrock_converse.stream_in import Decoder
from omni_translator.domain.codecs.bedrock_converse.stream_out import Encoder

CODEC: Final = FormatCodec(
    format=WireFormat.BEDROCK_CONVERSE,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
)
