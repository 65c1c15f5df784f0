"""Requests of OpenAI Responses, as documented, with unknown keys strewn in."""

from typing import Any

from hypothesis import strategies as st

from tests.codecs.strategies.answers import _addresses
from tests.codecs.strategies.base import (
    arguments,
    ids,
    json_text,
    media,
    names,
    obj,
    payloads,
    schemas,
    unknown,
    urls,
    words,
)


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
