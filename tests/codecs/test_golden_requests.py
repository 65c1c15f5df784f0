"""Requests from one format to the other, word for word."""

import hashlib
from typing import Any

import pytest
from omni_translator.domain.codec import Codec
from omni_wire.errors import WireError

from tests.codecs.support import CHAT, MESSAGES, body, convert

USER = {"role": "user", "content": "hi"}


def to_messages(model: str = "claude-x", **request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(CHAT, MESSAGES, {"model": "x", "messages": [USER]} | request, model)


def to_chat(model: str = "gpt-x", **request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(MESSAGES, CHAT, {"model": "x", "max_tokens": 5, "messages": [USER]} | request, model)


# ---- chat to messages -----------------------------------------------------------------------------------------------


def test_a_whole_agentic_turn_goes_to_messages_without_loss() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'}}
    other = {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": ""}}
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    written, losses = to_messages(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "In French."}]},
            {"role": "user", "content": "Weather and time?"},
            {"role": "assistant", "content": None, "tool_calls": [call, other]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
            {"role": "user", "content": "And now?"},
        ],
        tools=[{"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": schema}}],
        tool_choice="required",
        parallel_tool_calls=False,
        stop="END",
        max_tokens=99,
        temperature=0.5,
        user="u-1",
        stream=True,
        stream_options={"include_usage": True},
    )
    assert losses == {}
    assert written == {
        "model": "claude-x",
        "max_tokens": 4096,
        "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In French."}],
        "messages": [
            {"role": "user", "content": "Weather and time?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Bern"}},
                    {"type": "tool_use", "id": "call_2", "name": "get_time", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "rain"},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": "noon"},
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
        "tools": [{"name": "get_weather", "description": "d", "input_schema": schema}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
        "temperature": 0.5,
        "metadata": {"user_id": "u-1"},
        "stream": True,
    }


def test_a_later_system_message_keeps_its_place_as_a_users() -> None:
    written, losses = to_messages(
        messages=[
            {"role": "system", "content": "A"},
            USER,
            {"role": "assistant", "content": "yes"},
            {"role": "system", "content": "B"},
            {"role": "user", "content": "go on"},
        ]
    )
    assert written["system"] == "A"
    assert written["messages"][2]["content"] == [
        {"type": "text", "text": "<system>\nB\n</system>"},
        {"type": "text", "text": "go on"},
    ]
    assert losses == {"messages.role": "approximated"}


def test_a_lone_system_message_becomes_the_users() -> None:
    written, losses = to_messages(messages=[{"role": "system", "content": "A"}])
    assert "system" not in written
    assert written["messages"] == [{"role": "user", "content": "A"}]
    assert losses == {"messages.role": "approximated"}


def test_images_and_files_go_as_base64_and_by_url() -> None:
    written, losses = to_messages(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "auto"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
                ],
            }
        ]
    )
    assert losses == {}
    assert written["messages"][0]["content"] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
            "title": "a.pdf",
        },
    ]


def test_cache_markers_of_chat_clients_reach_anthropic() -> None:
    marker = {"type": "ephemeral"}
    written, losses = to_messages(
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "long", "cache_control": marker}]},
            {"role": "user", "content": "hi", "cache_control": marker},
        ],
        tools=[{"type": "function", "function": {"name": "f"}, "cache_control": marker}],
    )
    assert losses == {}
    assert written["system"] == [{"type": "text", "text": "long", "cache_control": marker}]
    assert written["messages"][0]["content"] == [{"type": "text", "text": "hi", "cache_control": marker}]
    assert written["tools"][0]["cache_control"] == marker


