"""Gemini's requests word for word, from and to the other formats, and the ids of their calls."""

import base64
from typing import Any

import msgspec
import pytest
from omni_translator.domain.codecs.gemini_generate import GeminiGenerate
from omni_translator.domain.codecs.gemini_generate.calls import is_made, made_id, pair
from omni_translator.domain.codecs.gemini_generate.encode import Options
from omni_translator.domain.model import (
    Audio,
    Document,
    Image,
    Opaque,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat

from tests.codecs.support import (
    ALL,
    CHAT,
    CLOUDCODE,
    GEMINI,
    MESSAGES,
    REPLY,
    body,
    convert,
    stored,
)

HI = {"role": "user", "parts": [{"text": "hi"}]}
ASK = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
STRICT = {
    "type": "object",
    "properties": {"n": {"type": "integer", "exclusiveMinimum": 0}},
    "additionalProperties": False,
}


def read(**request: Any) -> Any:
    return GEMINI.decode_request(body({"contents": [HI]} | request))


def from_chat(model: str = "gemini-3-flash", **request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(CHAT, GEMINI, {"model": "x", "messages": [ASK]} | request, model)


def from_messages(model: str = "gemini-3-flash", **request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(MESSAGES, GEMINI, {"model": "x", "max_tokens": 5, "messages": [ASK]} | request, model)


def to_chat(**request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(GEMINI, CHAT, {"contents": [HI]} | request)


def to_messages(model: str = "claude-x", **request: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return convert(GEMINI, MESSAGES, {"contents": [HI]} | request, model)


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


def test_a_lone_content_is_read_as_googles_documentation_writes_it() -> None:
    (message,) = read(contents={"role": "USER", "parts": {"text": "Why is the sky blue?"}}).messages
    assert (message.role, message.parts) == ("user", (Text("Why is the sky blue?"),))


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
    answered = GEMINI.decode_response(stored(GEMINI, "parallel_tools.json"))
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
