"""Gemini's format word for word: requests, answers and streams, from and to the others."""

import base64
import json
from typing import Any

import msgspec
import pytest
from omni_translator.domain.codec import Codec, Reply
from omni_translator.domain.codecs.gemini_generate import GeminiGenerate
from omni_translator.domain.codecs.gemini_generate.calls import is_made, made_id, pair
from omni_translator.domain.codecs.gemini_generate.encode import Options
from omni_translator.domain.events import Failed, Finished, KeepAlive, PartDelta, PartStarted, check, fold, unfold
from omni_translator.domain.model import (
    Audio,
    Document,
    FinishReason,
    Image,
    Opaque,
    Reasoning,
    Response,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from omni_wire.errors import InvalidRequest, WireError, render_item
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

from tests.codecs.support import (
    ALL,
    CHAT,
    CLOUDCODE,
    GEMINI,
    MESSAGES,
    REPLY,
    TRANSCRIPTS,
    body,
    events_of,
    name,
    same_answer,
    write_stream,
)

HI = {"role": "user", "parts": [{"text": "hi"}]}
ASK = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT = {
    "type": "object",
    "properties": {"n": {"type": "integer", "exclusiveMinimum": 0}},
    "additionalProperties": False,
}


def stored(case: str) -> bytes:
    return (TRANSCRIPTS / "gemini.generate" / case).read_bytes()


def read(**request: Any) -> Any:
    return GEMINI.decode_request(body({"contents": [HI]} | request))


def convert(
    source: Codec, target: Codec, request: dict[str, Any], model: str = "m"
) -> tuple[dict[str, Any], dict[str, str]]:
    conversation = msgspec.structs.replace(source.decode_request(body(request)), model=model, max_output=4096)
    encoded = target.encode_request(conversation)
    return msgspec.json.decode(encoded.body), {loss.field: loss.kind for loss in encoded.losses}


def from_chat(model: str = "gemini-3-flash", **request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(CHAT, GEMINI, {"model": "x", "messages": [ASK]} | request, model)


def from_messages(model: str = "gemini-3-flash", **request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(MESSAGES, GEMINI, {"model": "x", "max_tokens": 5, "messages": [ASK]} | request, model)


def to_chat(**request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(GEMINI, CHAT, {"contents": [HI]} | request)


def to_messages(model: str = "claude-x", **request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(GEMINI, MESSAGES, {"contents": [HI]} | request, model)


def answer(source: Codec, target: Codec, data: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    encoded = target.encode_response(source.decode_response(data), REPLY)
    return msgspec.json.decode(encoded.body), {loss.field: loss.kind for loss in encoded.losses}


# ---- requests to Gemini ---------------------------------------------------------------------------------------------


def test_a_whole_agentic_turn_goes_to_gemini_without_loss() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'}}
    other = {"id": "call_2", "type": "function", "function": {"name": "get_time", "arguments": ""}}
    written, losses = from_chat(
        model="gemini-2.5-flash",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather and time?"},
            {"role": "assistant", "content": None, "tool_calls": [call, other]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
            {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "noon"}]},
            {"role": "user", "content": "And now?"},
        ],
        tools=[{"type": "function", "function": {"name": "get_weather", "description": "d", "parameters": STRICT}}],
        tool_choice="required",
        parallel_tool_calls=True,
        stop="END",
        temperature=0.5,
        top_p=0.9,
        seed=7,
        presence_penalty=0.25,
        stream=True,
    )
    assert losses == {}
    assert written == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Weather and time?"}]},
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"id": "call_1", "name": "get_weather", "args": {"city": "Bern"}}},
                    {"functionCall": {"id": "call_2", "name": "get_time", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "call_1", "name": "get_weather", "response": {"output": "rain"}}},
                    {"functionResponse": {"id": "call_2", "name": "get_time", "response": {"output": "noon"}}},
                    {"text": "And now?"},
                ],
            },
        ],
        "tools": [
            {"functionDeclarations": [{"name": "get_weather", "description": "d", "parametersJsonSchema": STRICT}]}
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {
            "maxOutputTokens": 4096,
            "temperature": 0.5,
            "topP": 0.9,
            "seed": 7,
            "presencePenalty": 0.25,
            "stopSequences": ["END"],
        },
    }


def test_a_failed_result_and_its_picture_go_with_a_gemini_that_takes_them() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    messages = [
        ASK,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "shot", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "is_error": True,
                    "content": [{"type": "text", "text": "no"}, picture],
                }
            ],
        },
    ]
    blob = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    written, losses = from_messages(messages=messages)
    response = {"id": "a", "name": "shot", "response": {"error": "no"}}
    assert losses == {}
    assert written["contents"][2]["parts"] == [{"functionResponse": response | {"parts": [blob]}}]
    written, losses = from_messages("gemini-2.5-pro", messages=messages)
    assert losses == {"messages.content.tool_result.content": "approximated"}
    assert written["contents"][2]["parts"] == [{"functionResponse": response}, blob]