@pytest.mark.parametrize("arguments", ["not json", "[1]", '"text"', "{", "12"])
def test_arguments_that_are_no_object_are_sent_empty_and_declared(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    written, losses = to_messages(messages=[USER, {"role": "assistant", "tool_calls": [call]}])
    assert written["messages"][1]["content"][0]["input"] == {}
    assert losses == {"messages.tool_calls.function.arguments": "approximated"}


def test_tool_ids_anthropic_refuses_are_changed_alike_in_call_and_result() -> None:
    call = {"id": "functions.f:0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    written, losses = to_messages(
        messages=[
            USER,
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "functions.f:0", "content": ""},
        ]
    )
    assert written["messages"][1]["content"][0]["id"] == "functions_f_0_d6bdd4de"
    assert written["messages"][2]["content"] == [{"type": "tool_result", "tool_use_id": "functions_f_0_d6bdd4de"}]
    assert losses == {"messages.tool_calls.id": "approximated"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_every_tool_choice(choice: Any, expected: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert to_messages(tools=tools, tool_choice=choice)[0]["tool_choice"] == expected
    back = to_chat(tools=[{"name": "f", "input_schema": {}}], tool_choice=expected)[0]
    assert back["tool_choice"] == choice


def test_a_tool_choice_without_tools_is_not_sent() -> None:
    written, losses = to_messages(tool_choice="auto", parallel_tool_calls=True)
    assert "tool_choice" not in written
    assert losses == {"tool_choice": "dropped"}


@pytest.mark.parametrize(
    ("key", "value", "field", "kind"),
    [
        ("seed", 7, "seed", "dropped"),
        ("logit_bias", {"1": 2}, "logit_bias", "dropped"),
        ("logprobs", True, "logprobs", "dropped"),
        ("n", 2, "n", "dropped"),
        ("presence_penalty", 0.5, "presence_penalty", "dropped"),
        ("frequency_penalty", 0.5, "frequency_penalty", "dropped"),
        ("response_format", {"type": "json_object"}, "response_format", "dropped"),
        ("temperature", 1.5, "temperature", "approximated"),
        ("reasoning_effort", "high", "reasoning_effort", "approximated"),
        ("stop", [" "], "stop", "dropped"),
        ("x_new", 1, "x_new", "dropped"),
        ("tools", [{"type": "custom", "custom": {"name": "g"}}], "tools.custom", "dropped"),
    ],
)
def test_what_anthropic_has_no_place_for_is_declared(key: str, value: Any, field: str, kind: str) -> None:
    assert to_messages(**{key: value})[1] == {field: kind}


def test_defaults_spelt_out_are_no_losses() -> None:
    assert to_messages(n=1, logprobs=False, store=False, presence_penalty=0, stop=None, logit_bias={})[1] == {}


def test_the_temperature_is_clamped() -> None:
    assert to_messages(temperature=1.7)[0]["temperature"] == 1


def test_structured_output_goes_both_ways() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    chat = {"type": "json_schema", "json_schema": {"name": "response", "schema": schema, "strict": True}}
    anthropic = {"format": {"type": "json_schema", "schema": schema}}
    written, losses = to_messages(response_format=chat)
    assert (written["output_config"], losses) == (anthropic, {})
    back, losses = to_chat(output_config=anthropic)
    assert (back["response_format"], losses) == (chat, {})


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "config"),
    [
        ("claude-3-7-sonnet-20250219", "low", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-sonnet-4-5", "high", {"type": "enabled", "budget_tokens": 4095}, None),
        ("claude-opus-4-6", "medium", {"type": "adaptive"}, {"effort": "medium"}),
        ("claude-opus-5-5", "minimal", {"type": "adaptive"}, {"effort": "low"}),
        ("claude-opus-5-5", "none", None, None),
    ],
)
def test_an_effort_becomes_what_the_model_understands(
    model: str, effort: str, thinking: dict[str, Any] | None, config: dict[str, Any] | None
) -> None:
    written, losses = to_messages(model, reasoning_effort=effort)
    assert (written.get("thinking"), written.get("output_config")) == (thinking, config)
    assert losses == {"reasoning_effort": "approximated"}


def test_thinking_gives_way_to_what_anthropic_does_not_allow_beside_it() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "1"}]
    for request in ({"tools": tools, "tool_choice": "required"}, {"tools": tools, "messages": history}):
        written, losses = to_messages(reasoning_effort="low", **request)
        assert "thinking" not in written
        assert losses == {"reasoning_effort": "dropped"}
    written, losses = to_messages(reasoning_effort="low", temperature=0.2, top_k=5, top_p=0.5)
    assert not {"temperature", "top_k", "top_p"} & written.keys()
    assert {"temperature", "top_k", "top_p"} <= losses.keys()


def test_thoughts_without_anthropics_signature_stay_behind() -> None:
    written, losses = to_messages(
        messages=[USER, {"role": "assistant", "reasoning_content": "hm", "content": "4"}, USER]
    )
    assert written["messages"][1] == {"role": "assistant", "content": "4"}
    assert losses == {"messages.reasoning_content": "dropped"}


# ---- messages to chat -----------------------------------------------------------------------------------------------


def test_a_whole_agentic_turn_goes_to_chat() -> None:
    written, losses = to_chat(
        system=[{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In French."}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Looking."},
                    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Bern"}},
                    {"type": "tool_use", "id": "toolu_2", "name": "get_time", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "rain"}]},
                    {"type": "tool_result", "tool_use_id": "toolu_2"},
                    {"type": "text", "text": "And now?"},
                ],
            },
        ],
        tools=[{"name": "get_weather", "input_schema": {"type": "object"}}],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        metadata={"user_id": "u-1"},
        stream=True,
    )
    assert losses == {}
    assert written == {
        "model": "gpt-x",
        "messages": [
            {
                "role": "system",
                "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "In French."}],
            },
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "Looking.",
                "tool_calls": [
                    {
                        "id": "toolu_1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": '{"city":"Bern"}'},
                    },
                    {"id": "toolu_2", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "toolu_2", "content": ""},
            {"role": "user", "content": "And now?"},
        ],
        "max_tokens": 4096,
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["END"],
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "user": "u-1",
    }


