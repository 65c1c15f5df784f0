"""The wire formats a client or a provider may speak."""

from enum import StrEnum
from typing import Final


class WireFormat(StrEnum):
    """A dialect of bytes. The value is the name used in configuration, metrics and events."""

    OPENAI_CHAT = "openai.chat"
    OPENAI_RESPONSES = "openai.responses"
    ANTHROPIC_MESSAGES = "anthropic.messages"
    GEMINI_GENERATE = "gemini.generate"
    OLLAMA_CHAT = "ollama.chat"
    BEDROCK_CONVERSE = "bedrock.converse"
    CLOUDCODE_GENERATE = "cloudcode.generate"
    COHERE_CHAT = "cohere.chat"
    KIRO_CONVERSATION = "kiro.conversation"
    CURSOR_CHAT = "cursor.chat"

    # As a string's, which it is. An enumeration's own is a call of Python at every look into a table of formats.
    __hash__ = str.__hash__


# Those that a client may speak to the gateway; the others are providers' only.
CLIENT_FORMATS: Final = (
    WireFormat.OPENAI_CHAT,
    WireFormat.OPENAI_RESPONSES,
    WireFormat.ANTHROPIC_MESSAGES,
    WireFormat.GEMINI_GENERATE,
    WireFormat.OLLAMA_CHAT,
)
