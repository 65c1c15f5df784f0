"""Google Gemini generateContent (ai.google.dev/api/generate-content). The REST API takes camelCase and snake_case."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from omni_wire.errors import GatewayError, InvalidRequest

from omni_simulator.formats.base import encode
from omni_simulator.reading import Notes, arr, compact, filled, limit, obj, strings, text
from omni_simulator.values import Answer, Ask, Call, Frame, Frames, Tool

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "filter": "SAFETY"}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_METHODS = ["generateContent", "streamGenerateContent", "countTokens"]


class GeminiFormat:
    request_id_header = b"x-request-id"

    def read(self, body: dict[str, Any], seed: str, path_model: str, action: str) -> Ask:
        inner = body.get("generateContentRequest")  # countTokens may wrap the whole request
        if action == "count" and inner is not None:
            body = obj(inner, "generateContentRequest")
        notes = Notes()
        system = _pick(body, "systemInstruction")
        if isinstance(system, str):
            notes.said(system)
        else:
            _read_parts(notes, obj(system, "systemInstruction").get("parts"), "systemInstruction", by_user=False)
        for index, item in enumerate(filled(body.get("contents"), "contents")):
            where = f"contents[{index}]"
            content = obj(item, where)
            by_user = content.get("role", "user") == "user"
            if content.get("role") == "model":
                notes.model_spoke()
            _read_parts(notes, content.get("parts"), where, by_user=by_user)
        config = obj(_pick(body, "generationConfig"), "generationConfig")
        choice, tools = _read_tools(body)
        framing: Literal["sse", "array"] = "array" if action == "stream-array" else "sse"
        return notes.ask(
            model=path_model,
            seed=seed,
            stream=action.startswith("stream"),
            tools=tools,
            choice=choice,
            max_output=limit(_pick(config, "maxOutputTokens"), "generationConfig.maxOutputTokens"),
            stops=strings(_pick(config, "stopSequences"), "generationConfig.stopSequences"),
            schema=_read_schema(config),
            framing=framing,
            choices=limit(_pick(config, "candidateCount"), "generationConfig.candidateCount") or 1,
        )

    def whole(self, ask: Ask, answer: Answer) -> bytes:
        parts: list[dict[str, Any]] = []
        if answer.thinking:
            parts.append({"text": "".join(answer.thinking), "thought": True})
        if answer.text or not answer.calls:
            parts.append(_signed({"text": "".join(answer.text)}, answer, first=not answer.calls))
        parts += [_signed(_call(call), answer, first=index == 0) for index, call in enumerate(answer.calls)]
        whole = _chunk(ask, answer, parts, ended=True)
        return encode({**whole, "candidates": [{**whole["candidates"][0], "index": at} for at in range(ask.choices)]})

    def frames(self, ask: Ask, answer: Answer) -> Frames:
        spoken = [{"text": piece, "thought": True} for piece in answer.thinking]
        spoken += [{"text": piece} for piece in answer.text]
        chunks: list[tuple[dict[str, Any], int]] = [(_chunk(ask, answer, [part]), 1) for part in spoken]
        for index, call in enumerate(answer.calls):
            part = _signed(_call(call), answer, first=index == 0)
            chunks.append((_chunk(ask, answer, [part]), call.tokens))
        last = [_signed({"text": ""}, answer, first=not answer.calls)]
        ending = len(chunks) * ask.choices
        chunks.append((_chunk(ask, answer, last, ended=True), 0))
        if ask.choices > 1:
            chunks = [(_numbered(chunk, at), weight) for chunk, weight in chunks for at in range(ask.choices)]
        if ask.framing == "sse":
            frames: list[Frame] = [(b"data: " + encode(chunk) + b"\r\n\r\n", tokens) for chunk, tokens in chunks]
            return Frames(frames, ending)
        frames = [((b",\r\n" if index else b"[") + encode(chunk), n) for index, (chunk, n) in enumerate(chunks)]
        return Frames([*frames, (b"]\r\n", 0)], ending)

    def count(self, tokens: int) -> bytes:
        return encode({"totalTokens": tokens})

    def error(self, error: GatewayError, request_id: str) -> bytes:
        return encode(_error(error))

    def error_frame(self, ask: Ask, error: GatewayError, request_id: str, *, first: bool) -> bytes:
        if ask.framing == "array":
            return (b"[" if first else b",\r\n") + encode(_error(error)) + b"]\r\n"
        return b"data: " + encode(_error(error)) + b"\r\n\r\n"

    def model(self, name: str) -> dict[str, Any]:
        limits = {"inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536}
        return {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            **limits,
            "supportedGenerationMethods": _METHODS,
        }

    def models(self, names: Sequence[str]) -> dict[str, Any]:
        return {"models": [self.model(name) for name in names]}


def _pick(holder: dict[str, Any], name: str) -> Any:
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return holder.get(name, holder.get(snake))


def _signed(part: dict[str, Any], answer: Answer, *, first: bool) -> dict[str, Any]:
    """Reasoning is vouched for on the first call, or else on the text."""
    return {**part, "thoughtSignature": answer.signature} if answer.thinking and first else part


def _call(call: Call) -> dict[str, Any]:
    arguments = {"input": call.arguments} if call.custom else msgspec.Raw(call.arguments.encode())
    return {"functionCall": {"id": f"call_{call.id}", "name": call.name, "args": arguments}}


def _chunk(ask: Ask, answer: Answer, parts: list[dict[str, Any]], *, ended: bool = False) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if ended:
        candidate["finishReason"] = _FINISH[answer.finish]
        if answer.cited:
            candidate["groundingMetadata"] = _grounding(answer)
    chunk: dict[str, Any] = {"candidates": [candidate]}
    usage = answer.usage
    if ended and answer.show_usage:
        chunk["usageMetadata"] = {
            "promptTokenCount": usage.input_tokens,
            "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
            "totalTokenCount": usage.input_tokens + usage.output_tokens,
            "cachedContentTokenCount": usage.cached_input_tokens,
            "thoughtsTokenCount": usage.reasoning_tokens,
        }
    return {**chunk, "modelVersion": ask.model, "responseId": answer.seed}


def _numbered(chunk: dict[str, Any], candidate: int) -> dict[str, Any]:
    return {**chunk, "candidates": [{**chunk["candidates"][0], "index": candidate}]}


def _grounding(answer: Answer) -> dict[str, Any]:
    said = "".join(answer.text)
    supports = []
    for number, at in enumerate(answer.cited):
        words = said[at.start : at.end]
        start = len(said[: at.start].encode())
        segment = {"startIndex": start, "endIndex": start + len(words.encode()), "text": words}
        supports.append({"segment": segment, "groundingChunkIndices": [number]})
    chunks = [{"web": {"uri": at.url, "title": at.title}} for at in answer.cited]
    return {"groundingChunks": chunks, "groundingSupports": supports}


def _error(error: GatewayError) -> dict[str, Any]:
    status = _STATUS.get(error.status, "INTERNAL" if error.status >= 500 else "INVALID_ARGUMENT")
    return {"error": {"code": error.status, "message": error.message, "status": status}}


def _read_parts(notes: Notes, value: object, where: str, *, by_user: bool) -> None:
    for index, item in enumerate(arr(value, f"{where}.parts")):
        at = f"{where}.parts[{index}]"
        part = obj(item, at)
        call, result = _pick(part, "functionCall"), _pick(part, "functionResponse")
        notes.vouched(_pick(part, "thoughtSignature"), f"{at}.thoughtSignature")
        if part.get("text") is not None:
            notes.said(text(part["text"], f"{at}.text"), by_user=by_user)
        elif call is not None:
            notes.called("", compact(obj(obj(call, at).get("args"), f"{at}.functionCall.args")))
        elif result is not None:
            response = obj(obj(result, at).get("response"), f"{at}.functionResponse.response")
            words = next((response[key] for key in ("output", "result", "error") if key in response), response)
            said = words if isinstance(words, str) else compact(words)
            notes.returned(None, said, failed="error" in response)
        else:
            inline = obj(_pick(part, "inlineData"), f"{at}.inlineData")
            notes.shown(str(_pick(inline, "mimeType") or ""), inline.get("data"), f"{at}.inlineData.data")


def _read_tools(body: dict[str, Any]) -> tuple[str, tuple[Tool, ...]]:
    tools = []
    for item in arr(body.get("tools"), "tools"):
        for entry in arr(_pick(obj(item, "tools"), "functionDeclarations"), "tools.functionDeclarations"):
            declaration = obj(entry, "functionDeclarations")
            name = text(declaration.get("name"), "functionDeclarations.name")
            schema = _pick(declaration, "parametersJsonSchema") or declaration.get("parameters")
            tools.append(Tool(name, obj(schema, "functionDeclarations.parameters")))
    config = obj(_pick(obj(_pick(body, "toolConfig"), "toolConfig"), "functionCallingConfig"), "functionCallingConfig")
    mode = config.get("mode", "AUTO")
    allowed = strings(_pick(config, "allowedFunctionNames"), "allowedFunctionNames")
    known = {"AUTO": "auto", "NONE": "none", "ANY": "required", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto"}
    if not isinstance(mode, str) or mode.upper() not in known:
        raise InvalidRequest("functionCallingConfig.mode: expected AUTO, ANY or NONE", param="mode")
    if mode.upper() == "ANY" and allowed:
        tools = [tool for tool in tools if tool.name in allowed]
    return known[mode.upper()], tuple(tools)


def _read_schema(config: dict[str, Any]) -> dict[str, Any] | None:
    for name in ("responseJsonSchema", "responseSchema"):
        if _pick(config, name) is not None:
            return obj(_pick(config, name), f"generationConfig.{name}")
    if _pick(config, "responseMimeType") == "application/json":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return None