def test_what_claude_code_sends_beyond_chat_is_declared_and_never_refused() -> None:
    written, losses = to_chat(
        system=[{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
        messages=[
            USER,
            {"role": "system", "content": "a reminder"},
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "hm", "signature": "sig"}, {"type": "text", "text": "ok"}],
            },
            USER,
        ],
        tools=[
            {"name": "f", "input_schema": {}, "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015"}]},
        metadata={"user_id": "u" * 200},
    )
    assert written["messages"][2] == {"role": "system", "content": "a reminder"}
    assert written["messages"][3] == {"role": "assistant", "content": "ok", "reasoning_content": "hm"}
    assert written["reasoning_effort"] == "high"
    assert [tool["function"]["name"] for tool in written["tools"]] == ["f"]
    assert written["user"] == hashlib.sha256(b"u" * 200).hexdigest()
    assert losses.keys() == {
        "messages.content.cache_control",
        "messages.content.signature",
        "tools.defer_loading",
        "tools.web_search_20250305",
        "thinking.display",
        "thinking.type",
        "context_management",
        "metadata.user_id",
    }


def test_images_in_tool_results_move_to_a_user_message_after_all_results() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    written, losses = to_chat(
        messages=[
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": call, "name": "f", "input": {}} for call in ("a", "b")],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "see"}, image]},
                    {"type": "tool_result", "tool_use_id": "b", "content": "B", "is_error": True},
                ],
            },
        ]
    )
    assert [message["role"] for message in written["messages"]] == ["assistant", "tool", "tool", "user"]
    assert written["messages"][3]["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    ]
    assert losses == {
        "messages.content.tool_result.content": "approximated",
        "messages.content.is_error": "dropped",
    }


def test_a_budget_becomes_the_nearest_effort() -> None:
    for budget, effort in ((1024, "low"), (10000, "medium"), (32000, "high")):
        written, losses = to_chat(thinking={"type": "enabled", "budget_tokens": budget})
        assert written["reasoning_effort"] == effort
        assert losses == {"thinking.budget_tokens": "approximated"}


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("gpt-x", "max_tokens"),
        ("gpt-4o", "max_tokens"),
        ("gpt-5.1-codex", "max_completion_tokens"),
        ("openai/gpt-6", "max_completion_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("llama-4", "max_tokens"),
    ],
)
def test_the_output_limit_goes_under_the_key_the_model_knows(model: str, key: str) -> None:
    written = to_chat(model)[0]
    assert written[key] == 4096
    assert len({"max_tokens", "max_completion_tokens"} & written.keys()) == 1


# ---- bad requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "request_body", "field"),
    [
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": "x"}, "messages"),
        (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        (CHAT, {"messages": [USER, {"role": "user", "content": [{"type": "text"}]}]}, "messages[1].content[0].text"),
        (CHAT, {"messages": [{"role": "wizard", "content": ""}]}, "messages[0].role"),
        (CHAT, {"messages": [{"role": "tool", "content": ""}]}, "messages[0].tool_call_id"),
        (CHAT, {"messages": [USER], "temperature": "hot"}, "temperature"),
        (CHAT, {"messages": [USER], "max_tokens": True}, "max_tokens"),
        (CHAT, {"messages": [USER], "stop": [1]}, "stop"),
        (CHAT, {"messages": [USER], "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        (MESSAGES, {"messages": [{"role": "tool", "content": ""}]}, "messages[0].role"),
        (
            MESSAGES,
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        (MESSAGES, {"messages": [USER], "system": 1}, "system"),
        (MESSAGES, {"messages": [USER], "stop_sequences": "x"}, "stop_sequences"),
    ],
)
def test_a_bad_request_names_its_field(codec: Codec, request_body: dict[str, Any], field: str) -> None:
    with pytest.raises(WireError) as caught:
        codec.decode_request(body(request_body))
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("tier", "sent", "lost"),
    [("auto", None, None), ("default", "standard_only", "approximated"), ("flex", None, "dropped")],
)
def test_openais_service_tier_is_said_to_anthropic_as_far_as_it_has_one(
    tier: str, sent: str | None, lost: str | None
) -> None:
    written, losses = to_messages(service_tier=tier)
    assert written.get("service_tier") == sent
    assert losses.get("service_tier") == lost


@pytest.mark.parametrize(
    ("tier", "sent", "lost"),
    [("auto", None, None), ("standard_only", "default", "approximated"), ("x", None, "dropped")],
)
def test_anthropics_service_tier_is_said_to_openai(tier: str, sent: str | None, lost: str | None) -> None:
    written, losses = to_chat(service_tier=tier)
    assert written.get("service_tier") == sent
    assert losses.get("service_tier") == lost


def test_anthropic_is_given_no_more_cache_markers_than_it_takes() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    turns = [
        {"role": role, "content": [{"type": "text", "text": "x"} | mark]} for role in ("system", "user", "assistant")
    ]
    tool = {"type": "function", "function": {"name": "f"}} | mark
    written, losses = to_messages(messages=[*turns, *turns[1:], turns[1]], tools=[tool])
    assert "cache_control" not in written["tools"][0]
    assert "cache_control" not in written["system"][0]
    assert [("cache_control" in message["content"][0]) for message in written["messages"]] == [
        False,
        True,
        True,
        True,
        True,
    ]
    assert losses == {"cache_control": "approximated"}
    assert to_messages(messages=turns, tools=[tool])[1] == {}
