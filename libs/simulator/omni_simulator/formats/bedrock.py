"""Amazon Bedrock's Converse (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)."""

from collections.abc import Sequence
from typing import Any

import msgspec
from omni_wire.errors import GatewayError, InvalidRequest

from omni_simulator.formats.aws_frames import event, exception
from omni_simulator.formats.base import encode
from omni_simulator.reading import Notes, arr, compact, filled, limit, obj, strings, text
from omni_simulator.values import Answer, Ask, Call, Frame, Frames, Tool

_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "filter": "content_filtered"}
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class BedrockFormat:
    request_id_header = b"x-amzn-requestid"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        if action == "count":
            body = _to_count(body)
        notes = Notes()
        _read_blocks(notes, body.get("system"), "system", by_user=False)
        calls = False
        for index, item in enumerate(filled(body.get("messages"), "messages")):
            where = f"messages.{index}"
            message = obj(item, where)
            role = text(message.get("role"), f"{where}.role")
            if role == "assistant":
                notes.model_spoke()
            calls = _read_blocks(notes, message.get("content"), f"{where}.content", by_user=role == "user") or calls
        config = obj(body.get("inferenceConfig"), "inferenceConfig")
        offered = obj(body.get("toolConfig"), "toolConfig")
        if calls and not offered.get("tools"):
            said = "The toolConfig field must be defined when using toolUse and toolResult content blocks."
            raise InvalidRequest(said, param="toolConfig")
        return notes.ask(
            model=path_model,
            seed=seed,
            stream=action == "stream-events",
            tools=_read_tools(offered),
            choice=_read_choice(obj(offered.get("toolChoice"), "toolConfig.toolChoice")),
            max_output=limit(config.get("maxTokens"), "inferenceConfig.maxTokens"),
            stops=strings(config.get("stopSequences"), "inferenceConfig.stopSequences"),
            schema=_read_schema(body),
            framing="events",
        )

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        blocks: list[dict[str, Any]] = []
        if answer.thinking:
            thought = {"text": "".join(answer.thinking), "signature": answer.signature}
            blocks.append({"reasoningContent": {"reasoningText": thought}})
        if answer.text:
            blocks.append({"text": "".join(answer.text)})
        blocks += [{"toolUse": _use(call) | {"input": _input(call)}} for call in answer.calls]
        body: dict[str, Any] = {
            "output": {"message": {"role": "assistant", "content": blocks}},
            "stopReason": _finish(answer),
            "metrics": {"latencyMs": 1},
        }
        return encode(body | ({"usage": _usage(answer)} if answer.show_usage else {}))

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        frames: list[Frame] = [(_event("messageStart", {"role": "assistant"}), 0)]
        index = 0

        def block(deltas: list[tuple[dict[str, Any], int]], start: dict[str, Any] | None = None) -> None:
            nonlocal index
            if start is not None:
                opened = {"contentBlockIndex": index, "start": start}
                frames.append((_event("contentBlockStart", opened), 1))
            for delta, tokens in deltas:
                frames.append((_event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}), tokens))
            frames.append((_event("contentBlockStop", {"contentBlockIndex": index}), 0))
            index += 1

        if answer.thinking:
            thoughts = [({"reasoningContent": {"text": piece}}, 1) for piece in answer.thinking]
            block([*thoughts, ({"reasoningContent": {"signature": answer.signature}}, 0)])
        if answer.text:
            block([({"text": piece}, 1) for piece in answer.text])
        for call in answer.calls:
            pieces = call.pieces if not call.custom else (compact(_input(call)),)
            block([({"toolUse": {"input": piece}}, 1) for piece in pieces], {"toolUse": _use(call)})
        ending = len(frames)
        frames.append((_event("messageStop", {"stopReason": _finish(answer)}), 0))
        metadata: dict[str, Any] = {"metrics": {"latencyMs": 1}}
        metadata |= {"usage": _usage(answer)} if answer.show_usage else {}
        frames.append((_event("metadata", metadata), 0))
        return Frames(frames, ending)

    def count(self, tokens: int) -> bytes:
        return encode({"inputTokens": tokens})

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return encode({"message": error.message})

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        return exception(error)

    def model(self, name: str) -> dict[str, Any]:
        return {"modelId": name, "modelName": name}

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {"modelSummaries": [self.model(name) for name in names]}


def _to_count(body: dict[str, Any]) -> dict[str, Any]:
    """ConverseTokensRequest; what a model is told of sampling is no part of it."""
    asked = obj(obj(body.get("input"), "input").get("converse"), "input.converse")
    unknown = asked.keys() - {"messages", "system", "toolConfig", "additionalModelRequestFields"}
    if unknown:
        raise InvalidRequest(f"input.converse.{min(unknown)}: unknown", param=f"input.converse.{min(unknown)}")
    return asked


