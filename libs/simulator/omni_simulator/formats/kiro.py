"""Kiro's conversation: GenerateAssistantResponse of AWS's CodeWhisperer (the service's model in AWS's own client,
aws/amazon-q-developer-cli). It answers in streams only, and tells no usage."""

from collections.abc import Sequence
from typing import Any

from omni_wire.errors import GatewayError, InvalidRequest

from omni_simulator.formats.aws_frames import event, exception
from omni_simulator.formats.base import encode
from omni_simulator.reading import Notes, arr, compact, obj, text
from omni_simulator.values import Answer, Ask, Call, Frame, Frames, Tool

_FINISH = {"stop": "END_TURN", "length": "MAX_TOKENS", "tool_calls": "TOOL_USE", "filter": "CONTENT_FILTERED"}


class KiroFormat:
    request_id_header = b"x-amzn-requestid"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        profile = text(body.get("profileArn"), "profileArn") if "profileArn" in body else "arn:"
        if not profile.startswith("arn:"):
            raise InvalidRequest("profileArn: not an ARN", param="profileArn")
        state = obj(body.get("conversationState"), "conversationState")
        notes = Notes()
        for index, item in enumerate(arr(state.get("history"), "history")):
            _read_turn(notes, obj(item, f"history.{index}"), f"history.{index}", asked=index % 2 == 0)
        current = obj(obj(state.get("currentMessage"), "currentMessage").get("userInputMessage"), "currentMessage")
        _read_asked(notes, current, "currentMessage.userInputMessage")
        context = obj(current.get("userInputMessageContext"), "userInputMessageContext")
        if state.get("chatTriggerType") not in ("MANUAL", "DIAGNOSTIC", "INLINE_CHAT"):
            raise InvalidRequest("chatTriggerType: expected MANUAL", param="conversationState.chatTriggerType")
        return notes.ask(
            model=text(current.get("modelId"), "modelId"),
            seed=seed,
            stream=True,
            tools=_read_tools(context),
            choice="auto",
            max_output=None,
            schema=notes.worded_schema(),
            framing="events",
        )

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        return b"".join(data for data, _ in self.frames(ask, answer).frames)

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        frames: list[Frame] = [(event("messageMetadataEvent", {"conversationId": answer.seed}), 0)]
        frames += [(event("reasoningContentEvent", {"text": piece}), 1) for piece in answer.thinking]
        if answer.thinking:
            frames.append((event("reasoningContentEvent", {"signature": answer.signature}), 0))
        frames += [(event("assistantResponseEvent", {"content": piece}), 1) for piece in answer.text]
        for call in answer.calls:
            frames += _call(call)
        ending = len(frames)
        frames.append((event("metadataEvent", {"stopReason": _FINISH[answer.finish]}), 0))
        frames.append((event("contextUsageEvent", {"contextUsagePercentage": 1.5}), 0))
        metered = {"unit": "credit", "unitPlural": "credits", "usage": 0.01}
        frames.append((event("meteringEvent", metered), 0))
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
        return {"models": [self.model(name) for name in names]}


def _call(call: Call) -> list[Frame]:
    head = {"toolUseId": f"tooluse_{call.id}", "name": call.name}
    pieces = (compact({"input": call.arguments}),) if call.custom else call.pieces
    told = [(event("toolUseEvent", head | {"input": piece}), 1) for piece in pieces]
    return [(event("toolUseEvent", head), 1), *told, (event("toolUseEvent", head | {"stop": True}), 0)]


def _read_turn(notes: Notes, turn: dict[str, Any], where: str, *, asked: bool) -> None:
    if ("userInputMessage" in turn) is not asked:
        raise InvalidRequest(f"{where}: turns of the user and the assistant must alternate", param=where)
    if asked:
        _read_asked(notes, obj(turn["userInputMessage"], where), where)
        return
    said = obj(turn.get("assistantResponseMessage"), where)
    notes.model_spoke()
    notes.said(text(said.get("content"), f"{where}.content"))
    for item in arr(said.get("toolUses"), f"{where}.toolUses"):
        call = obj(item, f"{where}.toolUses")
        notes.called(text(call.get("toolUseId"), f"{where}.toolUseId"), compact(obj(call.get("input"), where)))


def _read_asked(notes: Notes, asked: dict[str, Any], where: str) -> None:
    context = obj(asked.get("userInputMessageContext"), f"{where}.userInputMessageContext")
    for item in arr(context.get("toolResults"), f"{where}.toolResults"):
        result = obj(item, f"{where}.toolResults")
        parts = [obj(part, where) for part in arr(result.get("content"), f"{where}.toolResults.content")]
        words = "".join(text(part["text"], where) if "text" in part else compact(part.get("json")) for part in parts)
        call_id = text(result.get("toolUseId"), f"{where}.toolUseId")
        notes.returned(call_id, words, failed=result.get("status") == "error", where=where)
    notes.said(text(asked.get("content"), f"{where}.content"), by_user=True)
    for item in arr(asked.get("images"), f"{where}.images"):
        image = obj(item, f"{where}.images")
        notes.shown(f"image/{image.get('format', '')}", obj(image.get("source"), where).get("bytes"), where)


def _read_tools(context: dict[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for item in arr(context.get("tools"), "tools"):
        spec = obj(obj(item, "tools").get("toolSpecification"), "toolSpecification")
        name = text(spec.get("name"), "toolSpecification.name")
        if not text(spec.get("description"), "toolSpecification.description"):
            raise InvalidRequest("toolSpecification.description: must not be blank", param="tools")
        schema = obj(obj(spec.get("inputSchema"), "inputSchema").get("json"), "inputSchema.json")
        tools.append(Tool(name, schema))
    return tuple(tools)
