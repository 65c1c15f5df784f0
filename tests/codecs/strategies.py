"""Requests and answers of each format as their vendors document them, with unknown keys strewn in."""

import base64
import struct
from functools import cache
from typing import Any

import msgspec
from hypothesis import strategies as st
from omni_simulator.formats.cursor import field
from omni_translator.domain.model import (
    Choice,
    FinishReason,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
)
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ids = st.text("abcXYZ019_-", min_size=1, max_size=12)
names = st.text("abc_", min_size=1, max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**40), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | words
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
unknown = st.dictionaries(names.map("x_{}".format), values, max_size=2)
payloads = st.binary(min_size=1, max_size=12).map(lambda data: base64.b64encode(data).decode())
media = st.sampled_from(["image/png", "image/jpeg", "image/webp"])
urls = names.map("https://example.com/{}".format)
schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(names, st.just({"type": "string"}), max_size=2)}
)
arguments = st.dictionaries(words, scalars | st.lists(scalars, max_size=2), max_size=3)
markers = st.just({"type": "ephemeral"})


def obj(
    required: dict[str, Any], optional: dict[str, Any] | None = None, strange: bool = True
) -> st.SearchStrategy[dict[str, Any]]:
    """An object with the keys given, some of the optional ones and, when ``strange``, some nobody knows."""
    base = st.fixed_dictionaries(required, optional=optional or {})
    return st.builds(lambda known, other: other | known, base, unknown) if strange else base


def json_text(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    import msgspec

    return strategy.map(lambda value: msgspec.json.encode(value).decode())


# ---- chat requests --------------------------------------------------------------------------------------------------


def chat_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def o(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
        return obj(required, optional, strange)

    text = o({"type": st.just("text"), "text": words}, {"cache_control": markers})
    image = o(
        {
            "type": st.just("image_url"),
            "image_url": o(
                {"url": urls | st.builds("data:{};base64,{}".format, media, payloads)},
                {"detail": st.sampled_from(["auto", "low", "high"])} if strange else None,
            ),
        }
    )
    audio = o({"type": st.just("input_audio"), "input_audio": o({"data": payloads, "format": st.just("wav")})})
    file = o(
        {
            "type": st.just("file"),
            "file": o({"filename": names, "file_data": payloads.map("data:application/pdf;base64,{}".format)})
            | o({"file_id": ids}),
        }
    )
    strange_part = st.builds(lambda kind, other: {"type": "x_" + kind} | other, names, unknown)
    user_part = text | image | file | (audio | strange_part if strange else st.nothing())
    call = o(
        {
            "id": ids,
            "type": st.just("function"),
            "function": o({"name": names, "arguments": json_text(arguments) | (words if strange else st.nothing())}),
        }
    )
    extras = {"name": names} if strange else None
    messages = st.one_of(
        o(
            {
                "role": st.sampled_from(["system", "developer"]),
                "content": words | st.lists(text, min_size=1, max_size=2),
            },
            extras,
        ),
        o({"role": st.just("user"), "content": words | st.lists(user_part, min_size=1, max_size=3)}, extras),
        o(
            {"role": st.just("assistant"), "content": st.none() | words},
            {"tool_calls": st.lists(call, min_size=1, max_size=3)}
            | ({"reasoning_content": words, "refusal": words} if strange else {}),
        ),
        o(
            {"role": st.just("tool"), "tool_call_id": ids, "content": words | st.lists(text, min_size=1, max_size=2)},
            extras,
        ),
    )
    function = o({"name": names}, {"description": words, "parameters": schemas, "strict": st.booleans()})
    tool = o({"type": st.just("function"), "function": function})
    numbers = {
        "temperature": st.floats(0, 2 if strange else 1),
        "top_p": st.floats(0, 1),
        "max_tokens": st.integers(1, 10**6),
        "max_completion_tokens": st.integers(1, 10**6),
        "n": st.just(1),
        "user": names,
        "stop": words | st.lists(words, max_size=4),
        "stream": st.booleans(),
        "stream_options": o({}, {"include_usage": st.booleans()}),
    }
    strange_numbers = {
        "seed": st.integers(0, 9),
        "presence_penalty": st.floats(-2, 2),
        "logit_bias": st.just({"50256": -100}),
        "logprobs": st.booleans(),
        "top_logprobs": st.integers(0, 5),
        "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
        "metadata": unknown,
    }
    choice = st.sampled_from(["auto", "none", "required"]) | st.just({"type": "function", "function": {"name": "a"}})
    form = st.sampled_from(
        [
            {"type": "text"},
            {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}, "strict": True}},
            *([{"type": "json_object"}, {"type": "x_grammar", "grammar": "g"}] if strange else []),
        ]
    )
    return o(
        {"model": names, "messages": st.lists(messages, min_size=1, max_size=5)},
        numbers
        | (strange_numbers if strange else {})
        | {
            "tools": st.lists(tool, min_size=1, max_size=2),
            "tool_choice": choice,
            "parallel_tool_calls": st.booleans(),
            "response_format": form,
        },
    )


# ---- messages requests ----------------------------------------------------------------------------------------------


