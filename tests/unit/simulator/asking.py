"""The same request in the six formats, and reading the same answer back out of them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx

FORMATS = ("chat", "responses", "messages", "gemini", "ollama", "cohere")

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}, "unit": {"enum": ["C", "F"]}},
    "required": ["city", "days"],
}
WRITE = {
    "type": "object",
    "properties": {"file_path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["file_path", "content"],
}
READ = {"type": "object", "properties": {"file_path": {"type": "string"}}, "required": ["file_path"]}


def path(form: str, model: str, stream: bool) -> str:
    if form == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{quote(model, safe='')}:{verb}"
    return {
        "chat": "/v1/chat/completions",
        "responses": "/v1/responses",
        "messages": "/v1/messages",
        "ollama": "/api/chat",
        "cohere": "/v2/chat",
    }[form]


def body(
    form: str,
    model: str,
    words: str = "Say hello",
    *,
    stream: bool = False,
    limit: int | None = None,
    tools: dict[str, dict[str, Any]] | None = None,
    choice: str | None = None,
    stop: str | None = None,
) -> dict[str, Any]:
    """``choice`` is auto, none, required or a tool's name."""
    made: dict[str, Any]
    offered = tools or {}
    if form == "gemini":
        config = {"maxOutputTokens": limit, "stopSequences": [stop] if stop else None}
        made = {"contents": [{"role": "user", "parts": [{"text": words}]}], "generationConfig": config}
        if offered:
            declared = [{"name": name, "parametersJsonSchema": schema} for name, schema in offered.items()]
            made["tools"] = [{"functionDeclarations": declared}]
        if choice:
            mode = {"auto": "AUTO", "none": "NONE"}.get(choice, "ANY")
            calling: dict[str, Any] = {"mode": mode}
            if choice not in ("auto", "none", "required"):
                calling["allowedFunctionNames"] = [choice]
            made["toolConfig"] = {"functionCallingConfig": calling}
        return made
    made = {"model": model, "stream": stream}
    if form == "messages":
        made |= {"max_tokens": limit or 4096, "messages": [{"role": "user", "content": words}]}
        made["tools"] = [{"name": name, "input_schema": schema} for name, schema in offered.items()]
        if stop:
            made["stop_sequences"] = [stop]
        if choice:
            kind = {"required": "any", "auto": "auto", "none": "none"}.get(choice)
            made["tool_choice"] = {"type": kind} if kind else {"type": "tool", "name": choice}
        return made
    if form in ("ollama", "cohere"):
        functions = [{"name": name, "parameters": schema} for name, schema in offered.items()]
        made["messages"] = [{"role": "user", "content": words}]
        made["tools"] = [{"type": "function", "function": function} for function in functions]
        if form == "ollama":
            return made | {"options": {"num_predict": limit, "stop": [stop] if stop else None}}
        words_of_choice = {"required": "REQUIRED", "none": "NONE"}
        return made | {"max_tokens": limit, "stop_sequences": stop, "tool_choice": words_of_choice.get(choice or "")}
    named = choice not in (None, "auto", "none", "required")
    if form == "chat":
        made |= {"messages": [{"role": "user", "content": words}], "max_completion_tokens": limit, "stop": stop}
        made["stream_options"] = {"include_usage": True}
        functions = [{"name": name, "parameters": schema} for name, schema in offered.items()]
        made["tools"] = [{"type": "function", "function": function} for function in functions]
        made["tool_choice"] = {"type": "function", "function": {"name": choice}} if named else choice
    else:
        made |= {"input": words, "max_output_tokens": limit}
        made["tools"] = [{"type": "function", "name": n, "parameters": s} for n, s in offered.items()]
        made["tool_choice"] = {"type": "function", "name": choice} if named else choice
    return made


async def ask(http: httpx.AsyncClient, form: str, model: str, words: str = "Say hello", **rest: Any) -> httpx.Response:
    made = body(form, model, words, **rest)
    return await http.post(path(form, model, rest.get("stream", False)), json=made)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a counter; raises ``TimeoutError``."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - counters wake nobody
            await asyncio.sleep(0.005)


