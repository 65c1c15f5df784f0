"""The wire formats there are. A format without a row is not built yet."""

from collections.abc import Mapping
from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Codec
from omni_translator.domain.codecs.anthropic_messages import AnthropicMessages
from omni_translator.domain.codecs.gemini_generate import GeminiGenerate
from omni_translator.domain.codecs.openai_chat import OpenAIChat
from omni_translator.domain.codecs.openai_responses import OpenAIResponses

CODECS: Final[Mapping[WireFormat, Codec]] = {
    WireFormat.OPENAI_CHAT: OpenAIChat(),
    WireFormat.OPENAI_RESPONSES: OpenAIResponses(),
    WireFormat.ANTHROPIC_MESSAGES: AnthropicMessages(),
    WireFormat.GEMINI_GENERATE: GeminiGenerate(),
}