def messages_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def o(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
        return obj(required, optional, strange)

    marked = {"cache_control": markers} if strange else {}
    text = o({"type": st.just("text"), "text": words}, marked)
    said = st.builds(lambda block, cited: block | cited, text, cited_blocks(strange))
    base64_source = o({"type": st.just("base64"), "media_type": media, "data": payloads})
    url_source = o({"type": st.just("url"), "url": urls})
    file_source = o({"type": st.just("file"), "file_id": ids})
    image = o(
        {"type": st.just("image"), "source": base64_source | url_source | (file_source if strange else st.nothing())},
        marked,
    )
    text_source = o({"type": st.just("text"), "media_type": st.just("text/plain"), "data": words})
    document = o(
        {
            "type": st.just("document"),
            "source": base64_source | (text_source | url_source if strange else st.nothing()),
        },
        marked | {"title": names},
    )
    thinking = o({"type": st.just("thinking"), "thinking": words, "signature": ids})
    redacted = o({"type": st.just("redacted_thinking"), "data": payloads})
    server = st.builds(lambda kind, other: {"type": "x_" + kind} | other, names, unknown)
    use = o({"type": st.just("tool_use"), "id": ids, "name": names, "input": arguments}, marked)
    inside = words | st.lists(text | (image | server if strange else st.nothing()), min_size=1, max_size=2)
    result = o(
        {"type": st.just("tool_result"), "tool_use_id": ids},
        marked | {"content": inside} | ({"is_error": st.booleans()} if strange else {}),
    )
    odd = thinking | redacted | server if strange else st.nothing()
    messages = st.one_of(
        o(
            {
                "role": st.just("user"),
                "content": words | st.lists(text | image | document | result, min_size=1, max_size=3),
            }
        ),
        o({"role": st.just("assistant"), "content": words | st.lists(said | use | odd, min_size=1, max_size=3)}),
        *(
            [o({"role": st.just("system"), "content": words | st.lists(text, min_size=1, max_size=2)})]
            if strange
            else []
        ),
    )
    tool = o({"name": names, "input_schema": schemas}, marked | {"description": words, "strict": st.booleans()})
    server_tool = o({"type": st.just("web_search_20250305"), "name": st.just("web_search")})
    choice = st.one_of(
        o({"type": st.sampled_from(["auto", "any"])}, {"disable_parallel_tool_use": st.booleans()}),
        o({"type": st.just("tool"), "name": names}, {"disable_parallel_tool_use": st.booleans()}),
        o({"type": st.just("none")}),
    )
    strange_keys = {
        "top_k": st.integers(0, 100),
        "thinking": st.one_of(
            o({"type": st.just("enabled"), "budget_tokens": st.integers(1024, 60000)}),
            o({"type": st.just("adaptive")}, {"display": st.just("omitted")}),
            o({"type": st.just("disabled")}),
        ),
        "service_tier": st.just("auto"),
        "context_management": st.just({"edits": [{"type": "clear_thinking_20251015"}]}),
    }
    output = o(
        {},
        {
            "format": o({"type": st.just("json_schema"), "schema": schemas}),
            "effort": st.sampled_from(["low", "medium", "high", *(["max"] if strange else [])]),
        },
    )
    return o(
        {"model": names, "max_tokens": st.integers(1, 10**6), "messages": st.lists(messages, min_size=1, max_size=5)},
        {
            "system": words | st.lists(text, min_size=1, max_size=2),
            "temperature": st.floats(0, 1),
            "top_p": st.floats(0, 1),
            "stop_sequences": st.lists(words, max_size=5 if strange else 4),
            "stream": st.booleans(),
            "metadata": o({}, {"user_id": words}),
            "tools": st.lists(tool | (server_tool if strange else st.nothing()), min_size=1, max_size=2),
            "tool_choice": choice,
            "output_config": output,
        }
        | (strange_keys if strange else {}),
    )


# ---- responses requests ---------------------------------------------------------------------------------------------


def responses_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def o(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
        return obj(required, optional, strange)

    named = {"id": ids, "status": st.just("completed")}
    mark = {"prompt_cache_breakpoint": st.just({"mode": "explicit"})} if strange else {}
    text = o({"type": st.just("input_text"), "text": words}, mark)
    image = o(
        {"type": st.just("input_image"), "image_url": urls | st.builds("data:{};base64,{}".format, media, payloads)},
        {"detail": st.sampled_from(["auto", "low", "high"])} | mark if strange else None,
    )
    stored = o({"type": st.just("input_image"), "file_id": ids})
    file = o(
        {
            "type": st.just("input_file"),
            "filename": names,
            "file_data": payloads.map("data:application/pdf;base64,{}".format),
        }
    )
    other_file = o({"type": st.just("input_file"), "file_url": urls}) | o(
        {"type": st.just("input_file"), "file_id": ids}
    )
    audio = o({"type": st.just("input_audio"), "input_audio": o({"data": payloads, "format": st.just("wav")})})
    block = st.builds(lambda kind, other: {"type": "x_" + kind} | other, names, unknown)
    part = text | image | file | (stored | other_file | audio | block if strange else st.nothing())
    said = o(
        {"type": st.just("output_text"), "text": words},
        {"annotations": st.just([]) | st.just([{"type": "file_path", "file_id": "f", "index": 1}])}
        if strange
        else {"annotations": st.lists(_addresses, min_size=1, max_size=2)},
    ) | (o({"type": st.just("refusal"), "refusal": words}) if strange else st.nothing())
    messages = st.one_of(
        o(
            {
                "role": st.sampled_from(["system", "developer"]),
                "content": words | st.lists(text, min_size=1, max_size=2),
            },
            {"type": st.just("message")},
        ),
        o(
            {"role": st.just("user"), "content": words | st.lists(part, min_size=1, max_size=3)},
            {"type": st.just("message")},
        ),
        o(
            {"role": st.just("assistant"), "content": st.lists(said, min_size=1, max_size=2)},
            {"type": st.just("message")} | named | ({"phase": st.just("commentary")} if strange else {}),
        ),
    )
    space = {"namespace": names} if strange else {}
    call = o(
        {
            "type": st.just("function_call"),
            "call_id": ids,
            "name": names,
            "arguments": json_text(arguments) | (words if strange else st.nothing()),
        },
        named | space,
    )
    custom = o({"type": st.just("custom_tool_call"), "call_id": ids, "name": names, "input": words}, named | space)
    output = words | st.lists(text | (image if strange else st.nothing()), min_size=1, max_size=2)
    result = o({"type": st.just("function_call_output"), "call_id": ids, "output": output}, named)
    custom_result = o({"type": st.just("custom_tool_call_output"), "call_id": ids, "output": output})
    summary = st.lists(o({"type": st.just("summary_text"), "text": words}), max_size=2)
    thought = st.lists(o({"type": st.just("reasoning_text"), "text": words}), max_size=2)
    reasoning = o(
        {"type": st.just("reasoning"), "summary": summary},
        {"id": ids, "encrypted_content": payloads, "content": thought, "status": st.just("completed")},
    )
    odd_item = st.builds(lambda kind, other: {"type": "x_" + kind} | other, names, unknown)
    function = o(
        {"type": st.just("function"), "name": names},
        {"description": words, "parameters": schemas, "strict": st.booleans()},
    )
    grammar = {"type": st.just("grammar"), "syntax": st.just("lark"), "definition": words}
    freeform = o(
        {"type": st.just("custom"), "name": names},
        {"description": words, "format": o(grammar) | o({"type": st.just("text")})},
    )
    namespace = o(
        {
            "type": st.just("namespace"),
            "name": names,
            "description": words,
            "tools": st.lists(function | freeform, min_size=1, max_size=2),
        }
    )
    hosted = o({"type": st.sampled_from(["web_search", "image_generation"])})
    tool = function | (freeform | namespace | hosted if strange else st.nothing())
    added = o(
        {
            "type": st.just("additional_tools"),
            "role": st.just("developer"),
            "tools": st.lists(tool, min_size=1, max_size=2),
        }
    )
    item = messages | call | result
    if strange:
        item = item | custom | custom_result | reasoning | odd_item | added
    choice = st.sampled_from(
        [
            "auto",
            "none",
            "required",
            {"type": "function", "name": "a"},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "a"}]},
            *([{"type": "custom", "name": "a"}, {"type": "web_search"}] if strange else []),
        ]
    )
    form = st.sampled_from(
        [
            {"type": "text"},
            {"type": "json_schema", "name": "response", "schema": {"type": "object"}, "strict": True},
            *([{"type": "json_object"}, {"type": "x_grammar", "grammar": "g"}] if strange else []),
        ]
    )
    strange_keys = {
        "store": st.booleans(),
        "include": st.just(["reasoning.encrypted_content"]) | st.just(["message.output_text.logprobs"]),
        "metadata": unknown,
        "service_tier": st.just("flex"),
        "prompt_cache_key": names,
        "truncation": st.sampled_from(["auto", "disabled"]),
        "top_logprobs": st.integers(0, 5),
        "background": st.booleans(),
    }
    reasons = {"effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh", "max"])}
    return o(
        {"model": names, "input": words | st.lists(item, min_size=1, max_size=5)},
        {
            "instructions": words,
            "temperature": st.floats(0, 2 if strange else 1),
            "top_p": st.floats(0, 1),
            "max_output_tokens": st.integers(1, 10**6),
            "stream": st.booleans(),
            "user": names,
            "tools": st.lists(tool, min_size=1, max_size=2),
            "tool_choice": choice,
            "parallel_tool_calls": st.booleans(),
            "text": o({}, {"format": form, "verbosity": st.sampled_from(["low", "high"])}),
            "reasoning": o({}, reasons | ({"summary": st.just("auto")} if strange else {})),
        }
        | (strange_keys if strange else {}),
    )


