"""The wire formats there are. A format without a row is not built yet."""

from collections.abc import Mapping
from typing import Final

from omni_wire.formats import WireFormat

from omni_translator.domain.codec import Codec
from omni_translator.domain.codecs.anthropic_messages import AnthropicMessages
from omni_translator.domain.codecs.openai_chat import OpenAIChat

CODECS: Final[Mapping[WireFormat, Codec]] = {
    WireFormat.OPENAI_CHAT: OpenAIChat(),
    WireFormat.ANTHROPIC_MESSAGES: AnthropicMessages(),
}
