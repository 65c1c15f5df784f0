"""What Claude Code, Codex and gemini-cli send (``reference`` sizes left out), over providers of every format: answered,
with their tools, on the first turn and on the one after a call; and nothing that a provider would refuse reaches it.

Shapes as measured of Claude Code 2.1.330, Codex 0.169.0 and gemini-cli 0.61.0 on 2026-11-22.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from omni_core.ports.router import Head
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import fold
from omni_translator.domain.model import Response, ToolCall
from omni_wire.formats import WireFormat

from tests.contract.test_router_formats import CHAT, FORMATS, GEMINI, MESSAGES, NAMES, RESPONSES, ask, call, configure
from tests.support.router import Harness, harness

SCHEMA = {"type": "object", "properties": {"file_path": {"type": "string"}, "content": {"type": "string"}}}
MARK = {"cache_control": {"type": "ephemeral"}}
MODELS = {
    CHAT: "gpt-6.1", RESPONSES: "gpt-6.1-sol", MESSAGES: "claude-opus-5-5", GEMINI: "gemini-3.8-flash",
    WireFormat.OLLAMA_CHAT: "qwen3",
}  # fmt: skip


@pytest.fixture
async def gw(clean_redis: str) -> AsyncIterator[Harness]:
    async with harness(clean_redis) as made:
        configure(made)
        yield made


def claude_code() -> dict[str, Any]:
    reminder = {"type": "text", "text": "<system-reminder>plan</system-reminder>"}
    return {
        "max_tokens": 32000,
        "system": [{"type": "text", "text": text} for text in ("billing", "identity")]
        + [{"type": "text", "text": "long instructions"} | MARK],
        "messages": [
            {"role": "user", "content": [reminder, {"type": "text", "text": "Write a file"} | MARK]},
            {"role": "system", "content": "A tool was added."},
        ],
        "tools": [
            {"name": "Write", "description": "Writes", "input_schema": SCHEMA},
            {"name": "Later", "description": "Waits", "input_schema": SCHEMA, "defer_loading": True},
        ],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "high"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "s" * 36})},
    }


def codex() -> dict[str, Any]:
    tools = [
        {"type": "custom", "name": "exec", "description": "Runs", "format": {
            "type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
        {"type": "namespace", "name": "multi_agent_v1", "description": "Agents", "tools": [
            {"type": "function", "name": "spawn", "description": "Starts", "strict": False, "parameters": SCHEMA}]},
    ]  # fmt: skip
    return {
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": tools},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "sandbox"}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Write a file"}]},
        ],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199-thread",
        "client_metadata": {"x-codex-installation-id": "i"},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "reasoning": {"effort": "medium", "summary": "auto"},
        "text": {"verbosity": "low"},
    }


def gemini_cli() -> dict[str, Any]:
    declared = {"name": "write_file", "description": "Writes", "parametersJsonSchema": SCHEMA}
    return {
        "contents": [
            {"role": "user", "parts": [{"text": "This is the Gemini CLI."}]},
            {"role": "user", "parts": [{"text": "Write a file"}]},
        ],
        "systemInstruction": {"role": "user", "parts": [{"text": "long instructions"}]},
        "tools": [{"functionDeclarations": [declared]}],
        "generationConfig": {"temperature": 1, "topP": 0.95, "topK": 64, "thinkingConfig": {"includeThoughts": True}},
    }


BODIES = {MESSAGES: claude_code, RESPONSES: codex, GEMINI: gemini_cli}
HEADERS = {
    MESSAGES: {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
    }
}


async def turn(
    gw: Harness, dialect: WireFormat, provider: WireFormat, body: dict[str, Any]
) -> tuple[Head, Response, bytes]:
    model = f"{NAMES[provider]}/{MODELS[provider]}+think+tools"
    head, data, error = await ask(gw, call(dialect, model, stream=True, headers=HEADERS.get(dialect, {}), **body))
    assert error is None
    decoder = CODECS[dialect].stream_decoder()
    return head, fold([*decoder.feed(data), *decoder.end()]), data


def results(dialect: WireFormat, answer: Response) -> list[dict[str, Any]]:
    """The client's next turns: what it was told, as it writes it, and what its tools gave."""
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    assert calls
    if dialect is MESSAGES:
        said = [
            {"type": "tool_use", "id": one.id, "name": one.name, "input": json.loads(one.arguments)} for one in calls
        ]
        gave = [{"type": "tool_result", "tool_use_id": one.id, "content": "ok"} | MARK for one in calls]
        return [{"role": "assistant", "content": said}, {"role": "user", "content": gave}]
    if dialect is RESPONSES:
        items: list[dict[str, Any]] = []
        for one in calls:
            if one.freeform:
                items.append({"type": "custom_tool_call", "call_id": one.id, "name": one.name, "input": one.arguments})
                items.append({"type": "custom_tool_call_output", "call_id": one.id, "output": "ok"})
                continue
            said_call = {"type": "function_call", "call_id": one.id, "name": one.name, "arguments": one.arguments}
            items.append(said_call | ({"namespace": one.namespace} if one.namespace else {}))
            items.append({"type": "function_call_output", "call_id": one.id, "output": "ok"})
        return items
    said_parts = [
        {
            "functionCall": {"name": one.name, "args": json.loads(one.arguments)},
            "thoughtSignature": one.signature or "skip_thought_signature_validator",
        }
        for one in calls
    ]
    gave_parts = [{"functionResponse": {"name": one.name, "response": {"output": "ok"}}} for one in calls]
    return [{"role": "model", "parts": said_parts}, {"role": "user", "parts": gave_parts}]


