"""What a request can make a provider bill, told from its bytes: an upper bound on its input's tokens, and what in it is
billed apart from tokens.

The bound is one token a byte (a token is at least one byte of the text it stands for; JSON's own punctuation outweighs
the few tokens that frame a message), the table's for each image and for whatever is only pointed at or dearer than its
bytes, and the prompts that tools bring; and in any case what fits into the model's window, where that is known.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from omni_wire.body import Body
from omni_wire.errors import InvalidRequest, WireError
from omni_wire.formats import WireFormat

from omni_router.domain.request import nested

# The dearest image a listed provider bills for its own tiles: gpt-4o-mini, 2,833 + 5,667 tokens for each of 8 tiles
# (platform.openai.com/docs/guides/images-vision). A link or a few bytes can stand for one, so bytes do not bound it.
IMAGE_TOKENS = 48_169
# What a file, a document or a video may hold: the largest window a listed model has. Of one sent along too: a page of a
# PDF is billed as its text and as an image, a second of video or sound by the second, however few bytes they take.
REFERENCE_TOKENS = 1_048_576
# Anthropic adds a hidden system prompt of at most 530 tokens when tools are offered (docs.anthropic.com, tool use).
TOOL_PROMPT_TOKENS = 530
# Tools that a vendor defines and the client runs (a shell, an editor, a computer) bring their definitions with them, of
# which the body has but a name: 735 tokens at most are told (docs.anthropic.com, computer use).
TYPED_TOOL_TOKENS = 1_000

_FILES = (b'"file_id"', b'"file_url"', b'"file_data"', b'"video_url"', b'"document_url"', b'"audio_url"')
# An item of a Responses conversation that names another one, kept by the provider; its type may be left out.
_BARE_REFERENCE = re.compile(rb'\{\s*"id"\s*:\s*"[^"\\]*"\s*\}')
# Fields that stand for content which the provider keeps.
_KEPT = {
    WireFormat.OPENAI_RESPONSES: ("previous_response_id", "conversation", "prompt"),
    WireFormat.GEMINI_GENERATE: ("cachedContent", "cached_content"),
}
AN_HOUR = "cache_control.ttl"
_HOUR = re.compile(rb'"ttl"\s*:\s*"1h"')

_CLIENTS_RESPONSES_TOOLS = frozenset(
    {
        *("function", "custom", "namespace", "local_shell", "apply_patch", "computer", "computer_use_preview"),
        *("computer-preview", "tool_search"),
    }
)
_CLIENTS_MESSAGES_TOOLS = ("bash_", "text_editor_", "computer_", "memory_", "tool_search_tool_")
_CLIENTS_GEMINI_TOOLS = frozenset({"functionDeclarations", "function_declarations", "computerUse", "computer_use"})


def input_bound(client_format: WireFormat, body: Body, context: int) -> int:
    """Tokens that ``body`` cannot exceed. ``context`` is the model's window, 0 when it is not known."""
    bound = body.size + (TOOL_PROMPT_TOKENS if body.has("tools") else 0)
    for field in _KEPT.get(client_format, ()):
        bound += REFERENCE_TOKENS if body.raw(field) not in (b"", b"null") else 0
    if client_format is WireFormat.OPENAI_CHAT:
        bound += _in_chat(body.raw("messages"))
    elif client_format is WireFormat.OPENAI_RESPONSES:
        bound += _in_responses(body.raw("input")) + _typed(body)
    elif client_format is WireFormat.ANTHROPIC_MESSAGES:
        bound += sum(_in_messages(body.raw(field)) for field in ("messages", "system")) + _typed(body)
    elif client_format is WireFormat.OLLAMA_CHAT:
        bound += _in_ollama(body.raw("messages"))
    else:
        fields = ("contents", "systemInstruction", "system_instruction")
        bound += sum(_in_gemini(body.raw(field)) for field in fields)
    return min(bound, context) if context else bound


def billed_apart(
    client_format: WireFormat, provider_format: WireFormat, body: Body, *, hours_priced: bool = False
) -> str:
    """The first field that such a provider would bill otherwise than by tokens at the listed price; empty when there
    is none. Tools that a provider runs reach only one of the client's own format. What is written to the cache for an
    hour costs more than the listed price of writing, unless ``hours_priced`` says that this is listed, too. Raises
    ``InvalidRequest``."""
    try:
        anthropic = provider_format is WireFormat.ANTHROPIC_MESSAGES
        if anthropic and not hours_priced and _HOUR.search(_plain(body.whole)):
            return AN_HOUR
        if client_format is not provider_format:
            return ""
        if client_format is WireFormat.OPENAI_RESPONSES:
            return _hosted_responses(body)
        if client_format is WireFormat.ANTHROPIC_MESSAGES:
            return _hosted_messages(body)
        return _hosted_gemini(body) if client_format is WireFormat.GEMINI_GENERATE else ""
    except WireError as error:
        raise InvalidRequest(str(error), param=error.field) from error


# ---- content that is dearer than its bytes --------------------------------------------------------------------------