def test_a_result_without_its_call_becomes_text() -> None:
    lost = {"role": "tool", "tool_call_id": "gone", "content": "42"}
    written, losses = from_chat(messages=[ASK, {"role": "assistant", "content": "hm"}, lost])
    assert losses == {"messages.tool_call_id": "approximated"}
    assert written["contents"][2]["parts"] == [{"text": "Result of tool call gone:\n42"}]


def test_a_later_system_message_keeps_its_place_as_a_users() -> None:
    written, losses = from_chat(
        messages=[
            {"role": "system", "content": "A"},
            ASK,
            {"role": "assistant", "content": "yes"},
            {"role": "developer", "content": "B"},
        ]
    )
    assert losses == {"messages.role": "approximated"}
    assert written["systemInstruction"] == {"parts": [{"text": "A"}]}
    assert written["contents"][2] == {"role": "user", "parts": [{"text": "<system>\nB\n</system>"}]}


def test_a_lone_system_message_becomes_the_users() -> None:
    written, losses = from_chat(messages=[{"role": "system", "content": "A"}])
    assert losses == {"messages.role": "approximated"}
    assert written["contents"] == [{"role": "user", "parts": [{"text": "A"}]}]


def test_pictures_sound_and_files_go_inline_and_by_address() -> None:
    def sent(model: str, *parts: Any) -> tuple[list[Any], dict[str, str]]:
        written, losses = from_chat(model, messages=[{"role": "user", "content": list(parts)}])
        return written["contents"][0]["parts"], losses

    def image(url: str) -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": url}}

    text = {"type": "text", "text": "?"}
    parts, losses = sent(
        "gemini-3-flash",
        image("data:image/png;base64,aGk="),
        image("https://example.com/a.png?x=1"),
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}},
    )
    assert losses == {}
    assert parts == [
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png?x=1"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "aGk="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
    ]
    assert sent("gemini-3-flash", image("https://example.com/a"))[1] == {"messages.content.image.url": "approximated"}
    for model, url in (
        ("gemini-2.0-flash", "https://example.com/a.png"),
        ("gemini-3-flash", "http://example.com/a.png"),
    ):
        assert sent(model, image(url), text) == ([{"text": "?"}], {"messages.content.image.url": "dropped"})
    assert sent("gemini-3-flash", {"type": "file", "file": {"file_id": "f"}}, text)[1] == {
        "messages.content.document": "dropped"
    }


@pytest.mark.parametrize(
    ("model", "effort", "config", "losses"),
    [
        ("gemini-3-flash", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}, {}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}, {}),
        (
            "gemini-3-pro-preview",
            "minimal",
            {"thinkingLevel": "LOW", "includeThoughts": True},
            {"reasoning_effort": "approximated"},
        ),
        (
            "models/gemini-3.8-flash",
            "xhigh",
            {"thinkingLevel": "HIGH", "includeThoughts": True},
            {"reasoning_effort": "approximated"},
        ),
        ("gemini-3-flash", "none", {"thinkingLevel": "MINIMAL"}, {"thinking": "approximated"}),
        (
            "gemini-2.5-flash",
            "medium",
            {"thinkingBudget": 8192, "includeThoughts": True},
            {"reasoning_effort": "approximated"},
        ),
        (
            "gemini-2.5-flash",
            "high",
            {"thinkingBudget": 24576, "includeThoughts": True},
            {"reasoning_effort": "approximated"},
        ),
        (
            "gemini-2.5-pro",
            "high",
            {"thinkingBudget": 32768, "includeThoughts": True},
            {"reasoning_effort": "approximated"},
        ),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}, {"thinking": "approximated"}),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}, {"thinking": "approximated"}),
        ("gemini-2.0-flash", "high", None, {"reasoning_effort": "dropped"}),
        ("gemma-3-27b", "high", None, {"reasoning_effort": "dropped"}),
    ],
)
def test_an_effort_becomes_a_level_or_a_budget(
    model: str, effort: str, config: dict[str, Any] | None, losses: dict[str, str]
) -> None:
    written, declared = from_chat(model, reasoning_effort=effort)
    assert written["generationConfig"].get("thinkingConfig") == config
    assert declared == losses


def test_anthropics_thinking_becomes_a_budget_or_a_level() -> None:
    def sent(model: str, **request: Any) -> tuple[Any, dict[str, str]]:
        written, losses = from_messages(model, **request)
        return written["generationConfig"].get("thinkingConfig"), losses

    budget = {"type": "enabled", "budget_tokens": 5000}
    assert sent("gemini-2.5-flash", thinking=budget) == ({"thinkingBudget": 5000, "includeThoughts": True}, {})
    assert sent("gemini-2.5-flash", thinking={"type": "adaptive"}) == (
        {"thinkingBudget": -1, "includeThoughts": True},
        {},
    )
    assert sent("gemini-2.5-flash", thinking={"type": "disabled"}) == ({"thinkingBudget": 0}, {})
    assert sent("gemini-3-flash", thinking=budget) == (
        {"thinkingLevel": "MEDIUM", "includeThoughts": True},
        {"thinking.budget_tokens": "approximated"},
    )
    # what Claude Code sends
    assert sent("gemini-3-flash", thinking={"type": "adaptive"}, output_config={"effort": "high"}) == (
        {"thinkingLevel": "HIGH", "includeThoughts": True},
        {"reasoning_effort": "approximated"},
    )


