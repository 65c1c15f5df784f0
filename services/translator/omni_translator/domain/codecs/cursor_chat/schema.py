"""The numbers of the fields that are read and written, message by message.

Cursor documents none of this. The names and numbers are those of ``aiserver.v1`` as public clients spell them out
(zhengwenj/cursor-api, src/core/aiserver/v1/aiserver.v1.rs, and the message.proto of cursor-to-openai; read 2026-11-28).
Whatever is not here is skipped where it is read, and never written.
"""

import base64
import binascii
from typing import Final

from omni_wire.formats import WireFormat

HOME: Final = WireFormat.CURSOR_CHAT

MCP: Final = 19  # of ClientSideToolV2: a tool of the client's own, which is what all of ours are
SERVER: Final = "custom"  # the MCP server that ours are said to be of
PREFIX: Final = f"mcp_{SERVER}_"  # before their names, where a call names server and tool in one


class Request:  # StreamUnifiedChatRequest, in field 1 of StreamUnifiedChatRequestWithTools
    CONVERSATION: Final = 1
    CONTEXT: Final = 3  # ExplicitContext, whose field 1 is the text of the instructions
    MODEL: Final = 5  # ModelDetails, whose field 1 is the name
    IS_CHAT: Final = 22
    CONVERSATION_ID: Final = 23
    IS_AGENTIC: Final = 27
    SUPPORTED_TOOLS: Final = 29
    HEADERS: Final = 30  # of each message: 1 its id, 3 its kind
    MCP_TOOLS: Final = 34
    MODE: Final = 46
    DISABLE_TOOLS: Final = 48
    THINKING_LEVEL: Final = 49
    MODE_NAME: Final = 54


class Message:  # ConversationMessage
    TEXT: Final = 1
    KIND: Final = 2
    IMAGES: Final = 10  # ImageProto, whose field 1 is the bytes
    ID: Final = 13
    RESULTS: Final = 18
    IS_AGENTIC: Final = 29
    THINKING: Final = 45
    MODE: Final = 47


HUMAN: Final = 1
AI: Final = 2
CHAT_MODE: Final = 1
AGENT_MODE: Final = 2
LEVELS: Final = {1: "medium", 2: "high"}


class Result:  # ConversationMessage.ToolResult: a call of an earlier turn, and what it gave
    CALL_ID: Final = 1
    NAME: Final = 2
    INDEX: Final = 3
    RAW_ARGUMENTS: Final = 5
    RESULT: Final = 8  # ClientSideToolV2Result
    ERROR: Final = 9  # ToolResultError, whose field 2 is what the model may see
    IMAGES: Final = 10
    CALL: Final = 11  # ClientSideToolV2Call


class Outcome:  # ClientSideToolV2Result
    TOOL: Final = 1
    MCP: Final = 28  # MCPResult: 1 the tool's name, 2 the text
    CALL_ID: Final = 35
    INDEX: Final = 49


class Call:  # ClientSideToolV2Call
    TOOL: Final = 1
    ID: Final = 3
    NAME: Final = 9
    RAW_ARGUMENTS: Final = 10
    IS_STREAMING: Final = 14
    IS_LAST: Final = 15
    MCP: Final = 27  # MCPParams, whose field 1 are tools
    INDEX: Final = 48


class Tool:  # MCPParams.Tool
    NAME: Final = 1
    DESCRIPTION: Final = 2
    PARAMETERS: Final = 3  # JSON: of a tool its schema, of a call its arguments
    SERVER: Final = 4


class Answer:  # StreamUnifiedChatResponseWithTools: one of
    CALL: Final = 1
    CHAT: Final = 2
    START: Final = 5


class Chat:  # StreamUnifiedChatResponse
    TEXT: Final = 1
    CITATION: Final = 11  # WebCitation, whose field 1 are references: 1 url, 2 title, 3 chunk
    THINKING: Final = 25


class Thinking:  # ConversationMessage.Thinking
    TEXT: Final = 1
    SIGNATURE: Final = 2
    REDACTED: Final = 3
    IS_LAST: Final = 4


_KINDS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


def media_type(data: bytes) -> str:
    """Of an image that says none; empty when its first bytes tell nothing."""
    for start, kind in _KINDS:
        if data.startswith(start):
            return kind
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else ""


def unpacked(data: str) -> bytes | None:
    """The bytes of base64 in either alphabet; None when it is none."""
    try:
        return base64.b64decode(data.translate(_PLAIN), validate=True) if data.isascii() else None
    except (binascii.Error, ValueError):
        return None


_PLAIN: Final = str.maketrans("-_", "+/")