def _event(name: str, payload: dict[str, Any]) -> bytes:
    """Padded, against traffic analysis, by a length that changes."""
    return event(name, payload | {"p": _LETTERS[: len(encode(payload)) % len(_LETTERS)]})


def _finish(answer: Answer) -> str:
    return "stop_sequence" if answer.stop_sequence is not None else _FINISH[answer.finish]


def _usage(answer: Answer) -> dict[str, Any]:
    """Bedrock's input leaves out what was read from or written to the cache; its total does not."""
    usage = answer.usage
    return {
        "inputTokens": usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
        "cacheReadInputTokens": usage.cached_input_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }


def _use(call: Call) -> dict[str, Any]:
    return {"toolUseId": f"tooluse_{call.id}", "name": call.name}


def _input(call: Call) -> Any:
    return {"input": call.arguments} if call.custom else msgspec.Raw(call.arguments.encode())


def _read_blocks(notes: Notes, content: object, where: str, *, by_user: bool) -> bool:
    """Whether any of them is a call or the result of one."""
    calls = False
    for index, item in enumerate(arr(content, where)):
        at = f"{where}.{index}"
        block = obj(item, at)
        if "text" in block:
            said = text(block["text"], f"{at}.text")
            if not said:
                raise InvalidRequest(f"The text field in the ContentBlock object at {at} is blank.", param=at)
            notes.said(said, by_user=by_user)
        elif "reasoningContent" in block:
            thought = obj(obj(block["reasoningContent"], at).get("reasoningText"), at)
            notes.said(text(thought.get("text", ""), at))
            notes.vouched(thought.get("signature"), f"{at}.reasoningText.signature")
        elif "toolUse" in block:
            calls = True
            use = obj(block["toolUse"], at)
            notes.called(text(use.get("toolUseId"), f"{at}.toolUse.toolUseId"), compact(obj(use.get("input"), at)))
        elif "toolResult" in block:
            calls = True
            result = obj(block["toolResult"], at)
            words = _result_text(notes, result.get("content"), f"{at}.toolResult.content")
            call_id = text(result.get("toolUseId"), f"{at}.toolResult.toolUseId")
            notes.returned(call_id, words, failed=result.get("status") == "error", where=at)
        elif "cachePoint" not in block:
            _show(notes, block, at)
    return calls


_FAMILIES = {"image": "image", "document": "application", "audio": "audio", "video": "video"}


def _show(notes: Notes, block: dict[str, Any], at: str) -> None:
    """An image, a document, a sound: the key says which, ``format`` the rest of its type."""
    kind = next((key for key in _FAMILIES if key in block), "")
    held = obj(block.get(kind), at)
    source = obj(held.get("source"), at)
    if "text" in source:
        notes.said(text(source["text"], at))
        return
    notes.shown(f"{_FAMILIES.get(kind, kind)}/{held.get('format', '')}", source.get("bytes"), at)


def _result_text(notes: Notes, content: object, where: str) -> str:
    found = []
    for item in arr(content, where):
        block = obj(item, where)
        if "text" in block:
            found.append(text(block["text"], f"{where}.text"))
        elif "json" in block:
            found.append(compact(block["json"]))
        else:
            _show(notes, block, where)
    return "".join(found)


def _read_tools(config: dict[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for item in arr(config.get("tools"), "toolConfig.tools"):
        spec = obj(item, "toolConfig.tools").get("toolSpec")
        if spec is None:
            continue  # a cache point, or a tool that Bedrock runs
        found = obj(spec, "toolSpec")
        schema = obj(found.get("inputSchema"), "toolSpec.inputSchema").get("json")
        if not isinstance(schema, dict):
            raise InvalidRequest("toolSpec.inputSchema.json: expected an object", param="toolConfig.tools")
        tools.append(Tool(text(found.get("name"), "toolSpec.name"), schema))
    return tuple(tools)


def _read_choice(choice: dict[str, Any]) -> str:
    if "tool" in choice:
        return f"={text(obj(choice['tool'], 'toolChoice.tool').get('name'), 'toolChoice.tool.name')}"
    return "required" if "any" in choice else "auto"


def _read_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    form = obj(obj(body.get("outputConfig"), "outputConfig").get("textFormat"), "outputConfig.textFormat")
    held = obj(obj(form.get("structure"), "textFormat.structure").get("jsonSchema"), "structure.jsonSchema")
    if "schema" not in held:
        return None
    try:
        return obj(msgspec.json.decode(text(held["schema"], "jsonSchema.schema")), "jsonSchema.schema")
    except msgspec.DecodeError as error:
        raise InvalidRequest("jsonSchema.schema: not JSON", param="outputConfig") from error
