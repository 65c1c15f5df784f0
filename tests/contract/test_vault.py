"""The reasoning vault on a real Redis: what a provider signed comes back to it, and to nobody else."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from omni_core.ports.context import CallContext
from omni_core.ports.translator import EncodeCall, EncodedRequest, Parties, StreamCall
from omni_core.redis import open_redis
from omni_core.telemetry import new_registry
from omni_translator.adapters.metrics import TranslatorMetrics
from omni_translator.adapters.vault import RedisVault
from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.events import unfold
from omni_translator.service import TranslatorService
from omni_translator.settings import TranslatorSettings
from omni_wire.formats import CLIENT_FORMATS, WireFormat
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from tests.support.echo import next_request
from tests.support.router import harness
from tests.support.servers import RedisServer, free_port

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
ANTHROPIC, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
BEDROCK = WireFormat.BEDROCK_CONVERSE
CLAUDE = Parties("key-1", "claude", "acc-1", "claude-sonnet-4-5")
MAKERS = {
    ANTHROPIC: CLAUDE,
    GEMINI: Parties("key-1", "google", "acc-2", "gemini-3-pro"),
    RESPONSES: Parties("key-1", "openai", "acc-3", "gpt-x"),
    BEDROCK: Parties("key-1", "aws", "acc-4", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
}
USAGE = {"input_tokens": 1, "output_tokens": 1}
# A thoughtful answer of each format that signs, as its provider gives it.
ANSWERS: dict[WireFormat, dict[str, Any]] = {
    ANTHROPIC: {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [
            {"type": "thinking", "thinking": "I should look.", "signature": "EqQBCgIY"},
            {"type": "redacted_thinking", "data": "EmwKAhgB"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "toolu_A", "name": "weather", "input": {"city": "Zürich", "days": 1}},
            {"type": "tool_use", "id": "toolu_B", "name": "time", "input": {}},
        ],
        "stop_reason": "tool_use", "stop_sequence": None, "usage": USAGE,
    },
    GEMINI: {
        "candidates": [{"content": {"role": "model", "parts": [
            {"text": "Looking.", "thought": True},
            {"functionCall": {"name": "weather", "args": {"city": "Bern"}}, "thoughtSignature": "CpcBAVSo"},
            {"functionCall": {"name": "time", "args": {}}},
        ]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": "gemini-3-pro", "responseId": "mAITabc",
    },
    RESPONSES: {
        "id": "resp_1", "object": "response", "status": "completed", "model": "gpt-x-2026-08-01",
        "output": [
            {"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAAAABp",
             "summary": [{"type": "summary_text", "text": "Look."}, {"type": "summary_text", "text": "Both."}]},
            {"id": "fc_1", "type": "function_call", "call_id": "call_A", "name": "weather",
             "arguments": "{\"city\":\"Rom\"}", "status": "completed"},
        ],
        "usage": USAGE | {"total_tokens": 2},
    },
    BEDROCK: {
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "I should look.", "signature": "EsYBCmMI"}}},
            {"reasoningContent": {"redactedContent": "RW13S0FoZ0I="}},
            {"text": "Let me see."},
            {"toolUse": {"toolUseId": "tooluse_A", "name": "weather", "input": {"city": "Chur"}}},
        ]}},
        "stopReason": "tool_use", "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    },
}  # fmt: skip
# What of it must be in the request that goes back, as that format writes it.
PROOFS: dict[WireFormat, list[dict[str, Any]]] = {
    ANTHROPIC: ANSWERS[ANTHROPIC]["content"][:2],
    GEMINI: [
        {"functionCall": {"name": "weather", "args": {"city": "Bern"}}, "thoughtSignature": "CpcBAVSo"},
        {"functionCall": {"name": "time", "args": {}}},
    ],
    BEDROCK: ANSWERS[BEDROCK]["output"]["message"]["content"][:2],
    RESPONSES: [{key: value for key, value in ANSWERS[RESPONSES]["output"][0].items() if key != "id"}],
}
# A client that asks to think, in its own words.
THINKING: dict[WireFormat, dict[str, Any]] = {
    CHAT: {"reasoning_effort": "low"},
    ANTHROPIC: {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 8000},
    RESPONSES: {"reasoning": {"effort": "low"}},
    GEMINI: {"generationConfig": {"thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True}}},
    WireFormat.OLLAMA_CHAT: {"think": "low"},
}
PAIRS = [(client, home) for client in CLIENT_FORMATS for home in ANSWERS if client is not home]


class Translators:
    """One translator after another over the same Redis: nothing is in a translator's own memory."""

    def __init__(self, redis: "Redis", **settings: Any) -> None:
        self.redis = redis
        self.settings = TranslatorSettings(**({"vault_deadline": 2.0} | settings))
        self.registry: CollectorRegistry = new_registry()
        self.metrics = TranslatorMetrics(self.registry, self.settings)

    @property
    def vault(self) -> RedisVault:
        return RedisVault(self.redis, self.settings, self.metrics)

    @property
    def port(self) -> TranslatorService:
        return TranslatorService(self.metrics, self.settings, self.vault)

    async def answer(
        self, client: WireFormat, home: WireFormat, parties: Parties, body: bytes, *, stream: bool = False
    ) -> bytes:
        call = StreamCall(
            CallContext("r"), client, home, stream, stream, "m", True, 1_700_000_000, "id-1", parties=parties
        )  # fmt: skip
        items = [item async for item in self.port.translate_stream(call, _cut(body))]
        assert items[-1].finished
        return b"".join(item.data for item in items)

    async def request(self, client: WireFormat, home: WireFormat, parties: Parties, body: bytes) -> dict[str, Any]:
        call = EncodeCall(CallContext("r"), client, home, body, parties.model, 8000, parties=parties)
        sent: dict[str, Any] = msgspec.json.decode((await self.port.encode_request(call)).body)
        return sent

    def count(self, outcome: str) -> float:
        return self.registry.get_sample_value("omniroute_translator_vault_total", {"outcome": outcome}) or 0.0