def test_schemas_go_verbatim_to_the_models_that_take_them_and_narrowed_to_the_others() -> None:
    request = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": STRICT}}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "response", "schema": SCHEMA | {"not": {}}, "strict": True},
        },
    }
    written, losses = from_chat("gemini-2.5-flash", **request)
    assert written["tools"] == [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": STRICT}]}]
    assert written["generationConfig"]["responseMimeType"] == "application/json"
    assert written["generationConfig"]["responseJsonSchema"] == SCHEMA | {"not": {}}
    assert losses == {"response_format.json_schema.schema.not": "approximated"}
    written, losses = from_chat("claude-behind-google", **request)
    assert written["tools"][0]["functionDeclarations"][0]["parameters"] == {
        "type": "OBJECT",
        "properties": {"n": {"type": "INTEGER", "minimum": 1}},
    }
    assert written["generationConfig"]["responseSchema"] == {
        "type": "OBJECT",
        "properties": {"city": {"type": "STRING"}},
        "required": ["city"],
    }
    assert losses == {
        "tools.parameters.additionalProperties": "approximated",
        "response_format.json_schema.schema.not": "dropped",
    }


def test_the_options_of_a_provider_outweigh_the_models_name() -> None:
    conversation = CHAT.decode_request(
        body(
            {
                "model": "gemini-3-flash",
                "messages": [
                    ASK,
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {"id": "b", "function": {"name": "f", "arguments": "{}"}},
                            {"id": "a", "function": {"name": "f", "arguments": "{}"}},
                        ],
                    },
                    {"role": "tool", "tool_call_id": "a", "content": "second"},
                    {"role": "tool", "tool_call_id": "b", "content": "first"},
                ],
                "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
            }
        )
    )
    encoded = GeminiGenerate(Options(json_schema=False, call_ids=False)).encode_request(conversation)
    written = msgspec.json.decode(encoded.body)
    assert "parameters" in written["tools"][0]["functionDeclarations"][0]
    assert b'"id"' not in encoded.body
    results = [part["functionResponse"]["response"]["output"] for part in written["contents"][2]["parts"]]
    assert results == ["first", "second"]  # in the order of their calls, which alone tells them apart
    assert {loss.field for loss in encoded.losses} == {"messages.tool_calls.id"}


def test_a_choice_of_one_tool_and_of_some() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    named, losses = from_chat(tools=tools, tool_choice={"type": "function", "function": {"name": "f"}})
    assert named["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}
    some = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tools[0]]}}
    allowed, losses = from_chat(tools=tools, tool_choice=some)
    assert allowed["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}}
    assert losses == {}
    assert from_chat(tool_choice="auto")[1] == {"tool_choice": "dropped"}
    assert from_chat(tools=tools, parallel_tool_calls=False)[1] == {"parallel_tool_calls": "dropped"}


def test_from_gemini_3_on_a_foreign_call_is_marked_as_one_and_a_signed_one_keeps_its_signature() -> None:
    calls = [{"id": i, "function": {"name": "f", "arguments": "{}"}} for i in ("a", "b")]
    messages = [ASK, {"role": "assistant", "tool_calls": calls}]
    written, losses = from_chat("gemini-3-flash", messages=messages)
    first, second = written["contents"][1]["parts"]
    assert first["thoughtSignature"] == "skip_thought_signature_validator"
    assert "thoughtSignature" not in second
    assert losses == {}
    assert "thoughtSignature" not in from_chat("gemini-2.5-flash", messages=messages)[0]["contents"][1]["parts"][0]
    conversation = CHAT.decode_request(body({"model": "x", "messages": messages}))
    asked, said = conversation.messages
    signed = (msgspec.structs.replace(said.parts[0], signature="SIG"), *said.parts[1:])
    conversation = msgspec.structs.replace(
        conversation, model="gemini-3-flash", messages=(asked, msgspec.structs.replace(said, parts=signed))
    )
    for google in (GEMINI, CLOUDCODE):
        assert b'"thoughtSignature":"SIG"' in google.encode_request(conversation).body
    for target in (codec for codec in ALL if codec not in (GEMINI, CLOUDCODE)):
        encoded = target.encode_request(conversation)
        assert b"SIG" not in encoded.body
        assert any(loss.field.endswith("signature") for loss in encoded.losses)


def test_thoughts_of_others_are_never_sent_to_gemini() -> None:
    written, losses = from_messages(
        messages=[
            ASK,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "S"},
                    {"type": "redacted_thinking", "data": "R"},
                    {"type": "text", "text": "ok"},
                ],
            },
        ]
    )
    assert written["contents"][1]["parts"] == [{"text": "ok"}]
    assert losses == {"messages.reasoning_content": "dropped", "messages.content.redacted_thinking": "dropped"}


