"""Requests of Cohere, as documented, with unknown keys strewn in."""

from typing import Any

from hypothesis import strategies as st

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