async def _cut(body: bytes) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(body), 48):
        yield body[at : at + 48]


@pytest_asyncio.fixture
async def made(clean_redis: str) -> AsyncIterator[Translators]:
    async with open_redis(clean_redis) as redis:
        yield Translators(redis)


def said(home: WireFormat, sent: dict[str, Any]) -> list[dict[str, Any]]:
    """The blocks (or items) of the model's turns."""
    if home in (ANTHROPIC, BEDROCK):
        return [block for turn in sent["messages"] if turn["role"] == "assistant" for block in turn["content"]]
    if home is GEMINI:
        return [part for turn in sent["contents"] if turn["role"] == "model" for part in turn["parts"]]
    return [item for item in sent["input"] if item["type"] in ("reasoning", "function_call")]


def streamed(home: WireFormat) -> bytes:
    """The answer as a stream of its own format."""
    encoder = CODECS[home].stream_encoder(Reply("", ""))
    response = CODECS[home].decode_response(msgspec.json.encode(ANSWERS[home]))
    return b"".join(encoder.emit(event) for event in unfold(response))


async def first_turn(made: Translators, client: WireFormat, home: WireFormat) -> bytes:
    return await made.answer(client, home, MAKERS[home], msgspec.json.encode(ANSWERS[home]))


@pytest.mark.parametrize(("client", "home"), PAIRS)
async def test_what_was_signed_comes_back_though_the_client_gives_nothing_back(
    made: Translators, client: WireFormat, home: WireFormat
) -> None:
    seen = await first_turn(made, client, home)
    sent = await made.request(client, home, MAKERS[home], next_request(client, [seen], **THINKING[client]))
    blocks = said(home, sent)
    assert [block for block in blocks if block in PROOFS[home]] == PROOFS[home]
    if home is not GEMINI:
        assert blocks[: len(PROOFS[home])] == PROOFS[home]
    assert (made.count("kept"), made.count("restored")) == (1, 1)


@pytest.mark.parametrize("home", list(ANSWERS))
async def test_a_stream_is_kept_as_a_whole_answer_is(made: Translators, home: WireFormat) -> None:
    await made.answer(CHAT, home, MAKERS[home], streamed(home), stream=True)
    (key,) = [key async for key in made.redis.scan_iter("vault:*") if not key.endswith(b":index")]
    kept = await made.redis.get(key)
    await made.redis.flushall()
    await first_turn(made, CHAT, home)
    assert await made.redis.get(key) == kept