def test_a_request_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(WireError, match="contents hold nothing"):
        from_chat(messages=[{"role": "user", "content": ""}])


# ---- requests from Gemini -------------------------------------------------------------------------------------------


def test_gemini_clis_turn_becomes_a_chat_request() -> None:
    written, losses = to_chat(
        systemInstruction={"role": "user", "parts": [{"text": "You are an agent."}]},
        contents=[
            {"role": "user", "parts": [{"text": "Read both."}]},
            {
                "role": "model",
                "parts": [
                    {
                        "functionCall": {"name": "read", "args": {"p": "a"}},
                        "thoughtSignature": "skip_thought_signature_validator",
                    },
                    {"functionCall": {"name": "read", "args": {"p": "b"}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "read-1", "name": "read", "response": {"output": "A"}}},
                    {"functionResponse": {"id": "read-2", "name": "read", "response": {"error": "gone"}}},
                ],
            },
        ],
        tools=[{"functionDeclarations": [{"name": "read", "description": "d", "parametersJsonSchema": SCHEMA}]}],
        generationConfig={"temperature": 1, "topP": 0.95, "candidateCount": 1},
    )
    assert losses == {"messages.content.is_error": "dropped"}
    assert written["messages"] == [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": "Read both."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "read-1", "type": "function", "function": {"name": "read", "arguments": '{"p":"a"}'}},
                {"id": "read-2", "type": "function", "function": {"name": "read", "arguments": '{"p":"b"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "read-1", "content": "A"},
        {"role": "tool", "tool_call_id": "read-2", "content": "gone"},
    ]
    assert written["tools"] == [
        {"type": "function", "function": {"name": "read", "description": "d", "parameters": SCHEMA}}
    ]


def test_googles_own_spellings_are_read() -> None:
    """snake_case, single objects for lists, numbers in strings, the URL-safe alphabet without padding."""
    conversation = GEMINI.decode_request(
        body(
            {
                "system_instruction": {"parts": {"text": "Meow."}},
                "contents": {"parts": [{"inline_data": {"mime_type": "image/png", "data": "-_8"}}]},
                "generation_config": {
                    "max_output_tokens": "64",
                    "top_k": "7",
                    "response_mime_type": "application/json",
                    "response_schema": {
                        "type": "ARRAY",
                        "min_items": "1",
                        "items": {"type": "STRING", "nullable": True},
                    },
                    "thinking_config": {"thinking_budget": -1, "include_thoughts": True},
                },
                "tools": {"function_declarations": {"name": "f", "parameters_json_schema": SCHEMA}},
                "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
            }
        )
    )
    assert conversation.messages[1].parts == (Image(data="+/8=", media_type="image/png"),)
    assert (conversation.max_output, conversation.sampling.top_k) == (64, 7)
    assert conversation.output_format is not None
    assert conversation.output_format.schema == {
        "type": "array",
        "minItems": 1,
        "items": {"type": ["string", "null"]},
    }
    assert conversation.thinking == Thinking(mode="adaptive", summary="auto")
    assert conversation.tool_choice is not None
    assert (conversation.tool_choice.mode, conversation.tool_choice.name) == ("named", "f")
    assert conversation.extra == {}


def test_the_address_may_be_put_into_the_body() -> None:
    conversation = read(model="models/gemini-x", stream=True)
    assert (conversation.model, conversation.stream) == ("gemini-x", True)
    assert not {"model", "stream"} & set(msgspec.json.decode(GEMINI.encode_request(conversation).body))


def test_media_of_all_kinds_are_read() -> None:
    note = base64.b64encode("Zürich".encode()).decode()
    blobs = [
        ("image/webp", "aGk="),
        ("audio/mpeg", "aGk="),
        ("application/pdf", "aGk="),
        ("text/plain", note),
        ("video/mp4", "aGk="),
    ]
    files = ["gs://b/a.pdf", "https://example.com/a.png", "https://youtu.be/x"]
    parts = [{"inlineData": {"mimeType": mime, "data": data}} for mime, data in blobs]
    parts += [{"fileData": {"fileUri": uri}} for uri in files]
    (message,) = read(contents=[{"parts": parts}]).messages
    assert message.parts == (
        Image(data="aGk=", media_type="image/webp"),
        Audio(data="aGk=", format="mp3"),
        Document(data="aGk=", media_type="application/pdf"),
        Document(text="Zürich"),
        Opaque(origin=WireFormat.GEMINI_GENERATE, data=parts[4]),
        Document(file_id="gs://b/a.pdf"),
        Image(url="https://example.com/a.png"),
        Opaque(origin=WireFormat.GEMINI_GENERATE, data=parts[7]),
    )
    _, losses = to_chat(contents=[{"parts": [*parts, {"text": "?"}]}])
    assert {"messages.content.inlineData", "messages.content.fileData"} <= set(losses)


def test_a_budget_from_gemini_reaches_anthropic_in_its_own_words() -> None:
    def sent(model: str, config: dict[str, Any]) -> tuple[Any, Any, dict[str, str]]:
        written, losses = to_messages(model, generationConfig={"thinkingConfig": config})
        return written.get("thinking"), written.get("output_config"), losses

    assert sent("claude-sonnet-4-5", {"thinkingBudget": 2000}) == (
        {"type": "enabled", "budget_tokens": 2000},
        None,
        {},
    )
    assert sent("claude-opus-5-5", {"thinkingBudget": -1}) == ({"type": "adaptive"}, None, {})
    assert sent("claude-opus-5-5", {"thinkingBudget": 20000}) == (
        {"type": "adaptive"},
        {"effort": "high"},
        {"thinking": "approximated"},
    )
    assert sent("claude-opus-5-5", {"thinkingBudget": 0}) == (None, None, {"thinking": "approximated"})
    assert sent("claude-sonnet-4-5", {"thinkingBudget": 100})[0] == {"type": "enabled", "budget_tokens": 1024}


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"contents": []}, "contents"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"contents": [{"parts": [{"functionCall": "f"}]}]}, "contents[0].parts[0].functionCall"),
        ({"contents": [HI], "generationConfig": {"topK": "many"}}, "generationConfig.topK"),
        ({"contents": [HI], "generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences"),
        (
            {
                "contents": [HI],
                "tools": [{"functionDeclarations": [{"name": "f", "parameters": {}, "parametersJsonSchema": {}}]}],
            },
            "tools[0].functionDeclarations[0].parameters",
        ),
        (
            {"contents": [HI], "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": [1]}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
    ],
)
def test_a_bad_field_is_named(request_: dict[str, Any], field: str) -> None:
    with pytest.raises(WireError) as raised:
        GEMINI.decode_request(body(request_))
    assert raised.value.field == field


