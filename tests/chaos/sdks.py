"""The vendors' own SDKs, shown an answer's bytes again: what they make of it is what their users get."""

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import ollama
import openai
from google import genai
from google.genai import errors, types

from tests.chaos.dialects import CHAT, GEMINI, LIMIT, MESSAGES, RESPONSES


class Made:
    """``text`` is what an SDK gave out, ``error`` what it raised ("" for nothing), ``status`` with which status."""

    def __init__(self) -> None:
        self.text = ""
        self.error = ""
        self.status = 0


class Replay:
    """SDK clients over a transport that gives the answer last set."""

    def __init__(self) -> None:
        self._answer = (500, "", b"")
        transport = httpx.MockTransport(self._give)
        held = {"base_url": "http://gateway/v1", "api_key": "k", "max_retries": 0}
        self._openai = openai.OpenAI(**held, http_client=httpx.Client(transport=transport))  # type: ignore[arg-type]
        self._anthropic = anthropic.Anthropic(
            base_url="http://gateway",
            api_key="k",
            max_retries=0,
            http_client=httpx2.Client(transport=httpx2.MockTransport(self._give_2)),
        )
        self._google = genai.Client(
            api_key="k",
            http_options=types.HttpOptions(base_url="http://gateway", client_args={"transport": transport}),
        )
        self._ollama = ollama.Client(host="http://gateway", transport=transport)
        self._ways: dict[str, Callable[[bool], Iterator[str]]] = {
            CHAT: self._chat, RESPONSES: self._responses, MESSAGES: self._messages, GEMINI: self._gemini,
        }  # fmt: skip

    def close(self) -> None:
        for client in (self._openai, self._anthropic, self._google):
            client.close()
        self._ollama._client.close()

    def read(self, dialect: str, status: int, content_type: str, data: bytes, stream: bool) -> Made:
        self._answer = (status, content_type, data)
        made = Made()
        try:
            for piece in self._ways.get(dialect, self._lines)(stream):
                made.text += piece
        except (openai.APIError, anthropic.APIError, errors.APIError, ollama.ResponseError) as error:
            made.error = type(error).__name__
            code = getattr(error, "status_code", None) or getattr(error, "code", None)
            made.status = code if isinstance(code, int) else 0
        return made

    def _give(self, request: httpx.Request) -> httpx.Response:
        status, content_type, data = self._answer
        return httpx.Response(status, headers={"content-type": content_type}, content=data)

    def _give_2(self, request: httpx2.Request) -> httpx2.Response:
        status, content_type, data = self._answer
        return httpx2.Response(status, headers={"content-type": content_type}, content=data)

    def _chat(self, stream: bool) -> Iterator[str]:
        asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Tell me"}]}
        if stream:
            for chunk in self._openai.chat.completions.create(**asked, stream=True):
                for choice in chunk.choices:
                    yield choice.delta.content or ""
        else:
            yield self._openai.chat.completions.create(**asked).choices[0].message.content or ""

    def _responses(self, stream: bool) -> Iterator[str]:
        asked: Any = {"model": "m", "input": "Tell me"}
        if stream:
            for event in self._openai.responses.create(**asked, stream=True):
                yield event.delta if event.type == "response.output_text.delta" else ""
        else:
            yield self._openai.responses.create(**asked).output_text

    def _messages(self, stream: bool) -> Iterator[str]:
        asked: Any = {"model": "m", "max_tokens": LIMIT, "messages": [{"role": "user", "content": "Tell me"}]}
        if stream:
            for event in self._anthropic.messages.create(**asked, stream=True):
                delta = event.delta if event.type == "content_block_delta" else None
                yield delta.text if delta is not None and delta.type == "text_delta" else ""
        else:
            for block in self._anthropic.messages.create(**asked).content:
                yield block.text if block.type == "text" else ""

    def _gemini(self, stream: bool) -> Iterator[str]:
        asked: Any = {"model": "m", "contents": "Tell me"}
        models = self._google.models
        for chunk in models.generate_content_stream(**asked) if stream else [models.generate_content(**asked)]:
            for candidate in chunk.candidates or ():
                for part in (candidate.content.parts if candidate.content else None) or ():
                    yield (part.text or "") if not part.thought else ""

    def _lines(self, stream: bool) -> Iterator[str]:
        asked: Any = {"model": "m", "messages": [{"role": "user", "content": "Tell me"}]}
        if stream:
            for line in self._ollama.chat(**asked, stream=True):
                yield line.message.content or ""
        else:
            yield self._ollama.chat(**asked).message.content or ""
