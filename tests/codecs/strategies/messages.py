"""Requests of Anthropic Messages, as documented, with unknown keys strewn in."""

from typing import Any

from hypothesis import strategies as st

from tests.codecs.strategies.answers import cited_blocks
from tests.codecs.strategies.base import (
    arguments,
    ids,
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
