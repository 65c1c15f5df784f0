"""The wire formats the simulator speaks: reading a request, rendering an answer, saying an error.

They share no code with the gateway's codecs, so that a test of one is not a test of itself.
"""

from omni_simulator.formats.base import Format
from omni_simulator.formats.bedrock import BedrockFormat
from omni_simulator.formats.chat import ChatFormat
from omni_simulator.formats.cloudcode import CloudCodeFormat
from omni_simulator.formats.cohere import CohereFormat
from omni_simulator.formats.cursor import CursorFormat
from omni_simulator.formats.gemini import GeminiFormat
from omni_simulator.formats.kiro import KiroFormat
from omni_simulator.formats.messages import MessagesFormat
from omni_simulator.formats.ollama import OllamaFormat
from omni_simulator.formats.responses import ResponsesFormat

CHAT = ChatFormat()
RESPONSES = ResponsesFormat()
MESSAGES = MessagesFormat()
GEMINI = GeminiFormat()
CLOUDCODE = CloudCodeFormat()
CURSOR = CursorFormat()
BEDROCK = BedrockFormat()
KIRO = KiroFormat()
OLLAMA = OllamaFormat()
COHERE = CohereFormat()

__all__ = [
    "BEDROCK",
    "CHAT",
    "CLOUDCODE",
    "COHERE",
    "CURSOR",
    "GEMINI",
    "KIRO",
    "MESSAGES",
    "OLLAMA",
    "RESPONSES",
    "Format",
]