# ---- gemini requests ------------------------------------------------------------------------------------------------


def gemini_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def o(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
        return obj(required, optional, strange)

    none = st.nothing()
    text = o({"text": words})
    blob = o({"inlineData": o({"mimeType": media, "data": payloads})})
    sound = o({"inlineData": o({"mimeType": st.sampled_from(["audio/wav", "video/mp4"]), "data": payloads})})
    paper = o({"inline_data": o({"mime_type": st.sampled_from(["application/pdf", "text/plain"]), "data": payloads})})
    file = o(
        {
            "fileData": o(
                {"fileUri": urls.map("{}.png".format) | urls | names.map("gs://b/{}.pdf".format)},
                {"mimeType": media} if strange else None,
            )
        }
    )
    signed = {"thoughtSignature": ids} if strange else {}
    thought = o({"text": words, "thought": st.just(True)}, signed)
    code = o({"executableCode": o({"language": st.just("PYTHON"), "code": words})})
    call = o({"functionCall": o({"name": names, "args": arguments}, {"id": ids} if strange else None)}, signed)
    response = st.builds(lambda key, said: {key: said}, st.sampled_from(["output", "error"]), words)
    if strange:
        response = response | arguments | st.builds(lambda said: {"output": said}, st.lists(words, max_size=3))
    media_parts = {"parts": st.lists(blob, max_size=1)} if strange else {}
    result = o({"functionResponse": o({"name": names, "response": response}, {"id": ids} | media_parts)})
    odd = st.builds(lambda kind, other: {"x_" + kind: other}, names, unknown)

    def turn(role: st.SearchStrategy[Any], part: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
        return o({"role": role, "parts": st.lists(part, min_size=1, max_size=3)}).map(lambda content: [content])

    asked = turn(st.just("user"), text | blob | paper | file | (sound | odd | result if strange else none))
    said = turn(st.just("model"), text | (call | thought | code | odd if strange else none))
    exchange = st.builds(
        lambda call_ids, name, args, given: [
            {"role": "model", "parts": [{"functionCall": {"id": i, "name": name, "args": args}} for i in call_ids]},
            {
                "role": "user",
                "parts": [{"functionResponse": {"id": i, "name": name, "response": given}} for i in call_ids],
            },
        ],
        st.lists(ids, min_size=1, max_size=2, unique=True),
        names,
        arguments,
        response,
    )
    contents = st.lists(asked | said | exchange, min_size=1, max_size=4).map(
        lambda turns: [content for turn_ in turns for content in turn_]
    )
    typed = st.fixed_dictionaries(
        {
            "type": st.just("OBJECT"),
            "properties": st.dictionaries(
                names,
                st.sampled_from(
                    [
                        {"type": "STRING", "nullable": True, "enum": ["a"]},
                        {"type": "INTEGER", "minimum": 1, "format": "int32"},
                        {"type": "ARRAY", "items": {"type": "STRING"}, "maxItems": "3"},
                        {"any_of": [{"type": "STRING"}, {"type": "BOOLEAN"}], "nullable": True},
                    ]
                ),
                max_size=2,
            ),
        }
    )
    function = o({"name": names}, {"description": words, "parameters": typed | (unknown if strange else none)}) | o(
        {"name": names, "parametersJsonSchema": schemas}
    )
    tools = o({"functionDeclarations": st.lists(function, min_size=1, max_size=2)}) | (
        o({"googleSearch": st.just({})}) if strange else none
    )
    modes = ["AUTO", "ANY", "NONE", *(["VALIDATED", "any"] if strange else [])]
    allowed = {"allowedFunctionNames": st.lists(names, min_size=1, max_size=2)}
    config = o(
        {},
        {
            "temperature": st.floats(0, 2 if strange else 1),
            "topP": st.floats(0, 1),
            "maxOutputTokens": st.integers(1, 10**6),
            "stopSequences": st.lists(words, max_size=5 if strange else 4),
            "candidateCount": st.just(1),
        }
        | (
            {
                "topK": st.integers(0, 100) | st.integers(0, 100).map(str),
                "seed": st.integers(0, 9),
                "presencePenalty": st.floats(-2, 2),
                "responseModalities": st.just(["TEXT"]),
                "responseLogprobs": st.booleans(),
                "thinkingConfig": o(
                    {},
                    {"includeThoughts": st.booleans()}
                    | {"thinkingBudget": st.sampled_from([-1, 0, 100, 5000, "20000"])},
                )
                | o({"thinkingLevel": st.sampled_from(["LOW", "HIGH", "MINIMAL"])}),
            }
            if strange
            else {}
        ),
    )
    json_config = st.builds(
        lambda base, schema: base | {"responseMimeType": "application/json"} | schema,
        config,
        st.builds(lambda key, schema: {key: schema}, st.just("responseSchema"), typed)
        | st.builds(lambda key, schema: {key: schema}, st.just("responseJsonSchema"), schemas)
        | st.just({}),
    )
    return o(
        {"contents": contents},
        {
            "systemInstruction": o({"parts": st.lists(text, min_size=1, max_size=2)}),
            "tools": st.lists(tools, min_size=1, max_size=2),
            "toolConfig": o({}, {"functionCallingConfig": o({"mode": st.sampled_from(modes)}, allowed)}),
            "generationConfig": config | json_config,
        }
        | (
            {
                "safetySettings": st.just([{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]),
                "cachedContent": names,
                "labels": st.just({"a": "b"}),
            }
            if strange
            else {}
        ),
    )


# ---- cloud code requests --------------------------------------------------------------------------------------------


def cloudcode_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    inner = gemini_request(strange)
    if strange:
        inner = st.builds(lambda request, name: request | {"session_id": name}, inner, names)
    named = {"project": names, "user_prompt_id": names, "requestType": st.just("agent")}
    return obj({"model": names, "request": inner}, named if strange else None, strange)


# ---- cursor requests ------------------------------------------------------------------------------------------------


def cursor_request(strange: bool = True) -> st.SearchStrategy[bytes]:
    """Frames of protobuf, written by the simulator's own writer, some with fields that nobody knows."""
    odd = (
        st.sampled_from([b"", field(90, 7), field(91, "x"), field(92, field(1, b"\xff"))]) if strange else st.just(b"")
    )
    png = st.binary(min_size=1, max_size=9).map(lambda data: b"\x89PNG\r\n\x1a\n" + data)
    images = st.lists(png | (st.binary(min_size=1, max_size=9) if strange else st.nothing()), max_size=2)
    thought = st.builds(lambda said, proof: field(1, said) + field(2, proof), words, ids)
    hidden = payloads.map(lambda data: field(3, data))

    def image_fields(number: int, data: list[bytes]) -> bytes:
        return b"".join(field(number, field(1, item)) for item in data)

    user = st.builds(
        lambda said, shown, rest: field(1, said) + field(2, 1) + image_fields(10, shown) + field(13, "id") + rest,
        words,
        images,
        odd,
    )

    def exchange(call_id: str, name: str, given: str, said: str, kind: str, shown: list[bytes]) -> bytes:
        tool = field(1, name) + field(3, given) + field(4, "custom")
        call = field(1, 19) + field(3, call_id) + field(9, f"mcp_custom_{name}") + field(27, field(1, tool))
        outcome = field(1, 19) + field(28, field(1, name) + field(2, said)) + field(35, call_id)
        results = {"result": field(8, outcome), "error": field(9, field(2, said)), "none": b""}
        written = field(1, call_id) + field(2, f"mcp_custom_{name}") + field(11, call) + results[kind]
        return field(18, written + (image_fields(10, shown) if kind == "result" else b""))

    kinds = st.sampled_from(["result", "error", "none"] if strange else ["result"])
    calls = st.lists(st.builds(exchange, ids, names, json_text(arguments), words, kinds, images), max_size=2).map(
        b"".join
    )
    assistant = st.builds(
        lambda said, proof, called, rest: field(1, said) + field(2, 2) + proof + called + rest,
        words,
        st.just(b"") | ((thought | hidden).map(lambda data: field(45, data)) if strange else st.nothing()),
        calls,
        odd,
    )
    tool = st.builds(
        lambda name, purpose, schema: field(1, name) + purpose + field(3, schema) + field(4, "custom"),
        names,
        st.just(b"") | words.map(lambda said: field(2, said)),
        json_text(schemas),
    )
    tools = st.lists(tool, max_size=2).map(lambda found: b"".join(field(34, item) for item in found))

    def request(messages: list[bytes], system: bytes, model: str, offered: bytes, off: int, level: int) -> bytes:
        inner = b"".join(field(1, item) for item in messages) + system + field(5, field(1, model)) + offered
        message = field(1, inner + field(48, off) + field(49, level))
        return struct.pack(">BI", 0, len(message)) + message

    return st.builds(
        request,
        st.lists(user | assistant, min_size=1, max_size=4),
        st.just(b"") | words.map(lambda said: field(3, field(1, said))),
        names,
        tools,
        st.sampled_from([0, 1]),
        st.sampled_from([0, 1, 2] if strange else [0]),
    )


# ---- bedrock requests -----------------------------------------------------------------------------------------------


def bedrock_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def o(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
        return obj(required, optional, strange)

    none = st.nothing()
    point = st.just({"cachePoint": {"type": "default"}}) | st.just({"cachePoint": {"type": "default", "ttl": "1h"}})
    odd_point = o({"cachePoint": o({"type": st.just("default")})})
    points = point | odd_point if strange else none
    text = o({"text": words})
    raw = o({"bytes": payloads})
    image = o({"image": o({"format": st.sampled_from(["png", "jpeg", "webp"]), "source": raw})})
    stored = o({"image": o({"format": st.just("png"), "source": o({"s3Location": st.just({"uri": "s3://b/k"})})})})
    paper = o({"document": o({"format": st.just("pdf"), "name": names, "source": raw})})
    page = o({"document": o({"name": names, "source": o({"text": words})}, {"format": st.sampled_from(["txt", "md"])})})
    sound = o({"audio": o({"format": st.just("wav"), "source": raw})})
    odd = st.builds(lambda kind, other: {"x_" + kind: other}, names, unknown)
    guarded = o({"guardContent": o({"text": o({"text": words})})})
    call = o({"toolUse": o({"toolUseId": ids, "name": names, "input": arguments})})
    inside = text | (image | o({"json": arguments}) | odd if strange else none)
    result = o(
        {
            "toolResult": o(
                {"toolUseId": ids, "content": st.lists(inside, min_size=1, max_size=2)},
                {"status": st.sampled_from(["success", "error"])} if strange else None,
            )
        }
    )
    thought = o({"reasoningContent": o({"reasoningText": o({"text": words}, {"signature": ids})})})
    hidden = o({"reasoningContent": o({"redactedContent": payloads})})
    cited = o(
        {
            "citationsContent": o(
                {"content": st.lists(st.builds(lambda said: {"text": said}, words), min_size=1, max_size=1)},
                {"citations": st.just([{"title": "t"}])},
            )
        }
    )
    asked = text | image | paper | (page | sound | stored | guarded | odd | points if strange else none)
    said = text | call | (thought | hidden | cited | points if strange else none)
    turns = [
        o({"role": st.just("user"), "content": st.lists(asked | result, min_size=1, max_size=3)}),
        o({"role": st.just("assistant"), "content": st.lists(said, min_size=1, max_size=3)}),
    ]
    if strange:
        turns.append(o({"role": st.just("system"), "content": st.lists(text, min_size=1, max_size=2)}))
    spec = o(
        {"name": names, "inputSchema": o({"json": schemas})},
        {"description": words} | ({"strict": st.booleans()} if strange else {}),
    )
    tool = o({"toolSpec": spec}) | (points | odd if strange else none)
    choice = st.sampled_from([{"auto": {}}, {"any": {}}, {"tool": {"name": "a"}}])
    held = o({"schema": json_text(schemas)}, {"name": names} | ({"description": words} if strange else {}))
    form = o({"type": st.just("json_schema"), "structure": o({"jsonSchema": held})})
    numbers = {
        "maxTokens": st.integers(1, 10**6),
        "temperature": st.floats(0, 1),
        "topP": st.floats(0, 1),
        "stopSequences": st.lists(words, max_size=5 if strange else 4),
    }
    thinking = o({"type": st.just("enabled"), "budget_tokens": st.integers(1024, 60000)}) | o(
        {"type": st.just("adaptive")}
    )
    strange_keys = {
        "additionalModelRequestFields": o({}, {"top_k": st.integers(0, 100), "thinking": thinking}),
        "guardrailConfig": st.just({"guardrailIdentifier": "g", "guardrailVersion": "1"}),
        "requestMetadata": st.just({"a": "b"}),
        "performanceConfig": st.just({"latency": "optimized"}),
    }
    efforts = {"effort": st.sampled_from(["low", "medium", "high"])} if strange else {}
    return o(
        {"messages": st.lists(st.one_of(turns), min_size=1, max_size=5)},
        {
            "system": st.lists(text | (points | guarded if strange else none), min_size=1, max_size=2),
            "inferenceConfig": o({}, numbers),
            "toolConfig": o({"tools": st.lists(tool, min_size=1, max_size=3)}, {"toolChoice": choice}),
            "outputConfig": o({}, {"textFormat": form} | efforts),
        }
        | (strange_keys if strange else {}),
    )


# ---- kiro requests --------------------------------------------------------------------------------------------------


def kiro_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def o(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
        return obj(required, optional, strange)

    image = o({"format": st.sampled_from(["png", "jpeg"]), "source": o({"bytes": payloads})})
    odd_image = o({"format": st.just("x_tiff"), "source": o({"bytes": payloads})})
    item = o({"text": words}) | (o({"json": arguments}) if strange else st.nothing())
    result = o({"toolUseId": ids, "content": st.lists(item, min_size=1, max_size=2), "status": st.just("success")}) | o(
        {"toolUseId": ids, "content": st.lists(item, max_size=1), "status": st.just("error")}
    )
    spec = o({"name": names, "inputSchema": o({"json": schemas}), "description": words})
    tool = o({"toolSpecification": spec}) | (
        st.builds(lambda kind, other: {"x_" + kind: other}, names, unknown) if strange else st.nothing()
    )
    results = {"toolResults": st.lists(result, min_size=1, max_size=2)}
    shown = {"images": st.lists(image | odd_image if strange else image, min_size=1, max_size=2)}
    said = {"content": words, "modelId": st.just("m"), "origin": st.just("AI_EDITOR")}
    asked = o(
        {
            "userInputMessage": o(
                said,
                shown
                | {"userInputMessageContext": o({}, results | ({"editorState": st.just({"a": 1})} if strange else {}))},
            )
        }
    )
    call = o({"toolUseId": ids, "name": names, "input": arguments})
    answered = o(
        {"assistantResponseMessage": o({"content": words}, {"toolUses": st.lists(call, min_size=1, max_size=2)})}
    )
    context = o({}, results | {"tools": st.lists(tool, min_size=1, max_size=2)})
    current = o({"userInputMessage": o(said, shown | {"userInputMessageContext": context})})
    state = o(
        {"currentMessage": current, "chatTriggerType": st.just("MANUAL")},
        {"history": st.lists(asked | answered, max_size=4)} | ({"conversationId": ids} if strange else {}),
    )
    return o({"conversationState": state}, {"profileArn": names} if strange else None)


# ---- ollama requests ------------------------------------------------------------------------------------------------

pictures = st.builds(
    lambda head, data: base64.b64encode(head + data).decode(),
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]),
    st.binary(max_size=9),
)


def ollama_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def o(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
        return obj(required, optional, strange)

    images = {"images": st.lists(pictures | payloads, min_size=1, max_size=2)}
    named = {"id": ids} if strange else {}
    call = o({"function": o({"name": names}, {"arguments": arguments, "index": st.integers(0, 3)})}, named)
    called = {"tool_calls": st.lists(call, min_size=1, max_size=3)} | ({"thinking": words} if strange else {})
    answered = {"tool_name": names, "tool_call_id": ids} if strange else {"tool_name": names}
    messages = st.one_of(
        o({"role": st.just("system"), "content": words}),
        o({"role": st.just("user"), "content": words}, images),
        o({"role": st.just("assistant")}, {"content": words} | called),
        o({"role": st.just("tool"), "content": words}, answered | (images if strange else {})),
    )
    function = o({"name": names}, {"description": words, "parameters": schemas})
    odd_tool = st.builds(lambda kind, other: {"type": "x_" + kind} | other, names, unknown)
    tool = o({"type": st.just("function"), "function": function}) | (odd_tool if strange else st.nothing())
    options = o(
        {},
        {
            "temperature": st.floats(0, 1),
            "top_p": st.floats(0, 1),
            "num_predict": st.integers(1, 10**6) | (st.sampled_from([-1, -2]) if strange else st.nothing()),
            "stop": st.lists(words, max_size=4),
        }
        | ({"top_k": st.integers(0, 100), "seed": st.integers(0, 9), "num_ctx": st.just(4096)} if strange else {}),
    )
    levels: Any = st.booleans() | st.sampled_from(["low", "medium", "high"])
    return o(
        {"model": names, "messages": st.lists(messages, min_size=1, max_size=5)},
        {
            "tools": st.lists(tool, min_size=1, max_size=2),
            "stream": st.booleans(),
            "format": st.sampled_from(["", "json"]) | schemas,
            "options": options,
        }
        | ({"think": levels, "keep_alive": st.just("5m"), "logprobs": st.booleans()} if strange else {}),
    )


# ---- cohere requests ------------------------------------------------------------------------------------------------


def cohere_request(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    def o(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[dict[str, Any]]:
        return obj(required, optional, strange)

    text = o({"type": st.just("text"), "text": words})
    image = o(
        {
            "type": st.just("image_url"),
            "image_url": o(
                {"url": urls | st.builds("data:{};base64,{}".format, media, payloads)},
                {"detail": st.sampled_from(["auto", "low"])} if strange else None,
            ),
        }
    )
    odd = st.builds(lambda kind, other: {"type": "x_" + kind} | other, names, unknown)
    thought = o({"type": st.just("thinking"), "thinking": words})
    paper = o({"type": st.just("document"), "document": st.just({"data": {"a": "b"}, "id": "1"})})
    call = o(
        {
            "id": ids,
            "type": st.just("function"),
            "function": o({"name": names, "arguments": json_text(arguments) | (words if strange else st.nothing())}),
        }
    )
    plan = {"tool_plan": words, "citations": st.just([{"start": 0}])} if strange else {}
    said = text | (thought | odd if strange else st.nothing())
    messages = st.one_of(
        o({"role": st.just("system"), "content": words | st.lists(text, min_size=1, max_size=2)}),
        o(
            {
                "role": st.just("user"),
                "content": words | st.lists(text | image | (odd if strange else st.nothing()), min_size=1, max_size=3),
            }
        ),
        o(
            {"role": st.just("assistant")},
            {
                "content": words | st.lists(said, min_size=1, max_size=2),
                "tool_calls": st.lists(call, min_size=1, max_size=3),
            }
            | plan,
        ),
        o(
            {
                "role": st.just("tool"),
                "tool_call_id": ids,
                "content": words | st.lists(text | (paper if strange else st.nothing()), min_size=1, max_size=2),
            }
        ),
    )
    function = o({"name": names, "parameters": schemas}, {"description": words})
    tool = o({"type": st.just("function"), "function": function}) | (odd if strange else st.nothing())
    form = st.just({"type": "json_object"}) | st.builds(
        lambda schema: {"type": "json_object", "json_schema": schema}, schemas
    )
    return o(
        {"model": names, "messages": st.lists(messages, min_size=1, max_size=5)},
        {
            "stream": st.booleans(),
            "tools": st.lists(tool, min_size=1, max_size=2),
            "strict_tools": st.booleans(),
            "tool_choice": st.sampled_from(["REQUIRED", "NONE"]),
            "response_format": form | st.just({"type": "text"}),
            "max_tokens": st.integers(1, 10**6),
            "temperature": st.floats(0, 1),
            "p": st.floats(0.01, 0.99),
            "stop_sequences": st.lists(words, max_size=5 if strange else 4),
        }
        | (
            {
                "k": st.integers(0, 500),
                "seed": st.integers(0, 9),
                "frequency_penalty": st.floats(0, 1),
                "documents": st.just(["a"]),
                "citation_options": st.just({"mode": "FAST"}),
                "safety_mode": st.just("STRICT"),
                "thinking": o({"type": st.just("enabled")}, {"token_budget": st.integers(1, 9000)})
                | o({"type": st.just("disabled")}),
                "logprobs": st.booleans(),
                "priority": st.just(1),
            }
            if strange
            else {}
        ),
    )


# ---- answers --------------------------------------------------------------------------------------------------------

counts = st.integers(0, 10**6)
usages = st.builds(
    lambda fresh, cached, written, said, thought: Usage(
        fresh + cached + written, cached, written, said + thought, thought
    ),
    counts,
    counts,
    st.sampled_from([0, 7]),
    counts,
    st.sampled_from([0, 11]),
)
counts_only = usages.map(lambda known: Usage(known.input_tokens, output_tokens=known.output_tokens))


# What a text cites: addresses, as each format tells them.
places = st.tuples(st.integers(0, 14), st.integers(0, 14)).map(sorted)
_addresses = st.builds(
    lambda url, title, place: {
        "type": "url_citation",
        "url": url,
        "title": title,
        "start_index": place[0],
        "end_index": place[1],
    },
    urls,
    words,
    places,
)
_files = st.just({"type": "file_citation", "file_id": "f", "filename": "a.txt", "index": 0})
_pages = st.builds(
    lambda url, title, quote, proof: {
        "type": "web_search_result_location",
        "url": url,
        "title": title,
        "cited_text": quote,
        "encrypted_index": proof,
    },
    urls,
    words,
    words,
    st.just("") | ids,
)
_documents = st.just(
    {"type": "char_location", "cited_text": "c", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
)


def annotated(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """The ``extra`` of a text that may cite, in the words of OpenAI's formats."""
    quoted = st.builds(lambda item, quote: item | {"content": quote}, _addresses, words)
    listed = st.lists(_addresses | quoted | (_files if strange else st.nothing()), min_size=1, max_size=3)
    return st.just({}) | st.fixed_dictionaries({"annotations": listed})


def cited_blocks(strange: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """The same in Anthropic's words."""
    listed = st.lists(_pages | (_documents if strange else st.nothing()), min_size=1, max_size=3)
    return st.just({}) | st.fixed_dictionaries({"citations": listed})


def _grounded(answer: Response, found: list[Any], beyond: dict[str, Any]) -> Response:
    """The same in Gemini's: of the whole answer, in bytes."""
    said = "".join(part.text for part in answer.parts if isinstance(part, Text))
    if not found or not said:
        return answer
    supports = []
    for at, (_, _, (start, end)) in enumerate(found):
        segment = {
            "startIndex": len(said[:start].encode()),
            "endIndex": len(said[:end].encode()),
            "text": said[start:end],
        }
        supports.append({"segment": segment, "groundingChunkIndices": [at]})
    chunks = [{"web": {"uri": url, "title": title}} for url, title, _ in found]
    grounding = beyond | {"groundingChunks": chunks, "groundingSupports": supports}
    return msgspec.structs.replace(answer, extra=answer.extra | {"candidates": [{"groundingMetadata": grounding}]})


@cache
def answers(origin: WireFormat, strange: bool = True) -> st.SearchStrategy[Response]:
    """Canonical answers such as a decoder of ``origin`` makes: parts in the format's own order."""
    if origin is WireFormat.CLOUDCODE_GENERATE:  # Gemini's, in an envelope
        origin = WireFormat.GEMINI_GENERATE
    extra = unknown if strange else st.just({})
    texts = st.builds(Text, words, extra=st.builds(lambda a, b: a | b, extra, cited_blocks(strange)))
    if origin is not WireFormat.ANTHROPIC_MESSAGES:
        texts = st.builds(Text, words, extra=annotated(strange) if origin is WireFormat.OPENAI_CHAT else st.just({}))
    calls = st.builds(ToolCall, id=ids, name=names, arguments=json_text(arguments), extra=extra)
    thought = st.builds(Reasoning, text=words, origin=st.just(origin))
    if origin is WireFormat.OPENAI_CHAT:
        refusals = st.lists(st.builds(Refusal, words), max_size=1) if strange else st.just([])
        parts: Any = st.tuples(
            st.lists(thought, max_size=1) if strange else st.just([]),
            st.lists(texts, max_size=1),
            refusals,
            st.lists(calls, max_size=3),
        ).map(lambda groups: tuple(part for group in groups for part in group))
        usage = usages
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS, FinishReason.CONTENT_FILTER]
    elif origin is WireFormat.OLLAMA_CHAT:
        plain_call = st.builds(ToolCall, id=ids, name=names, arguments=json_text(arguments), extra=extra)
        parts = st.tuples(
            st.lists(thought, max_size=1) if strange else st.just([]),
            st.lists(texts, max_size=1),
            st.lists(plain_call, max_size=3),
        ).map(lambda groups: tuple(part for group in groups for part in group))
        usage = counts_only
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]
    elif origin is WireFormat.COHERE_CHAT:
        planned = st.builds(Reasoning, text=words, origin=st.just(origin), item=st.just("tool_plan"))
        marked = st.builds(Text, words, extra=extra)
        mused = st.builds(Reasoning, text=words, origin=st.just(origin), extra=extra)
        block = st.builds(lambda kind, rest: Opaque(origin=origin, data={"type": "x_" + kind} | rest), names, unknown)
        parts = st.tuples(
            st.lists(planned, max_size=1) if strange else st.just([]),
            st.lists(marked | (mused | block if strange else st.nothing()), max_size=2),
            st.lists(calls, max_size=3),
        ).map(lambda groups: tuple(part for group in groups for part in group))
        usage = usages.map(
            lambda known: Usage(known.input_tokens, known.cached_input_tokens, output_tokens=known.output_tokens)
        )
        reasons = [
            *(FinishReason.STOP, FinishReason.STOP_SEQUENCE, FinishReason.LENGTH, FinishReason.TOOL_CALLS),
            FinishReason.CONTENT_FILTER,
        ]
    elif origin is WireFormat.OPENAI_RESPONSES:
        noted = st.builds(lambda a, b: a | b, extra, annotated(strange))
        said = st.builds(Text, words, extra=noted, item=ids) | st.builds(Refusal, words, extra=extra, item=ids)
        thoughts = st.builds(
            Reasoning,
            text=words,
            origin=st.just(origin),
            signature=payloads | st.just(""),
            full=st.booleans(),
            item=ids,
            extra=extra,
        )
        freeform = st.builds(ToolCall, id=ids, name=names, arguments=json_text(arguments), freeform=st.just(True))
        item = st.builds(
            lambda kind, rest: Opaque(origin=origin, data={"type": "x_" + kind} | rest, slot="item"), names, unknown
        )
        odd = thoughts | freeform | item if strange else st.nothing()
        plain_said = st.builds(Text, words, extra=noted, item=ids)
        parts = st.lists((said if strange else plain_said) | calls | odd, max_size=4).map(tuple)
        usage = usages
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]
    elif origin is WireFormat.GEMINI_GENERATE:
        signed = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""), extra=extra)
        marked = st.builds(Text, words, extra=extra)
        proven = st.builds(
            ToolCall, id=ids, name=names, arguments=json_text(arguments), signature=ids | st.just(""), extra=extra
        )
        picture = st.builds(Image, data=payloads, media_type=media, extra=extra)
        block = st.builds(lambda rest: Opaque(origin=origin, data={"executableCode": rest}), unknown)
        ours: Any = signed | proven | picture | block if strange else st.nothing()
        parts = st.lists(marked | calls | ours, max_size=4).map(_apart)
        usage = usages.map(lambda known: msgspec.structs.replace(known, cache_write_tokens=0))
        reasons = [FinishReason.STOP, FinishReason.LENGTH, FinishReason.CONTENT_FILTER]
    elif origin is WireFormat.CURSOR_CHAT:
        proven = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""))
        hidden = payloads.map(lambda data: Opaque(origin=origin, data={"redacted_thinking": data}))
        call = st.builds(ToolCall, id=ids, name=names, arguments=json_text(arguments))
        said = st.builds(Text, words) | call | (proven | hidden if strange else st.nothing())
        parts = st.lists(said, max_size=4, unique_by=lambda part: part.id if isinstance(part, ToolCall) else id(part))
        parts = parts.map(_apart)
        usage = st.none()
        reasons = [FinishReason.STOP]
        extra = st.just({}) | st.just({"web_citation": {"references": [{"url": "u", "title": "t", "chunk": "c"}]}})
    elif origin is WireFormat.KIRO_CONVERSATION:
        signed = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""), extra=extra)
        marked = st.builds(Text, words, extra=extra)
        hidden = st.builds(
            lambda data, rest: Opaque(origin=origin, data={"redactedContent": data} | rest), payloads, unknown
        )
        kiro_parts = st.lists(marked | calls | (signed | hidden if strange else st.nothing()), max_size=4)
        parts = kiro_parts.map(_calls_apart)
        usage = usages.map(lambda known: msgspec.structs.replace(known, reasoning_tokens=0))
        reasons = [
            *(FinishReason.STOP, FinishReason.LENGTH, FinishReason.TOOL_CALLS, FinishReason.CONTENT_FILTER),
            FinishReason.PAUSE,
        ]
    elif origin is WireFormat.BEDROCK_CONVERSE:
        signed = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""), extra=extra)
        marked = st.builds(Text, words, extra=extra)
        hidden = st.builds(
            lambda data: Opaque(origin=origin, data={"reasoningContent": {"redactedContent": data}}), payloads
        )
        block = st.builds(lambda kind, rest: Opaque(origin=origin, data={"x_" + kind: rest}), names, unknown)
        parts = st.lists(marked | calls | (signed | hidden | block if strange else st.nothing()), max_size=4).map(tuple)
        usage = usages.map(
            lambda known: Usage(
                known.input_tokens, known.cached_input_tokens, known.cache_write_tokens, known.output_tokens
            )
        )
        reasons = [reason for reason in FinishReason if reason not in (FinishReason.OTHER, FinishReason.PAUSE)]
    else:
        signed = st.builds(Reasoning, text=words, origin=st.just(origin), signature=ids | st.just(""), extra=extra)
        block = st.builds(lambda kind, rest: Opaque(origin=origin, data={"type": "x_" + kind} | rest), names, unknown)
        parts = st.lists(texts | calls | (signed | block if strange else st.nothing()), max_size=4).map(tuple)
        usage = usages.map(
            lambda known: Usage(
                known.input_tokens, known.cached_input_tokens, known.cache_write_tokens, known.output_tokens
            )
        )
        reasons = [reason for reason in FinishReason if reason is not FinishReason.OTHER]
    other = st.builds(
        Choice,
        parts=parts.map(_each_call_once),
        finish=st.sampled_from(reasons),
        extra=extra,
    )
    several = origin in (WireFormat.OPENAI_CHAT, WireFormat.GEMINI_GENERATE)
    whole = st.builds(
        Response,
        origin=st.just(origin),
        id=ids,
        model=names,
        parts=parts.map(_each_call_once),
        finish=st.sampled_from(reasons),
        stop_sequence=st.just(""),
        usage=usage,
        others=st.just(()) | st.lists(other, max_size=2).map(tuple) if several else st.just(()),
        extra=extra,
    )
    if origin is not WireFormat.GEMINI_GENERATE:
        return whole
    beyond = st.fixed_dictionaries({}, optional={"webSearchQueries": st.just(["q"])} if strange else {})
    return st.builds(_grounded, whole, st.lists(st.tuples(urls, words, places), max_size=3), beyond)


