"""Kiro's conversation: ``GenerateAssistantResponse`` of AWS's CodeWhisperer, as its own agents call it.

Facts: the service's model in AWS's own client (aws/amazon-q-developer-cli, crate amzn-codewhisperer-streaming-client,
read 2026-11-28). A conversation is a current message and the history before it, turn by turn; it has no system role, no
limit, no sampling and no choice of tools. Every answer is a stream, of events that stand for themselves.

Nothing comes whole over the wire. Where a whole answer is wanted it is written as AWS's SDKs hold one: the events in a
list, each under its name, in ``generateAssistantResponseResponse``.
"""

from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import FormatCodec
from omni_translator.domain.codecs.kiro_conversation.answer import decode_response, encode_response
from omni_translator.domain.codecs.kiro_conversation.decode import decode_request
from omni_translator.domain.codecs.kiro_conversation.encode import encode_request
from omni_translator.domain.codecs.kiro_conversation.stream_in import Decoder
from omni_translator.domain.codecs.kiro_conversation.stream_out import Encoder

CODEC: Final = FormatCodec(
    format=WireFormat.KIRO_CONVERSATION,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
)
