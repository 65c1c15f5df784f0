"""Requests of Bedrock Converse, as documented, with unknown keys strewn in."""

from typing import Any

from hypothesis import strategies as st

from tests.codecs.strategies.base import arguments, ids, json_text, names, obj, payloads, schemas, unknown, words


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