def _each_call_once(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """No two calls of an answer have one id, which is how formats that tell calls in pieces join them."""
    ids = [part.id if isinstance(part, ToolCall) else None for part in parts]
    return tuple(part for at, part in enumerate(parts) if ids[at] is None or ids[at] not in ids[:at])


def _apart(parts: list[Any]) -> tuple[Any, ...]:
    """Without texts that Gemini's readers would take for the one before going on."""
    kept: list[Any] = []
    for part in parts:
        last = kept[-1] if kept else None
        open_end = isinstance(last, Text | Reasoning) and not last.extra and not getattr(last, "signature", "")
        if not (open_end and type(part) is type(last)):
            kept.append(part)
    return tuple(kept)


def _calls_apart(parts: list[Any]) -> tuple[Any, ...]:
    """Without texts that Kiro's readers would take for the one before going on, and no two calls of one id."""
    kept: list[Any] = []
    for part in parts:
        last = kept[-1] if kept else None
        goes_on = isinstance(part, Text | Reasoning) and type(part) is type(last) and not getattr(last, "signature", "")
        if not goes_on and not any(isinstance(part, ToolCall) and part.id == getattr(held, "id", "") for held in kept):
            kept.append(part)
    return tuple(kept)


# ---- damage ---------------------------------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> Any:
    """A value with up to three of its nodes replaced by anything at all."""
    value = draw(whole)
    for _ in range(draw(st.integers(1, 3))):
        value = _damage(draw, value)
    return value


def _damage(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, bytes):
        at = draw(st.integers(0, len(value)))
        return value[:at] + draw(st.binary(max_size=3)) + value[at + draw(st.integers(0, 3)) :]
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        return value | {key: _damage(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _damage(draw, value[at]), *value[at + 1 :]]
    return draw(values)