async def test_a_conversation_that_changes_provider_and_comes_back(made: Translators) -> None:
    """Chat client: Claude, then Gemini, then Claude again."""
    one = await first_turn(made, CHAT, ANTHROPIC)
    to_gemini = await made.request(
        CHAT, GEMINI, MAKERS[GEMINI], next_request(CHAT, [one], **THINKING[CHAT])
    )  # fmt: skip
    text = msgspec.json.encode(to_gemini)
    assert b"EqQBCgIY" not in text
    assert b"EmwKAhgB" not in text
    assert b"I should look." not in text
    plain = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Sunny."}]}, "finishReason": "STOP"}]}
    two = await made.answer(CHAT, GEMINI, MAKERS[GEMINI], msgspec.json.encode(plain))
    asked = msgspec.json.decode(next_request(CHAT, [one, two], **THINKING[CHAT]))
    asked["messages"].append({"role": "user", "content": "And tomorrow?"})
    sent = await made.request(CHAT, ANTHROPIC, CLAUDE, msgspec.json.encode(asked))
    assert said(ANTHROPIC, sent)[:2] == PROOFS[ANTHROPIC]
    assert sent["thinking"]["type"] == "enabled"
    assert msgspec.json.encode(sent).count(b"signature") == 1


@pytest.mark.parametrize(
    ("home", "other"),
    [
        (ANTHROPIC, Parties("key-2", "claude", "acc-1", "claude-sonnet-4-5")),
        (ANTHROPIC, Parties("key-1", "claude-compatible", "acc-1", "claude-sonnet-4-5")),
        (ANTHROPIC, Parties("key-1", "claude", "acc-1", "claude-opus-4-5")),
        (ANTHROPIC, Parties("", "claude", "acc-1", "claude-sonnet-4-5")),
        (ANTHROPIC, Parties()),
        (RESPONSES, Parties("key-1", "openai", "acc-9", "gpt-x")),
        (GEMINI, Parties("key-1", "google", "acc-9", "gemini-3-pro")),
    ],
)
async def test_nobody_else_finds_or_gets_it(made: Translators, home: WireFormat, other: Parties) -> None:
    seen = await first_turn(made, CHAT, home)
    body = next_request(CHAT, [seen], **THINKING[CHAT])
    sent = await made.request(CHAT, home, other, body)
    alone = EncodeCall(CallContext("r"), CHAT, home, body, other.model, 8000)
    bare = (await TranslatorService(made.metrics, made.settings).encode_request(alone)).body
    assert sent == msgspec.json.decode(bare)
    assert made.count("restored") == 0


async def test_another_account_of_anthropics_gets_it(made: Translators) -> None:
    seen = await first_turn(made, CHAT, ANTHROPIC)
    other = Parties("key-1", "claude", "acc-2", "claude-sonnet-4-5-20250929")
    sent = await made.request(CHAT, ANTHROPIC, other, next_request(CHAT, [seen], **THINKING[CHAT]))
    assert said(ANTHROPIC, sent)[:2] == PROOFS[ANTHROPIC]


async def test_a_client_of_the_same_format_has_its_own(made: Translators) -> None:
    await made.answer(ANTHROPIC, ANTHROPIC, CLAUDE, msgspec.json.encode(ANSWERS[ANTHROPIC]))
    assert await made.redis.keys("vault:*") == []


# ---- how long, how much ---------------------------------------------------------------------------------------------


async def test_an_entry_lives_for_its_time_and_names_nobody(made: Translators) -> None:
    await first_turn(made, CHAT, ANTHROPIC)
    keys: list[bytes] = await made.redis.keys("vault:*")  # type: ignore[assignment]
    assert len(keys) == 2
    for key in keys:
        assert 86_000 < await made.redis.ttl(key) <= 86_400
        assert b"key-1" not in key
        assert b"toolu" not in key
        assert key.split(b"{")[1].split(b"}")[0]


async def test_an_entry_is_gone_after_its_time(made: Translators) -> None:
    brief = Translators(made.redis, vault_ttl=1)
    seen = await first_turn(brief, CHAT, ANTHROPIC)
    await asyncio.sleep(1.2)
    sent = await brief.request(CHAT, ANTHROPIC, CLAUDE, next_request(CHAT, [seen], **THINKING[CHAT]))
    assert "signature" not in str(sent)
    assert await made.redis.keys("vault:*") == []


async def test_the_oldest_of_a_principal_give_way(made: Translators) -> None:
    few = Translators(made.redis, vault_principal_entries=3)
    for number in range(5):
        await few.vault.put("p", f"c{number}", b"x")
        await asyncio.sleep(0.002)
    await few.vault.put("other", "c0", b"y")
    assert set(await few.vault.get("p", [f"c{number}" for number in range(5)])) == {"c2", "c3", "c4"}
    assert await few.vault.get("other", ["c0"]) == {"c0": b"y"}
    assert len(await made.redis.keys("vault:*")) == 3 + 1 + 2


