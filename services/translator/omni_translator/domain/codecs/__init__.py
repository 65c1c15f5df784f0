"""The wire formats there are. A format without a row is not built yet."""

from collections.abc import Mapping
from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Codec
from omni_translator.domain.codecs import (
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    kiro_conversation,
    ollama_chat,
    openai_chat,
    openai_responses,
)
from omni_translator.domain.codecs.cloudcode_generate import CloudCodeGenerate
from omni_translator.domain.codecs.cursor_chat import CursorChat
from omni_translator.domain.codecs.gemini_generate import GeminiGenerate

CODECS: Final[Mapping[WireFormat, Codec]] = {
    WireFormat.OPENAI_CHAT: openai_chat.CODEC,
    WireFormat.OPENAI_RESPONSES: openai_responses.CODEC,
    WireFormat.ANTHROPIC_MESSAGES: anthropic_messages.CODEC,
    WireFormat.GEMINI_GENERATE: GeminiGenerate(),
    WireFormat.CLOUDCODE_GENERATE: CloudCodeGenerate(),
    WireFormat.CURSOR_CHAT: CursorChat(),
    WireFormat.BEDROCK_CONVERSE: bedrock_converse.CODEC,
    WireFormat.KIRO_CONVERSATION: kiro_conversation.CODEC,
    WireFormat.OLLAMA_CHAT: ollama_chat.CODEC,
    WireFormat.COHERE_CHAT: cohere_chat.CODEC,
}