def test_a_response_of_any_shape_comes_back_the_same_at_home() -> None:
    shapes: list[dict[str, Any]] = [
        {"output": "a"},
        {"error": "b"},
        {"output": ["a", "b"]},
        {"result": {"x": [1, 2.5]}},
        {"output": {"x": 1}},
        {"output": "a", "error": "b"},
        {"output": ["one"]},
        {"error": {"code": 1}},
    ]
    call = {"functionCall": {"name": "f", "args": {}}}
    results = [{"functionResponse": {"name": "f", "response": shape}} for shape in shapes]
    request = {"contents": [{"role": "model", "parts": [call] * len(shapes)}, {"role": "user", "parts": results}]}
    written = msgspec.json.decode(GEMINI.encode_request(GEMINI.decode_request(body(request))).body)
    assert [part["functionResponse"]["response"] for part in written["contents"][1]["parts"]] == shapes
    assert b'"id"' not in body(written)


# ---- ids ------------------------------------------------------------------------------------------------------------


def turns(*parts: Any) -> list[Any]:
    return [{"role": "x", "parts": list(part)} for part in parts]


def call(tool: str, call_id: str | None = None) -> dict[str, Any]:
    return {"functionCall": {"name": tool} | ({"id": call_id} if call_id else {})}


def result(tool: str, call_id: str | None = None) -> dict[str, Any]:
    return {"functionResponse": {"name": tool} | ({"id": call_id} if call_id else {})}


def test_results_without_ids_meet_their_calls_by_name_and_order() -> None:
    ids = pair(turns([call("f"), call("g"), call("f")], [result("g"), result("f"), result("f")]))
    assert [ids[1, n] for n in range(3)] == [ids[0, 1], ids[0, 0], ids[0, 2]]
    assert len(set(ids.values())) == 3
    assert all(map(is_made, ids.values()))


def test_a_result_brings_the_id_its_call_has_not() -> None:
    ids = pair(
        turns([call("f"), call("f", "own"), call("f")], [result("f", "r1"), result("f", "own"), result("f", "r2")])
    )
    assert [ids[0, n] for n in range(3)] == ["r1", "own", "r2"]
    assert [ids[1, n] for n in range(3)] == ["r1", "own", "r2"]


def test_a_result_without_a_call_is_given_an_id_of_its_own() -> None:
    ids = pair(turns([call("f", "a")], [result("g"), result("f"), result("f"), result("f", "z")]))
    assert ids[1, 1] == "a"
    assert is_made(ids[1, 0])
    assert is_made(ids[1, 2])
    assert ids[1, 3] == "z"


def test_ids_made_for_a_history_stay_when_it_grows() -> None:
    history = turns([call("f")], [result("f")])
    longer = pair([*history, *turns([call("f")], [result("f")])])
    assert {place: longer[place] for place in pair(history)} == pair(history)
    assert longer[2, 0] != longer[0, 0]


def test_pairing_takes_time_in_proportion() -> None:
    many = 20_000
    foreign = [result("f", f"x{n}") for n in range(many)]
    assert len(pair(turns([call("f", f"c{n}") for n in range(many)], foreign))) == 2 * many
    assert len(pair(turns([call("f") for _ in range(many)], foreign, [result("f") for _ in range(many)]))) == 3 * many


