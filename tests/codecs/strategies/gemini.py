"""Requests of Gemini, as documented, with unknown keys strewn in."""

from typing import Any

from hypothesis import strategies as st

from tests.codecs.strategies.base import arguments, ids, media, names, obj, payloads, schemas, unknown, urls, words


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