TURNS = {MESSAGES: "messages", RESPONSES: "input", GEMINI: "contents"}


@pytest.mark.parametrize("provider", FORMATS)
@pytest.mark.parametrize("dialect", [MESSAGES, RESPONSES, GEMINI])
async def test_the_big_clis_are_answered_by_providers_of_every_format(
    gw: Harness, dialect: WireFormat, provider: WireFormat
) -> None:
    body = BODIES[dialect]()
    head, answer, data = await turn(gw, dialect, provider, body)
    assert head.passthrough is (dialect is provider)
    called = [part for part in answer.parts if isinstance(part, ToolCall)]
    assert called[0].name == {MESSAGES: "Write", RESPONSES: "exec", GEMINI: "write_file"}[dialect]
    assert called[0].freeform is (dialect is RESPONSES)
    if dialect is RESPONSES:
        assert b"response.output_item.done" in data
        assert b"response.completed" in data
    body[TURNS[dialect]] += results(dialect, answer)
    _, again, _ = await turn(gw, dialect, provider, body)
    assert "ok" in "".join(getattr(part, "text", "") for part in again.parts), "the tool's result was heard"


@pytest.mark.parametrize("provider", [CHAT, RESPONSES, GEMINI])
async def test_what_claude_code_says_beyond_others_is_declared(gw: Harness, provider: WireFormat) -> None:
    head, _, _ = await turn(gw, MESSAGES, provider, claude_code())
    assert {"context_management", "tools.defer_loading", "thinking.display"} <= set(head.losses)
    sent = gw.simulator.recent[-1].body
    for word in (b"context_management", b"defer_loading", b"cache_control", b"adaptive"):
        assert word not in sent
    assert b"A tool was added." in sent


@pytest.mark.parametrize("provider", [CHAT, MESSAGES, GEMINI])
async def test_codexs_tools_reach_others_as_plain_functions(gw: Harness, provider: WireFormat) -> None:
    await turn(gw, RESPONSES, provider, codex())
    sent = gw.simulator.recent[-1].body
    assert b'"multi_agent_v1__spawn"' in sent
    assert b'"exec"' in sent
    for word in (b"namespace", b"additional_tools", b"prompt_cache_key", b"client_metadata"):
        assert word not in sent


@pytest.mark.parametrize("provider", [CHAT, MESSAGES, RESPONSES])
async def test_gemini_clis_schemas_reach_others_whole(gw: Harness, provider: WireFormat) -> None:
    await turn(gw, GEMINI, provider, gemini_cli())
    sent = gw.simulator.recent[-1].json()
    (tool,) = sent["tools"]
    assert SCHEMA in (tool.get("parameters"), tool.get("input_schema"), tool.get("function", {}).get("parameters"))