def test_ids_of_an_answer_tell_answers_and_calls_apart_and_are_left_out_on_the_way_home() -> None:
    answered = GEMINI.decode_response(stored("parallel_tools.json"))
    ids = [part.id for part in answered.parts if isinstance(part, ToolCall)]
    assert ids == [made_id("mAITabc123XYZ", 0), made_id("mAITabc123XYZ", 1)]
    assert all(len(call_id) <= 40 for call_id in ids)
    assert b'"id"' not in GEMINI.encode_response(answered, REPLY).body
    chat = msgspec.json.decode(CHAT.encode_response(answered, REPLY).body)["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call_id, "content": call_id} for call_id in reversed(ids)]
    written, _ = from_chat(messages=[ASK, chat, *results])
    assert b'"id"' not in body(written)
    said = [part["functionResponse"]["response"]["output"] for part in written["contents"][2]["parts"]]
    assert said == ids  # in the order of the calls


# ---- answers --------------------------------------------------------------------------------------------------------


def test_an_answer_of_gemini_becomes_a_chat_completion() -> None:
    written, losses = answer(GEMINI, CHAT, stored("parallel_tools.json"))
    choice = written["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Let me look."
    assert [call_["function"] for call_ in choice["message"]["tool_calls"]] == [
        {"name": "get_weather", "arguments": '{"city":"Zürich"}'},
        {"name": "get_time", "arguments": "{}"},
    ]
    assert written["usage"] == {
        "prompt_tokens": 80,
        "completion_tokens": 45,
        "total_tokens": 125,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 12},
    }
    assert losses == {"content.signature": "dropped", "usageMetadata.promptTokensDetails": "dropped"}


def test_an_answer_of_messages_becomes_geminis() -> None:
    data = (TRANSCRIPTS / "anthropic.messages" / "parallel_tools.json").read_bytes()
    written, losses = answer(MESSAGES, GEMINI, data)
    assert losses == {}
    assert written == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "Let me look."},
                        {"functionCall": {"id": "toolu_1", "name": "get_weather", "args": {"city": "Zürich"}}},
                        {"functionCall": {"id": "toolu_2", "name": "list_files", "args": {}}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 61, "totalTokenCount": 73},
        "modelVersion": "model-1",
        "responseId": "id-1",
    }


def test_thoughts_come_and_go_as_thoughts_and_signatures_stay_home() -> None:
    thought, text = GEMINI.decode_response(stored("thinking.json")).parts
    assert isinstance(thought, Reasoning)
    assert text == Text("It is 4", extra={"thoughtSignature": "CiQBVKhc7qBsYXN0"})
    for target in (CHAT, MESSAGES):
        written, losses = answer(GEMINI, target, stored("thinking.json"))
        assert "CiQBVKhc7qBsYXN0" not in json.dumps(written)
        assert any(field.endswith("thoughtSignature") for field in losses)
    data = (TRANSCRIPTS / "anthropic.messages" / "thinking.json").read_bytes()
    written, losses = answer(MESSAGES, GEMINI, data)
    first, *_ = written["candidates"][0]["content"]["parts"]
    assert (first["thought"], set(first)) == (True, {"text", "thought"})
    assert "EqQBCgIYAhIM" not in json.dumps(written)
    assert losses["content.signature"] == "dropped"
    assert losses["content.redacted_thinking"] == "dropped"


