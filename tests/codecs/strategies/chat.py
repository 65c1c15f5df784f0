"""Requests of OpenAI Chat, as documented, with unknown keys strewn in."""

from typing import Any

from hypothesis import strategies as st

from tests.codecs.strategies.base import (
    arguments,
    ids,
    json_text,
    markers,
    media,
    names,
    obj,
    payloads,
    schemas,
    unknown,
    urls,
    words,
)


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
