"""Requests of Kiro, as documented, with unknown keys strewn in."""

from typing import Any

from hypothesis import strategies as st

from tests.codecs.strategies.base import arguments, ids, names, obj, payloads, schemas, unknown, words


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