@pytest.mark.parametrize(
    ("case", "finish", "detail"),
    [
        ("text", FinishReason.STOP, ""),
        ("parallel_tools", FinishReason.TOOL_CALLS, ""),
        ("refusal", FinishReason.CONTENT_FILTER, ""),
        ("blocked", FinishReason.CONTENT_FILTER, "PROHIBITED_CONTENT"),
        ("malformed_call", FinishReason.OTHER, "MALFORMED_FUNCTION_CALL"),
    ],
)
def test_why_an_answer_ended_whole_and_streamed(case: str, finish: FinishReason, detail: str) -> None:
    events, error = events_of(GEMINI, [stored(f"{case}.sse")])
    assert error == ""
    for answered in (GEMINI.decode_response(stored(f"{case}.json")), fold(events)):
        assert (answered.finish, answered.finish_detail) == (finish, detail)
        own = Reply("", "")  # a call without an id goes by the answer's
        again = GEMINI.decode_response(GEMINI.encode_response(answered, own).body)
        assert same_answer(again) == same_answer(answered)
        events_again, _ = events_of(GEMINI, [write_stream(GEMINI, unfold(answered), own)])
        assert same_answer(fold(events_again)) == same_answer(answered)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("SPII", FinishReason.CONTENT_FILTER),
        ("BLOCKLIST", FinishReason.CONTENT_FILTER),
        ("IMAGE_SAFETY", FinishReason.CONTENT_FILTER),
        ("UNEXPECTED_TOOL_CALL", FinishReason.OTHER),
        ("OTHER", FinishReason.OTHER),
        ("A_WORD_TO_COME", FinishReason.OTHER),
        ("FINISH_REASON_UNSPECIFIED", None),
    ],
)
def test_every_word_for_an_end_has_its_meaning_and_comes_back(word: str, finish: FinishReason | None) -> None:
    data = body({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": word}]})
    answered = GEMINI.decode_response(data)
    assert answered.finish is finish
    written = msgspec.json.decode(GEMINI.encode_response(answered, REPLY).body)
    assert written["candidates"][0].get("finishReason") == (word if finish else None)


def test_googles_own_tools_counts_are_input_and_come_back_as_they_were() -> None:
    answered = GEMINI.decode_response(stored("server_tool.json"))
    assert answered.usage == Usage(50, 0, 0, 9)
    assert [part.kind for part in answered.parts if isinstance(part, Opaque)] == [
        "executableCode",
        "codeExecutionResult",
    ]
    again = msgspec.json.decode(GEMINI.encode_response(answered, REPLY).body)
    assert again["usageMetadata"] == msgspec.json.decode(stored("server_tool.json"))["usageMetadata"]
    _, losses = answer(GEMINI, CHAT, stored("server_tool.json"))
    assert {
        "content.executableCode",
        "content.codeExecutionResult",
        "candidates.groundingMetadata.groundingChunks",  # no segment names it
        "candidates.groundingMetadata.webSearchQueries",
    } <= set(losses)


def test_an_answer_with_nothing_in_it_is_none() -> None:
    for data in (b"{}", b'{"candidates":[]}', b'{"usageMetadata":{}}'):
        with pytest.raises(WireError, match="candidates"):
            GEMINI.decode_response(data)
    with pytest.raises(WireError, match="overloaded"):
        GEMINI.decode_response(body({"error": {"code": 503, "message": "The model is overloaded."}}))


def test_further_candidates_go_where_there_may_be_several_answers() -> None:
    one = {"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP", "index": 0}
    two = {"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP", "index": 1}
    data = body({"candidates": [one, two]})
    told, losses = answer(GEMINI, CHAT, data)
    assert ([choice["message"]["content"] for choice in told["choices"]], losses) == (["a", "b"], {})
    assert answer(GEMINI, MESSAGES, data)[1] == {"choices": "dropped"}
    assert answer(GEMINI, GEMINI, data)[0]["candidates"][1]["content"]["parts"] == [{"text": "b"}]


# ---- streams --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ALL, ids=name)
@pytest.mark.parametrize("case", ["parallel_tools", "text", "thinking"])
def test_any_stream_is_the_same_in_both_framings(source: Codec, case: str) -> None:
    path = TRANSCRIPTS / source.format / f"{case}.sse"
    if not path.exists():
        pytest.skip("no such transcript")
    events, _ = events_of(source, [path.read_bytes()])
    lines = write_stream(GEMINI, events)
    array = write_stream(GEMINI, events, msgspec.structs.replace(REPLY, array=True))
    assert msgspec.json.decode(array) == [
        msgspec.json.decode(line[6:]) for line in lines.split(b"\n") if line.startswith(b"data: ")
    ]
    assert events_of(GEMINI, [array]) == events_of(GEMINI, [lines])
    assert check(events_of(GEMINI, [array])[0]) == "finished"


def test_an_array_is_read_as_the_events_are_byte_by_byte_too() -> None:
    data = stored("parallel_tools.array")
    expected = events_of(GEMINI, [stored("parallel_tools.sse")])
    assert events_of(GEMINI, [data]) == expected
    assert events_of(GEMINI, [data[at : at + 1] for at in range(len(data))]) == expected


def test_an_array_cut_anywhere_before_its_finish_reason_never_finishes() -> None:
    data = stored("parallel_tools.array")
    for cut in range(data.index(b'"finishReason"')):
        events, _ = events_of(GEMINI, [data[:cut]])
        assert not any(isinstance(event, Finished) for event in events)


def test_an_error_in_an_array_fails_the_answer() -> None:
    events, error = events_of(GEMINI, [stored("error.array")])
    assert error == ""
    assert isinstance(events[-1], Failed)
    assert "overloaded" in events[-1].message


def test_an_error_ends_an_array_that_was_begun_or_not() -> None:
    error = InvalidRequest("no")
    encoder = GEMINI.stream_encoder(Reply("i", "m", array=True))
    events, _ = events_of(GEMINI, [stored("cut.sse")])
    sent = b"".join([encoder.emit(event) for event in events])
    assert [list(item) for item in msgspec.json.decode(sent + render_item(error, "r", first=False))][-1] == ["error"]
    (alone,) = msgspec.json.decode(render_item(error, "r", first=True))
    assert alone["error"]["status"] == "INVALID_ARGUMENT"
    failed = GEMINI.stream_encoder(Reply("i", "m", array=True)).emit(Failed("gone"))
    assert msgspec.json.decode(failed)[0]["error"]["message"] == "gone"


def test_a_call_is_told_whole_however_it_came() -> None:
    events, _ = events_of(MESSAGES, [(TRANSCRIPTS / "anthropic.messages" / "parallel_tools.sse").read_bytes()])
    chunks = [json.loads(line[6:]) for line in write_stream(GEMINI, events).decode().splitlines() if line]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert calls[0] == {"id": "toolu_1", "name": "get_weather", "args": {"city": "Zürich"}}
    assert chunks[-1]["candidates"][0]["finishReason"] == "STOP"
    assert chunks[-1]["usageMetadata"]["promptTokenCount"] == 12
    assert all(chunk["responseId"] == "id-1" and chunk["modelVersion"] == "model-1" for chunk in chunks)


def test_a_stream_told_in_the_other_formats_keeps_its_texts_and_calls() -> None:
    for case in ("text", "parallel_tools", "thinking", "cached", "refusal", "image", "server_tool"):
        events, _ = events_of(GEMINI, [stored(f"{case}.sse")])
        for target in (CHAT, MESSAGES):
            again, error = events_of(target, [write_stream(target, events)])
            assert error == ""
            assert check(again) == "finished"
            told = [event.text for event in events if isinstance(event, PartDelta)]
            assert "".join(told) == "".join(event.text for event in again if isinstance(event, PartDelta))


def test_a_signature_that_comes_last_belongs_to_the_text_before_it() -> None:
    events, _ = events_of(GEMINI, [stored("thinking.sse")])
    assert [type(event.part) for event in events if isinstance(event, PartStarted)] == [Reasoning, Text]
    lone = (
        b'data: {"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"S"}]},"finishReason":"STOP"}]}\n\n'
    )
    (part,) = fold(events_of(GEMINI, [lone])[0]).parts
    assert part == Opaque(origin=WireFormat.GEMINI_GENERATE, data={"text": "", "thoughtSignature": "S"})


def test_silence_is_filled_with_what_googles_sdks_pass_over() -> None:
    assert GEMINI.stream_encoder(REPLY).emit(KeepAlive()) == b"\n\n"
    assert GEMINI.stream_encoder(msgspec.structs.replace(REPLY, array=True)).emit(KeepAlive()) == b"\n"


@pytest.mark.parametrize("data", [b"[1]", b'["a"]', b"[{}] x", b"[}", b'[{"a":1}}', b"[[1]"])
def test_what_is_no_array_of_answers_is_a_wire_error_or_an_unfinished_answer(data: bytes) -> None:
    events, _ = events_of(GEMINI, [data])
    check(events)
    assert not any(isinstance(event, Finished) for event in events)


def test_a_long_answer_in_small_parts_takes_time_in_proportion() -> None:
    parts = [{"text": "a"} for _ in range(100_000)]
    data = body({"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]})
    assert GEMINI.decode_response(data).parts == (Text("a" * 100_000),)
    array = b"[" + data + b"]"
    events, _ = events_of(GEMINI, [array[at : at + 7] for at in range(0, len(array), 7)])
    assert fold(events).parts == (Text("a" * 100_000),)


def test_deep_and_huge_things_are_wire_errors_or_kept() -> None:
    for depth in (400, 900, 5000):
        nested = b'{"properties":{"x":' * depth + b"1" + b"}}" * depth
        args = b'{"x":' * depth + b"1" + b"}" * depth
        for data in (
            b'{"contents":[{"parts":[{"functionCall":{"name":"f","args":' + args + b"}}]}]}",
            b'{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":'
            + nested
            + b"}]}]}",
        ):
            try:
                conversation = GEMINI.decode_request(data)
            except WireError:
                continue
            for target in ALL:
                try:
                    target.encode_request(conversation)
                except WireError:
                    continue


def test_a_freeform_call_is_given_as_one_text() -> None:
    call_ = ToolCall(id="a", name="exec", arguments="print(1)", freeform=True)
    given = Response(
        origin=WireFormat.OPENAI_RESPONSES, id="", model="", parts=(call_,), finish=FinishReason.TOOL_CALLS
    )
    encoded = GEMINI.encode_response(given, REPLY)
    assert b'"args":{"input":"print(1)"}' in encoded.body
    assert [loss.field for loss in encoded.losses] == ["content.custom_tool_call"]


def test_results_keep_their_error_and_their_texts() -> None:
    given = (
        {"role": "model", "parts": [call("f", "a")]},
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "a", "name": "f", "response": {"error": "no"}}}],
        },
    )
    _, message = read(contents=list(given)).messages
    assert message.parts == (ToolResult(id="a", parts=(Text("no"),), is_error=True),)


@pytest.mark.parametrize("fault", [b"x", b'{"candidates": }', b"]]", b'"a"'])
def test_what_came_before_a_fault_in_an_array_is_told_however_it_is_cut(fault: bytes) -> None:
    data = b"[" + body({"candidates": [{"content": {"parts": [{"text": "Once"}]}}]}) + b"," + fault
    events, error = events_of(GEMINI, [data])
    assert error or fault == b"]]"
    assert "".join(event.text for event in events if isinstance(event, PartDelta)) == "Once"
    assert events_of(GEMINI, [data[at : at + 1] for at in range(len(data))])[0] == events


def test_a_lone_content_is_read_as_googles_documentation_writes_it() -> None:
    (message,) = read(contents={"role": "USER", "parts": {"text": "Why is the sky blue?"}}).messages
    assert (message.role, message.parts) == ("user", (Text("Why is the sky blue?"),))
