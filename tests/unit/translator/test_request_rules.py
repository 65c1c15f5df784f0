"""Rules on requests: what each changes, what it leaves alone, and that a relayed body keeps its bytes."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omni_catalogue.rules import RequestRules, ThinkingRule
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import (
    Conversation,
    Message,
    Role,
    Sampling,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
)
from omni_translator.domain.rules import apply
from omni_translator.domain.rules.bounds import clamp
from omni_translator.domain.rules.prompt import inject
from omni_translator.domain.rules.roles import developer_to_system, system_to_user
from omni_translator.domain.rules.splice import splice
from omni_translator.domain.rules.thinking import Target, adaptive_budget, strip, think
from omni_wire.formats import WireFormat

from tests.codecs import strategies

HI: Any = [{"role": "user", "parts": [{"text": "hi"}]}]
CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
FORMATS = (CHAT, RESPONSES, MESSAGES, GEMINI)
CLOUDCODE, BEDROCK = WireFormat.CLOUDCODE_GENERATE, WireFormat.BEDROCK_CONVERSE
OLLAMA, COHERE = WireFormat.OLLAMA_CHAT, WireFormat.COHERE_CHAT
KIRO, CURSOR = WireFormat.KIRO_CONVERSATION, WireFormat.CURSOR_CHAT


def custom(**fields: Any) -> ThinkingRule:
    return ThinkingRule(mode="custom", **fields)


def enabled(**fields: Any) -> Thinking:
    return Thinking(mode="enabled", **fields)


def conversation(*messages: tuple[str, str], **fields: Any) -> Conversation:
    turns = tuple(Message(role=Role(role), parts=(Text(text),)) for role, text in messages)
    return Conversation(**{"origin": CHAT, "model": "m", "messages": turns} | fields)


def told(found: Conversation) -> list[tuple[str, list[str]]]:
    return [(turn.role.value, [part.text for part in turn.parts if isinstance(part, Text)]) for turn in found.messages]


def ruled(body: dict[str, Any], rules: RequestRules, wire: WireFormat = CHAT, model: str = "m") -> dict[str, Any]:
    raw = json.dumps(body).encode()
    before = CODECS[wire].decode_request(raw)
    after = apply(before, rules, wire, model, 0).conversation
    changed: dict[str, Any] = json.loads(splice(raw, before, after, CODECS[wire]))
    return changed


# ---- roles ----------------------------------------------------------------------------------------------------------


def test_a_developer_becomes_the_system_where_it_stands() -> None:
    found = developer_to_system(conversation(("developer", "a"), ("user", "b"), ("developer", "c")))
    assert [role for role, _ in told(found)] == ["system", "user", "system"]


def test_all_system_texts_go_before_the_users_first_own_words() -> None:
    found = system_to_user(conversation(("system", "one"), ("developer", "two"), ("user", "hi"), ("system", "three")))
    assert told(found) == [
        ("user", ["[System instructions]\none\n\ntwo\n\nthree\n[End of system instructions]\n\nhi"])
    ]  # fmt: skip


def test_without_a_users_turn_the_system_texts_make_one() -> None:
    found = system_to_user(conversation(("system", "one"), ("assistant", "hello")))
    assert [role for role, _ in told(found)] == ["user", "assistant"]
    results = Message(role=Role.USER, parts=(ToolResult(id="c", parts=(Text("r"),)),))
    lone = conversation(("system", "one"))
    kept = system_to_user(lone.__class__(origin=CHAT, model="m", messages=(*lone.messages, results)))
    assert kept.messages[1] == results


def test_a_conversation_without_such_roles_is_left_alone() -> None:
    plain = conversation(("user", "hi"))
    assert developer_to_system(plain) is plain
    assert system_to_user(plain) is plain


# ---- the operator's prompt ------------------------------------------------------------------------------------------


def test_one_system_text_stays_one_text() -> None:
    found = inject(conversation(("system", "mine"), ("user", "hi")), "before", "after")
    assert told(found) == [("system", ["before\n\nmine\n\nafter"]), ("user", ["hi"])]


def test_without_a_system_message_there_is_one_now() -> None:
    assert told(inject(conversation(("user", "hi")), "a", "b")) == [("system", ["a\n\nb"]), ("user", ["hi"])]


def test_no_marked_part_is_rewritten_and_what_is_cached_stays_a_beginning() -> None:
    mark = {"type": "ephemeral"}
    body = {
        "model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}],
        "system": [{"type": "text", "text": "long", "cache_control": mark}],
    }  # fmt: skip
    found = ruled(body, RequestRules(prefix="P", suffix="S"), MESSAGES)
    assert found["system"] == [
        {"type": "text", "text": "P"},
        {"type": "text", "text": "long", "cache_control": mark},
        {"type": "text", "text": "S"},
    ]
    assert found["messages"] == body["messages"]


@pytest.mark.parametrize(
    ("wire", "body", "field", "want"),
    [
        (MESSAGES, {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}, "system", "P"),
        (RESPONSES, {"model": "m", "input": "hi", "instructions": "be brief"}, "instructions", "P\n\nbe brief"),
        (RESPONSES, {"model": "m", "input": "hi"}, "instructions", "P"),
        (GEMINI, {"contents": HI, "system_instruction": {"parts": [{"text": "x"}]}}, "system_instruction",
         {"parts": [{"text": "P\n\nx"}]}),
        (GEMINI, {"contents": HI}, "systemInstruction", {"parts": [{"text": "P"}]}),
    ],
)  # fmt: skip
def test_each_format_has_its_place_for_it(wire: WireFormat, body: dict[str, Any], field: str, want: Any) -> None:
    found = ruled(body, RequestRules(prefix="P"), wire)
    if isinstance(want, str) and isinstance(found[field], list):
        assert found[field] == [{"type": "text", "text": want}]
    else:
        assert found[field] == want
    assert {key: value for key, value in found.items() if key != field} == {
        key: value for key, value in body.items() if key != field
    }


# ---- thinking -------------------------------------------------------------------------------------------------------


def test_all_words_on_thinking_are_taken_out_other_vendors_too() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "reasoning_effort": "high", "odd": 1}
    more = body | {"thinking": {"type": "enabled"}, "reasoning": {"effort": "low"}, "enable_thinking": True}
    bare = {key: body[key] for key in ("model", "messages", "odd")}
    assert ruled(more, RequestRules(thinking=ThinkingRule(mode="auto"))) == bare
    assert ruled(more, RequestRules(strip_thinking=True, thinking=ThinkingRule(mode="adaptive"))) == bare
    plain = conversation(("user", "x"))
    assert strip(plain) is plain


@pytest.mark.parametrize(
    ("rule", "wire", "model", "want"),
    [
        (custom(budget=5_000), CHAT, "gpt-5", Thinking(effort="medium")),
        (custom(budget=0), CHAT, "gpt-5", Thinking(effort="none")),
        (custom(budget=90_000), RESPONSES, "gpt-5", Thinking(effort="high")),
        (custom(effort="max"), CHAT, "gpt-5", Thinking(effort="xhigh")),
        (custom(budget=100), MESSAGES, "claude-sonnet-4-5", enabled(budget=1_024)),
        (custom(budget=90_000), MESSAGES, "claude-sonnet-4-5", enabled(budget=9_999)),
        (custom(effort="low"), MESSAGES, "claude-sonnet-4-5", enabled(budget=4_096)),
        (custom(budget=0), MESSAGES, "claude-sonnet-4-5", Thinking(mode="disabled")),
        (custom(budget=5_000), MESSAGES, "claude-opus-4-6", Thinking(mode="adaptive", effort="medium")),
        (custom(effort="xhigh"), MESSAGES, "claude-opus-4-6", Thinking(mode="adaptive", effort="max")),
        (custom(budget=99_000), GEMINI, "gemini-2.5-flash", enabled(budget=24_576)),
        (custom(budget=0), GEMINI, "gemini-2.5-pro", enabled(budget=128)),
        (custom(budget=0), GEMINI, "gemini-2.5-flash", Thinking(mode="disabled")),
        (custom(budget=5_000), GEMINI, "gemini-3-pro", Thinking(effort="medium")),
        (custom(budget=5_000), GEMINI, "gemini-1.5-pro", None),
        (custom(budget=5_000), CLOUDCODE, "gemini-2.5-flash", enabled(budget=5_000)),
        (custom(effort="xhigh"), CLOUDCODE, "gemini-3-flash", Thinking(effort="high")),
        (custom(budget=5_000), CLOUDCODE, "claude-sonnet-4-6", None),
        (custom(budget=5_000), BEDROCK, "us.anthropic.claude-sonnet-4-5-v1:0", enabled(budget=5_000)),
        (custom(budget=90_000), BEDROCK, "us.anthropic.claude-sonnet-4-5-v1:0", enabled(budget=9_999)),
        (custom(budget=0), BEDROCK, "us.anthropic.claude-sonnet-4-5-v1:0", None),
        (custom(effort="xhigh"), BEDROCK, "anthropic.claude-opus-4-6-v1", Thinking(mode="adaptive", effort="max")),
        (custom(effort="high"), BEDROCK, "amazon.nova-pro-v1:0", None),
        (custom(budget=5_000), COHERE, "command-a-reasoning-08-2025", enabled(budget=5_000)),
        (custom(effort="low"), COHERE, "command-r", None),
        (custom(effort="max"), OLLAMA, "gpt-oss", Thinking(effort="high")),
        (custom(budget=0), OLLAMA, "gpt-oss", Thinking(mode="disabled")),
        (custom(effort="max"), KIRO, "claude-sonnet-4.5", None),
        (custom(effort="max"), CURSOR, "claude-4.5-sonnet", None),
    ],
)  # fmt: skip
def test_the_wish_is_said_in_the_targets_own_words(
    rule: ThinkingRule, wire: WireFormat, model: str, want: Thinking | None
) -> None:
    target = Target(wire, model, limit=10_000, max_output=64_000)
    for origin in FORMATS:
        asked = conversation(("user", "x"), origin=origin, thinking=Thinking(effort="low"))
        said = think(asked, rule, target, Losses("x")).thinking
        assert said == want or (said is None and want == Thinking(mode="disabled") and origin is not wire)


@pytest.mark.parametrize("effort", ["none", "low", "medium", "high"])
@pytest.mark.parametrize(
    ("wire", "model"),
    [(CHAT, "gpt-5"), (RESPONSES, "gpt-5"), (MESSAGES, "claude-sonnet-4-5"), (MESSAGES, "claude-opus-4-6"),
     (GEMINI, "gemini-2.5-flash"), (GEMINI, "gemini-3-flash"), (CLOUDCODE, "gemini-2.5-flash"),
     (CLOUDCODE, "gemini-3-flash"), (CLOUDCODE, "claude-sonnet-4-6"), (BEDROCK, "eu.anthropic.claude-sonnet-4-5-v1:0"),
     (BEDROCK, "eu.anthropic.claude-opus-4-6-v1"), (BEDROCK, "amazon.nova-pro-v1:0"),
     (COHERE, "command-a-reasoning-08-2025"), (COHERE, "command-r"), (OLLAMA, "gpt-oss"), (KIRO, "claude-sonnet-4.5"),
     (CURSOR, "claude-4.5-sonnet")],
)  # fmt: skip
def test_what_the_operator_wishes_is_no_loss_of_the_clients(wire: WireFormat, model: str, effort: str) -> None:
    for origin in FORMATS:
        asked = conversation(("user", "x"), origin=origin, model=model, max_output=50_000)
        found = apply(asked, RequestRules(thinking=custom(effort=effort)), wire, model, 50_000)
        assert found.losses == ()
        encode = CODECS[wire].encode_request
        assert encode(found.conversation).losses == encode(asked).losses


def test_more_to_think_about_means_more_thought() -> None:
    turns = [("user", "x")] * 11
    tools = tuple(Tool(name=f"t{number}") for number in range(4))
    assert adaptive_budget(conversation(("user", "x"))) == 10_240
    assert adaptive_budget(conversation(("user", "x"), thinking=Thinking(effort="low"))) == 1_024
    assert adaptive_budget(conversation(("user", "x"), thinking=Thinking(mode="disabled"))) == 0
    assert adaptive_budget(conversation(*turns)) == 15_360
    assert adaptive_budget(conversation(*turns, tools=tools)) == 20_480
    assert adaptive_budget(conversation(*turns, ("user", "y" * 2_001), tools=tools)) == 23_552
    assert adaptive_budget(conversation(("user", "x")), "high") == 131_072


def test_anthropic_gets_no_temperature_beside_thought_and_no_thought_where_a_tool_is_forced() -> None:
    rules = RequestRules(thinking=custom(budget=2_000))
    body: dict[str, Any] = {
        "model": "claude-sonnet-4-5", "max_tokens": 9_000, "temperature": 0.2, "stop_sequences": ["x"],
        "messages": [{"role": "user", "content": "hi"}],
    }  # fmt: skip
    found = ruled(body, rules, MESSAGES, "claude-sonnet-4-5")
    assert found["thinking"] == {"type": "enabled", "budget_tokens": 2_000}
    assert "temperature" not in found
    assert found["stop_sequences"] == ["x"]
    forced = body | {"tools": [{"name": "t", "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"}}
    assert ruled(forced, rules, MESSAGES, "claude-sonnet-4-5") == forced
    lost = apply(CODECS[MESSAGES].decode_request(json.dumps(body).encode()), rules, MESSAGES, "claude-sonnet-4-5", 0)
    assert [loss.field for loss in lost.losses] == ["temperature"]


# ---- bounds ---------------------------------------------------------------------------------------------------------


def test_each_bound_is_kept_and_told() -> None:
    tools = tuple(Tool(name=f"t{number}") for number in range(200))
    wild = conversation(
        ("user", "x"), max_output=99, tools=tools, tool_choice=ToolChoice(mode="named", name="t150"),
        sampling=Sampling(temperature=3, top_p=-1, presence_penalty=9, frequency_penalty=-9, stop=tuple("abcdef")),
    )  # fmt: skip
    losses = Losses("x")
    found = clamp(wild, RequestRules(max_output=50, context=70), CHAT, losses)
    assert found.max_output == 50
    assert found.sampling == Sampling(
        temperature=2, top_p=0, presence_penalty=2, frequency_penalty=-2, stop=("a", "b", "c", "d")
    )
    names = [tool.name for tool in found.tools if isinstance(tool, Tool)]
    assert (len(names), names[-1]) == (128, "t150")
    assert {loss.field for loss in losses.all()} == {
        "max_tokens", "temperature", "top_p", "presence_penalty", "frequency_penalty", "stop", "tools"
    }  # fmt: skip
    assert all(loss.kind == "approximated" for loss in losses.all())


@pytest.mark.parametrize(
    ("wire", "stops", "tools"), [(CHAT, 4, 128), (GEMINI, 5, 200), (MESSAGES, 9, 200), (RESPONSES, 9, 128)]
)
def test_bounds_are_those_of_the_target(wire: WireFormat, stops: int, tools: int) -> None:
    wild = conversation(
        ("user", "x"), tools=tuple(Tool(name=f"t{n}") for n in range(200)), sampling=Sampling(stop=tuple("abcdefghi"))
    )
    found = clamp(wild, RequestRules(), wire, Losses("x"))
    assert (len(found.sampling.stop), len(found.tools)) == (stops, tools)


def test_what_is_within_bounds_is_left_alone() -> None:
    tame = conversation(("user", "x"), max_output=50, sampling=Sampling(temperature=1, stop=("a",)))
    assert clamp(tame, RequestRules(max_output=50), CHAT, Losses("x")) is tame


def test_a_clamped_limit_keeps_the_name_that_the_client_gave_it() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "max_completion_tokens": 99, "odd": 1}
    assert ruled(body, RequestRules(clamp=True, max_output=7)) == body | {"max_completion_tokens": 7}


# ---- relayed bodies -------------------------------------------------------------------------------------------------


# A busy machine draws bodies of this size too slowly for hypothesis' taste.
LARGE = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
BODIES = st.one_of(
    st.tuples(st.just(CHAT), strategies.chat_request()),
    st.tuples(st.just(MESSAGES), strategies.messages_request()),
    st.tuples(st.just(RESPONSES), strategies.responses_request()),
    st.tuples(st.just(GEMINI), strategies.gemini_request()),
)


@LARGE
@given(BODIES)
def test_whatever_the_body_only_the_fields_of_a_rule_change(found: tuple[WireFormat, dict[str, Any]]) -> None:
    wire, body = found
    raw = json.dumps(body).encode()
    before = CODECS[wire].decode_request(raw)
    assert splice(raw, before, before, CODECS[wire]) == raw
    after = apply(before, RequestRules(prefix="P"), wire, before.model, 0).conversation
    changed = json.loads(splice(raw, before, after, CODECS[wire]))
    places = {"messages", "system", "instructions", "input", "systemInstruction", "system_instruction"}
    assert {key for key in {**body, **changed} if body.get(key) != changed.get(key)} <= places


@LARGE
@given(BODIES)
def test_no_request_is_too_odd_for_the_rules(found: tuple[WireFormat, dict[str, Any]]) -> None:
    wire, body = found
    asked = CODECS[wire].decode_request(json.dumps(body).encode())
    for target, codec in CODECS.items():
        rules = RequestRules(
            developer_to_system=True, system_to_user=True, prefix="P", suffix="S", clamp=True, max_output=100,
            thinking=ThinkingRule(mode="adaptive"),
        )  # fmt: skip
        once = apply(asked, rules, target, "some-model", 50).conversation
        assert all(message.role not in (Role.SYSTEM, Role.DEVELOPER) for message in once.messages)
        codec.encode_request(once)


def test_a_splice_leaves_every_other_fields_bytes_alone() -> None:
    raw = b'{ "model":"m",  "odd" : [1.0,\t2], "messages":[{"role":"developer","content":"x","odd":1e2}] }'
    codec = CODECS[CHAT]
    before = codec.decode_request(raw)
    after = developer_to_system(before)
    out = splice(raw, before, after, codec)
    assert b"[1.0,\t2]" in out
    assert json.loads(out) == json.loads(raw.replace(b"developer", b"system"))
    assert splice(raw, before, before, codec) == raw
