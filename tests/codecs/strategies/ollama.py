"""Requests of Ollama, as documented, with unknown keys strewn in."""

import base64
from typing import Any

from hypothesis import strategies as st

from tests.codecs.strategies.base import arguments, ids, names, obj, payloads, schemas, unknown, words

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