async def test_a_principal_holds_so_many_bytes_and_an_entry_too(made: Translators) -> None:
    small = Translators(made.redis, vault_principal_bytes=100, vault_entry_bytes=80)
    for call_id in ("a", "b", "a", "c"):
        await small.vault.put("p", call_id, call_id.encode() * 40)
        await asyncio.sleep(0.002)
    assert set(await small.vault.get("p", "abc")) == {"a", "c"}  # "a" was told again
    await small.vault.put("p", "d", b"d" * 81)
    assert await small.vault.get("p", "d") == {}
    assert small.count("refused") == 1


async def test_what_holds_the_money_is_not_filled_with_thoughts(made: Translators) -> None:
    used = (await made.redis.info("memory"))["used_memory"]
    await made.redis.config_set("maxmemory", int(used * 1.1))
    try:
        await made.vault.put("p", "a", b"x")
        assert (await made.vault.get("p", "a"), made.count("refused")) == ({}, 1)
    finally:
        await made.redis.config_set("maxmemory", 0)


async def test_what_is_not_an_entry_is_as_good_as_nothing(made: Translators) -> None:
    seen = await first_turn(made, CHAT, ANTHROPIC)
    (key,) = [key async for key in made.redis.scan_iter("vault:*") if not key.endswith(b":index")]
    await made.redis.set(key, b"not one")
    sent = await made.request(CHAT, ANTHROPIC, CLAUDE, next_request(CHAT, [seen], **THINKING[CHAT]))
    assert "signature" not in str(sent)
    await made.redis.delete(key)
    await made.redis.lpush(key, b"of another type")
    await made.request(CHAT, ANTHROPIC, CLAUDE, next_request(CHAT, [seen], **THINKING[CHAT]))


# ---- away -----------------------------------------------------------------------------------------------------------


async def _both_ways(made: Translators) -> tuple[dict[str, Any], float]:
    """A turn and the next request, and how long the two took (seconds)."""
    began = time.monotonic()
    seen = await first_turn(made, CHAT, ANTHROPIC)
    sent = await made.request(CHAT, ANTHROPIC, CLAUDE, next_request(CHAT, [seen], **THINKING[CHAT]))
    return sent, time.monotonic() - began


async def test_without_redis_only_the_reasoning_is_missing() -> None:
    async with open_redis(f"redis://127.0.0.1:{free_port()}") as redis:
        made = Translators(redis, vault_deadline=0.05)
        sent, _ = await _both_ways(made)
        assert "signature" not in str(sent)
        assert "thinking" not in sent  # Anthropic would refuse to think without it
        assert made.count("failed") == 2


async def test_a_redis_that_hangs_costs_its_deadline_and_comes_back() -> None:
    server = RedisServer()
    try:
        async with open_redis(server.start().url) as redis:
            made = Translators(redis, vault_deadline=0.05)
            await made.vault.put("p", "warm", b"up")
            server.pause()
            try:
                sent, took = await _both_ways(made)
            finally:
                server.resume()
            assert "signature" not in str(sent)
            assert took < 10
            assert made.count("failed") >= 2
            again = Translators(redis)
            sent, _ = await _both_ways(again)
            assert said(ANTHROPIC, sent)[:2] == PROOFS[ANTHROPIC]
    finally:
        server.close()


# ---- through the router ---------------------------------------------------------------------------------------------


class Watched(TranslatorService):
    """Remembers what it had sent."""

    def __init__(self, made: Translators) -> None:
        super().__init__(made.metrics, made.settings, made.vault)
        self.bodies: list[dict[str, Any]] = []

    async def encode_request(self, call: EncodeCall) -> EncodedRequest:
        encoded = await super().encode_request(call)
        self.bodies.append(msgspec.json.decode(encoded.body))
        return encoded


async def test_the_router_says_who_asks_and_who_answers(made: Translators, clean_redis: str) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    port = Watched(made)
    async with harness(clean_redis, port) as gateway:
        asked: dict[str, Any] = {"tools": [tool], "reasoning_effort": "low"}
        _, answer = await gateway.ask("claude/sim+think+tools", **asked)
        echoed = msgspec.json.decode(next_request(CHAT, [answer]))["messages"]
        await gateway.ask("claude/sim+think+tools", messages=echoed, **asked)
    assert [block["type"] for block in said(ANTHROPIC, port.bodies[-1])] == ["thinking", "tool_use"]
    assert (made.count("kept"), made.count("restored")) == (1, 1)
