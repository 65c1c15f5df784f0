"""No request is held for less than it can cost, whatever its dialect; what cannot be held is named."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_router.domain import bounds, counting
from omni_wire.body import Body
from omni_wire.errors import InvalidRequest
from omni_wire.formats import CLIENT_FORMATS, WireFormat

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
IMAGE, REFERENCE = bounds.IMAGE_TOKENS, bounds.REFERENCE_TOKENS


def extra(wire_format: WireFormat, fields: dict[str, Any], context: int = 0) -> int:
    """The bound beyond the body's bytes."""
    body = Body(json.dumps(fields).encode())
    return bounds.input_bound(wire_format, body, context) - (0 if context else body.size)


def message(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


def item(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(parts)}]}


def content(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"contents": [{"parts": list(parts)}]}


@pytest.mark.parametrize(
    ("wire_format", "fields", "expected"),
    [
        (RESPONSES, {"input": "hello there"}, 0),
        (RESPONSES, item({"type": "input_image", "image_url": "https://x/y.png"}), IMAGE),
        (RESPONSES, item({"type": "input_file", "file_url": "https://x/y.pdf"}), REFERENCE),
        (RESPONSES, item({"type": "input_file", "file_data": "JVBERi0="}), REFERENCE),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "msg_1"}]}, REFERENCE),
        (RESPONSES, {"input": [{"id": "msg_1"}, {"id": "msg_2"}]}, 2 * REFERENCE),
        (RESPONSES, {"previous_response_id": "resp_1", "input": "x"}, REFERENCE),
        (RESPONSES, {"input": "x", "tools": [{"type": "function"}, {"type": "computer"}]}, 530 + 1000),
        (MESSAGES, message({"type": "text", "text": "an image of a document"}), 0),
        (MESSAGES, message({"type": "image", "source": {"type": "url", "url": "https://x"}}), IMAGE),
        (MESSAGES, message({"type": "document", "source": {"type": "base64", "data": "JVBERi0="}}), REFERENCE),
        (MESSAGES, message({"type": "document", "source": {"type": "text", "data": "plain"}}), 0),
        (MESSAGES, message({"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}}), IMAGE),
        (MESSAGES, message({"type": "tool_result", "content": [{"type": "image", "source": {}}]}), IMAGE),
        (MESSAGES, message() | {"tools": [{"name": "x"}, {"type": "bash_20250124", "name": "bash"}]}, 530 + 1000),
        (GEMINI, content({"text": "inline data"}), 0),
        (GEMINI, content({"inlineData": {"mimeType": "image/png", "data": "iVBO"}}), IMAGE),
        (GEMINI, content({"inline_data": {"mime_type": "application/pdf", "data": "JVBE"}}), REFERENCE),
        (GEMINI, content({"inlineData": {"mimeType": "text/plain", "data": "aGk="}}), 0),
        (GEMINI, content({"fileData": {"fileUri": "https://x/y.mp4"}}), REFERENCE),
        (GEMINI, {"contents": [], "cachedContent": "cachedContents/x"}, REFERENCE),
        (CHAT, message({"type": "file", "file": {"file_data": "JVBERi0="}}), REFERENCE),
        (WireFormat.OLLAMA_CHAT, {"messages": [{"role": "user", "images": ["aGk=", "aGk="]}, {}]}, 2 * IMAGE),
        (WireFormat.OLLAMA_CHAT, {"messages": [{"role": "user", "content": '"images"'}]}, 0),
    ],
)
def test_what_bytes_do_not_bound_is_counted_by_the_table(
    wire_format: WireFormat, fields: dict[str, Any], expected: int
) -> None:
    assert extra(wire_format, fields) == expected
    escaped = json.dumps(fields).replace("e", "\\u0065").encode()
    body = Body(escaped)
    assert bounds.input_bound(wire_format, body, 0) - body.size == expected, "spelt with escapes"
    assert extra(wire_format, fields, 1000) <= 1000


BUILTINS: list[tuple[WireFormat, dict[str, Any], str]] = [
    (RESPONSES, {"tools": [{"type": "function", "name": "f"}, {"type": "custom"}, {"type": "local_shell"}]}, ""),
    (RESPONSES, {"tools": [{"type": "shell", "environment": {"type": "local"}}]}, ""),
    (RESPONSES, {"tools": [{"type": "shell"}]}, "tools.0"),
    (RESPONSES, {"tools": [{"type": "namespace", "tools": [{"type": "image_generation"}]}]}, "tools.0.tools.0"),
    (RESPONSES, {"tools": [{"type": "function"}, {"type": "web_search_preview"}]}, "tools.1"),
    (RESPONSES, {"input": [{"type": "additional_tools", "tools": [{"type": "file_search"}]}]}, "input.0.tools.0"),
    (MESSAGES, {"tools": [{"name": "f"}, {"type": "custom"}, {"type": "text_editor_20250728"}]}, ""),
    (MESSAGES, {"tools": [{"type": "memory_20250818"}, {"type": "tool_search_tool_regex_20251119"}]}, ""),
    (MESSAGES, {"tools": [{"type": "code_execution_20250825"}]}, "tools.0"),
    (MESSAGES, {"tools": [{"name": "f"}, {"type": "web_fetch_20250910"}]}, "tools.1"),
    (MESSAGES, {"tools": [{"name": "f", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, "cache_control.ttl"),
    (MESSAGES, {"tools": [{"name": "f", "cache_control": {"type": "ephemeral", "ttl": "5m"}}]}, ""),
    (MESSAGES, {"system": 'say "ttl":"1h"'}, ""),
    (GEMINI, {"tools": [{"functionDeclarations": []}, {"google_search": None}, {}]}, ""),
    (GEMINI, {"tools": [{"urlContext": {}}]}, "tools.0.urlContext"),
    (GEMINI, {"tools": [{"functionDeclarations": [], "code_execution": {}}]}, "tools.0.code_execution"),
    (GEMINI, {"generationConfig": {"responseModalities": ["TEXT"]}}, ""),
    (GEMINI, {"generationConfig": {"responseModalities": "TEXT"}}, ""),
    (
        GEMINI,
        {"generation_config": {"response_modalities": ["TEXT", "IMAGE"]}},
        "generation_config.response_modalities",
    ),
    (CHAT, {"tools": [{"type": "function"}]}, ""),
]


@pytest.mark.parametrize(("wire_format", "fields", "expected"), BUILTINS)
def test_a_tool_that_the_provider_runs_is_named(wire_format: WireFormat, fields: dict[str, Any], expected: str) -> None:
    body = Body(json.dumps(fields).encode())
    assert bounds.billed_apart(wire_format, wire_format, body) == expected
    other = CHAT if wire_format is not CHAT else RESPONSES
    assert bounds.billed_apart(wire_format, other, body) == "", "it does not reach a provider of another format"


@given(
    st.sampled_from(CLIENT_FORMATS),
    st.sampled_from(CLIENT_FORMATS),
    st.dictionaries(
        st.sampled_from(["messages", "input", "contents", "tools", "system", "generationConfig", "prompt"]),
        st.recursive(
            st.none() | st.text(max_size=5) | st.integers(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["type", "tools", "inlineData", "source", "document"]), inner)
            ),
            max_leaves=8,
        ),
    ),
)
def test_no_shape_raises_anything_but_a_refusal(
    client: WireFormat, upstream: WireFormat, fields: dict[str, Any]
) -> None:
    body = Body(json.dumps(fields).encode())
    assert bounds.input_bound(client, body, 0) >= body.size
    assert counting.estimate(body) > 0
    with contextlib.suppress(InvalidRequest):
        bounds.billed_apart(client, upstream, body)


def test_an_estimate_counts_texts_and_not_the_bytes_of_pictures() -> None:
    said = Body(json.dumps({"messages": [{"content": "word " * 400}]}).encode())
    assert 500 <= counting.estimate(said) <= 510
    pictured = content({"inlineData": {"mimeType": "image/png", "data": "A" * 100_000}})
    assert counting.estimate(Body(json.dumps(pictured).encode())) < 1100
    linked = item({"type": "input_image", "image_url": "data:image/png;base64," + "A" * 100_000})
    assert counting.estimate(Body(json.dumps(linked).encode())) < 1100
