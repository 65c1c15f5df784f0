"""The wire formats a client or a provider may speak."""

from enum import StrEnum


class WireFormat(StrEnum):
    """A dialect of bytes. The value is the name used in configuration, metrics and events."""

    OPENAI_CHAT = "openai.chat"
    OPENAI_RESPONSES = "openai.responses"
    ANTHROPIC_MESSAGES = "anthropic.messages"
    GEMINI_GENERATE = "gemini.generate"