def events(text: str) -> list[Any]:
    """The decoded data of every event of a stream."""
    if text.startswith("{"):
        return [json.loads(line) for line in text.split("\n") if line]
    blocks = [block for block in text.replace("\r\n", "\n").split("\n\n") if block]
    datas = [line[6:] for block in blocks for line in block.split("\n") if line.startswith("data: ")]
    return [data if data == "[DONE]" else json.loads(data) for data in datas]


class Told:
    """What came back, in one shape. ``usage`` is (input, cached, output, reasoning), cached ones inside the input."""

    def __init__(self) -> None:
        self.text = ""
        self.thinking = ""
        self.calls: list[tuple[str, Any]] = []
        self.finish: str | None = None
        self.usage: tuple[int, int, int, int] | None = None

    @classmethod
    def of(cls, form: str, response: httpx.Response) -> "Told":
        assert response.status_code == 200, response.text
        told = cls()
        if any(kind in response.headers["content-type"] for kind in ("event-stream", "ndjson")):
            getattr(told, f"_{form}_stream")(events(response.text))
        else:
            getattr(told, f"_{form}")(response.json())
        return told

    def _chat(self, answer: Any) -> None:
        message = answer["choices"][0]["message"]
        self.text, self.thinking = message["content"] or "", message.get("reasoning_content", "")
        made = [call["function"] for call in message.get("tool_calls", ())]
        self.calls = [(call["name"], json.loads(call["arguments"])) for call in made]
        self.finish = answer["choices"][0]["finish_reason"]
        self._chat_usage(answer.get("usage"))

    def _chat_stream(self, frames: list[Any]) -> None:
        assert frames[-1] == "[DONE]"
        names: dict[int, str] = {}
        arguments: dict[int, str] = {}
        for frame in frames[:-1]:
            for choice in frame["choices"]:
                delta = choice["delta"]
                self.text += delta.get("content") or ""
                self.thinking += delta.get("reasoning_content", "")
                for call in delta.get("tool_calls", ()):
                    names.setdefault(call["index"], call["function"].get("name"))
                    found = arguments.get(call["index"], "")
                    arguments[call["index"]] = found + call["function"]["arguments"]
                self.finish = choice["finish_reason"] or self.finish
            self._chat_usage(frame.get("usage"))
        self.calls = [(name, json.loads(arguments[index])) for index, name in names.items()]

    def _chat_usage(self, usage: Any) -> None:
        if usage:
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
            self.usage = (usage["prompt_tokens"], cached, usage["completion_tokens"], reasoning)

    def _responses(self, answer: Any) -> None:
        for item in answer["output"]:
            if item["type"] == "message":
                self.text += item["content"][0]["text"]
            elif item["type"] == "reasoning":
                self.thinking += item["summary"][0]["text"]
            else:
                self.calls.append((item["name"], json.loads(item["arguments"])))
        self.finish = (answer["incomplete_details"] or {}).get("reason", answer["status"])
        if answer["usage"]:
            usage = answer["usage"]
            cached = usage["input_tokens_details"]["cached_tokens"]
            reasoning = usage["output_tokens_details"]["reasoning_tokens"]
            self.usage = (usage["input_tokens"], cached, usage["output_tokens"], reasoning)

    def _responses_stream(self, frames: list[Any]) -> None:
        assert [frame["sequence_number"] for frame in frames] == list(range(len(frames)))
        self._responses(frames[-1]["response"])
        by_kind: dict[str, str] = {}
        for frame in frames:
            if frame["type"].endswith(".delta"):
                by_kind[frame["type"]] = by_kind.get(frame["type"], "") + frame["delta"]
        assert by_kind.get("response.output_text.delta", "") == self.text
        assert by_kind.get("response.reasoning_summary_text.delta", "") == self.thinking
        done = [frame["item"] for frame in frames if frame["type"] == "response.output_item.done"]
        assert done == frames[-1]["response"]["output"]

    def _messages(self, answer: Any) -> None:
        for block in answer["content"]:
            if block["type"] == "text":
                self.text += block["text"]
            elif block["type"] == "thinking":
                assert block["signature"]
                self.thinking += block["thinking"]
            else:
                self.calls.append((block["name"], block["input"]))
        self.finish = answer["stop_reason"]
        self._messages_usage(answer.get("usage"))

    def _messages_stream(self, frames: list[Any]) -> None:
        assert (frames[0]["type"], frames[-1]["type"]) == ("message_start", "message_stop")
        blocks: list[dict[str, Any]] = []
        for frame in frames:
            if frame["type"] == "content_block_start":
                blocks.append({"json": "", **frame["content_block"]})
            elif frame["type"] == "content_block_delta":
                delta, block = frame["delta"], blocks[frame["index"]]
                for key in ("text", "thinking", "signature"):
                    block[key] = block.get(key, "") + (delta[key] if delta["type"] == f"{key}_delta" else "")
                block["json"] += delta.get("partial_json", "")
            elif frame["type"] == "message_delta":
                self.finish = frame["delta"]["stop_reason"]
                self._messages_usage(frame.get("usage"))
        for block in blocks:
            block["input"] = json.loads(block["json"] or "{}")
        finish, usage = self.finish, self.usage
        self._messages({"content": blocks, "stop_reason": finish})
        self.usage = usage

    def _messages_usage(self, usage: Any) -> None:
        if usage:
            cached = usage["cache_read_input_tokens"]
            given = usage["input_tokens"] + cached + usage["cache_creation_input_tokens"]
            self.usage = (given, cached, usage["output_tokens"], -1)  # the format does not say

    def _gemini(self, answer: Any) -> None:
        for part in answer["candidates"][0]["content"]["parts"]:
            if part.get("thought"):
                self.thinking += part["text"]
            elif "functionCall" in part:
                self.calls.append((part["functionCall"]["name"], part["functionCall"]["args"]))
            else:
                self.text += part["text"]
        self.finish = answer["candidates"][0].get("finishReason", self.finish)
        usage = answer.get("usageMetadata")
        if usage:
            thoughts = usage["thoughtsTokenCount"]
            output = usage["candidatesTokenCount"] + thoughts
            self.usage = (usage["promptTokenCount"], usage["cachedContentTokenCount"], output, thoughts)

    def _gemini_stream(self, frames: list[Any]) -> None:
        for frame in frames:
            self._gemini(frame)

    def _ollama(self, answer: Any) -> None:
        self._ollama_stream([answer])

    def _ollama_stream(self, frames: list[Any]) -> None:
        assert [frame["done"] for frame in frames] == [False] * (len(frames) - 1) + [True]
        for frame in frames:
            message = frame["message"]
            self.text += message["content"]
            self.thinking += message.get("thinking", "")
            made = [call["function"] for call in message.get("tool_calls", ())]
            self.calls += [(call["name"], call["arguments"]) for call in made]
        self.finish = frames[-1]["done_reason"]
        if "eval_count" in frames[-1]:
            self.usage = (frames[-1]["prompt_eval_count"], -1, frames[-1]["eval_count"], -1)

    def _cohere(self, answer: Any) -> None:
        for block in answer["message"]["content"]:
            self.text += block.get("text", "")
            self.thinking += block.get("thinking", "")
        made = [call["function"] for call in answer["message"].get("tool_calls", ())]
        self.calls = [(call["name"], json.loads(call["arguments"])) for call in made]
        self.finish = answer["finish_reason"]
        usage = answer.get("usage")
        if usage:
            billed = usage["billed_units"]
            self.usage = (billed["input_tokens"], usage["cached_tokens"], billed["output_tokens"], -1)

    def _cohere_stream(self, frames: list[Any]) -> None:
        assert (frames[0]["type"], frames[-1]["type"]) == ("message-start", "message-end")
        blocks: list[dict[str, str]] = []
        calls: list[dict[str, Any]] = []
        for frame in frames:
            message = frame.get("delta", {}).get("message", {})
            if frame["type"] == "content-start":
                blocks.append({})
            elif frame["type"] == "content-delta":
                for key, piece in message["content"].items():
                    blocks[frame["index"]][key] = blocks[frame["index"]].get(key, "") + piece
            elif frame["type"] == "tool-call-start":
                calls.append(message["tool_calls"])
            elif frame["type"] == "tool-call-delta":
                calls[frame["index"]]["function"]["arguments"] += message["tool_calls"]["function"]["arguments"]
        self._cohere({"message": {"content": blocks, "tool_calls": calls}, **frames[-1]["delta"]})