def _in_chat(messages: bytes) -> int:
    if b"_" not in messages and b"\\" not in messages:  # the marks have an underscore, plain or escaped; most talk none
        return 0
    plain = _plain(messages)
    images = -(-plain.count(b'"image_url"') // 2)  # a part's type and its field both say so
    return images * IMAGE_TOKENS + sum(plain.count(mark) for mark in _FILES) * REFERENCE_TOKENS


def _in_responses(items: bytes) -> int:
    plain = _plain(items)
    images = plain.count(b'"input_image"') + plain.count(b'"computer_screenshot"')
    references = sum(plain.count(mark) for mark in (*_FILES, b'"item_reference"'))
    return images * IMAGE_TOKENS + (references + len(_BARE_REFERENCE.findall(plain))) * REFERENCE_TOKENS


def _in_messages(content: bytes) -> int:
    plain = _plain(content)
    if not any(mark in plain for mark in (b'"image"', b'"document"', b'"container_upload"')):
        return 0
    bound = 0
    for block in _objects(plain):
        kind, source = block.get("type"), block.get("source")
        said = isinstance(source, dict) and source.get("type") in ("text", "content")  # in the body, as text or blocks
        if kind == "image":
            bound += IMAGE_TOKENS
        elif kind == "container_upload" or (kind == "document" and not said):
            bound += REFERENCE_TOKENS
    return bound


def _in_gemini(content: bytes) -> int:
    plain = _plain(content)
    if not any(mark in plain for mark in (b'"inlineData"', b'"inline_data"', b'"fileData"', b'"file_data"')):
        return 0
    bound = 0
    for part in _objects(plain):
        if part.get("fileData") is not None or part.get("file_data") is not None:
            bound += REFERENCE_TOKENS
        for name in ("inlineData", "inline_data"):
            if (blob := part.get(name)) is not None:
                told = blob.get("mimeType", blob.get("mime_type")) if isinstance(blob, dict) else None
                mime = told if isinstance(told, str) else ""
                bound += 0 if mime.startswith("text/") else _media(mime)
    return bound


def _in_ollama(messages: bytes) -> int:
    plain = _plain(messages)
    if b'"images"' not in plain:
        return 0
    held = [message.get("images") for message in _objects(plain)]
    return sum(len(images) for images in held if isinstance(images, list)) * IMAGE_TOKENS


def _media(mime: str) -> int:
    return IMAGE_TOKENS if mime.startswith("image/") else REFERENCE_TOKENS


def _typed(body: Body) -> int:
    """For the tools whose definition is not in the body."""
    tools = body.get("tools")
    kinds = [tool.get("type") for tool in (tools if isinstance(tools, list) else ()) if isinstance(tool, dict)]
    return TYPED_TOOL_TOKENS * sum(kind not in (None, "custom", "function", "namespace") for kind in kinds)


# ---- tools that a provider runs, and bills --------------------------------------------------------------------------


def _hosted_responses(body: Body) -> str:
    tools = body.get("tools")
    at = _first_hosted(tools, "tools")
    items = body.raw("input")
    if at or (b"additional_tools" not in items and b"\\u" not in items):
        return at
    given = body.get("input")
    for index, item in enumerate(given if isinstance(given, list) else ()):
        late = item.get("tools") if isinstance(item, dict) and item.get("type") == "additional_tools" else None
        if at := _first_hosted(late, f"input.{index}.tools"):
            return at
    return ""


def _first_hosted(tools: Any, where: str) -> str:
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if not isinstance(tool, dict):
            continue
        kind, environment = tool.get("type"), tool.get("environment")
        if kind == "namespace" and (inner := _first_hosted(tool.get("tools"), f"{where}.{index}.tools")):
            return inner
        if kind == "shell" and isinstance(environment, dict) and environment.get("type") == "local":
            continue
        if not isinstance(kind, str) or kind not in _CLIENTS_RESPONSES_TOOLS:
            return f"{where}.{index}"
    return ""


def _hosted_messages(body: Body) -> str:
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind in (None, "custom") or (isinstance(kind, str) and kind.startswith(_CLIENTS_MESSAGES_TOOLS)):
            continue
        return f"tools.{index}"
    return ""


def _hosted_gemini(body: Body) -> str:
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        for name, value in tool.items() if isinstance(tool, dict) else ():
            if value is not None and name not in _CLIENTS_GEMINI_TOOLS:
                return f"tools.{index}.{name}"
    for config in ("generationConfig", "generation_config"):
        opened = nested(body, config)
        for name in ("responseModalities", "response_modalities"):
            asked = opened.get(name) if opened is not None else None
            if asked and asked not in (["TEXT"], "TEXT"):  # sound and images have prices of their own
                return f"{config}.{name}"
    return ""


# ---- small things ---------------------------------------------------------------------------------------------------


def _plain(text: bytes) -> bytes:
    """JSON may spell any letter of a key as an escape; written anew, every key is spelt plainly."""
    if b"\\u" not in text:
        return text
    try:
        return msgspec.json.encode(msgspec.json.decode(text))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return text  # no provider reads it either


def _objects(text: bytes) -> Iterator[dict[str, Any]]:
    """Every object in a JSON text, however deep."""
    try:
        left = [msgspec.json.decode(text)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left += value.values()
        elif isinstance(value, list):
            left += value
