"""Requests and answers of each format as their vendors document them, with unknown keys strewn in."""

import base64
from typing import Any

from hypothesis import strategies as st
from omni_translator.domain.model import (
    FinishReason,
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
        o({"role": st.just("assistant"), "content": words | st.lists(text | use | odd, min_size=1, max_size=3)}),
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


def answers(origin: WireFormat, strange: bool = True) -> st.SearchStrategy[Response]:
    """Canonical answers such as a decoder of ``origin`` makes: parts in the format's own order."""
    extra = unknown if strange else st.just({})
    texts = st.builds(Text, words, extra=extra if origin is WireFormat.ANTHROPIC_MESSAGES else st.just({}))
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
    return st.builds(
        Response,
        origin=st.just(origin),
        id=ids,
        model=names,
        parts=parts,
        finish=st.sampled_from(reasons),
        stop_sequence=st.just(""),
        usage=usage,
        extra=extra,
    )


# ---- damage ---------------------------------------------------------------------------------------------------------


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[Any]) -> Any:
    """A value with up to three of its nodes replaced by anything at all."""
    value = draw(whole)
    for _ in range(draw(st.integers(1, 3))):
        value = _damage(draw, value)
    return value


def _damage(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        return value | {key: _damage(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], _damage(draw, value[at]), *value[at + 1 :]]
    return draw(values)
