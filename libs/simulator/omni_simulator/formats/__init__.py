"""The wire formats the simulator speaks: reading a request, rendering an answer, saying an error.

They share no code with the gateway's codecs, so that a test of one is not a test of itself.
"""

from omni_simulator.formats.base import Format
from omni_simulator.formats.chat import ChatFormat
from omni_simulator.formats.gemini import GeminiFormat
from omni_simulator.formats.messages import MessagesFormat
from omni_simulator.formats.responses import ResponsesFormat

CHAT = ChatFormat()
RESPONSES = ResponsesFormat()
MESSAGES = MessagesFormat()
GEMINI = GeminiFormat()

__all__ = ["CHAT", "GEMINI", "MESSAGES", "RESPONSES", "Format"]
