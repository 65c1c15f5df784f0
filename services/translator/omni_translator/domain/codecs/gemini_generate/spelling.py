"""How Google's API reads JSON, which is how protobuf does (protobuf.dev/programming-guides/json).

Keys in camelCase and in snake_case are the same; numbers may be strings; bytes are base64 of either alphabet, padded or
not (google-genai for Python writes the URL-safe one); and where a list is due, a single object will do (Google's own
documentation writes ``"system_instruction": {"parts": {"text": …}}``).
"""

import math
from typing import Any, Final

from omni_wire.formats import WireFormat

from omni_translator.domain.fields import Fields
from omni_translator.domain.model import Json

HOME: Final = WireFormat.GEMINI_GENERATE

_CAMEL: Final = (
    "systemInstruction",
    "generationConfig",
    "toolConfig",
    "inlineData",
    "fileData",
    "mimeType",
    "fileUri",
    "displayName",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "thoughtSignature",
    "functionDeclarations",
    "parametersJsonSchema",
    "functionCallingConfig",
    "allowedFunctionNames",
    "maxOutputTokens",
    "topP",
    "topK",
    "stopSequences",
    "presencePenalty",
    "frequencyPenalty",
    "candidateCount",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "thinkingConfig",
    "thinkingBudget",
    "includeThoughts",
    "thinkingLevel",
    "finishReason",
    "promptFeedback",
    "blockReason",
    "usageMetadata",
    "promptTokenCount",
    "candidatesTokenCount",
    "cachedContentTokenCount",
    "thoughtsTokenCount",
    "totalTokenCount",
    "toolUsePromptTokenCount",
    "responseId",
    "modelVersion",
    "createTime",
)
_SNAKE: Final = {"".join(f"_{c.lower()}" if c.isupper() else c for c in name): name for name in _CAMEL}


def camel(data: Json) -> Json:
    """A copy with the keys this codec knows in camelCase; where both spellings stand, that one counts."""
    out = dict(data)
    for key in data:
        if key in _SNAKE:
            out.setdefault(_SNAKE[key], out.pop(key))
    return out


class ProtoFields(Fields):
    """``Fields`` of a protobuf message in JSON. Keys nobody asks for keep their own spelling."""

    __slots__ = ()

    def __init__(self, data: object, path: str) -> None:
        super().__init__(data, path)
        if not _SNAKE.keys().isdisjoint(self._data):
            self._data = camel(self._data)

    def whole(self, key: str) -> int | None:
        self._unquote(key)
        return super().whole(key)

    def number(self, key: str) -> float | None:
        self._unquote(key)
        return super().number(key)

    def _unquote(self, key: str) -> None:
        value = self._data.get(key)
        if isinstance(value, str) and len(value) <= 32:
            try:
                number = int(value) if value.lstrip("-").isdigit() else float(value)
            except ValueError:
                return
            if math.isfinite(number):
                self._data[key] = number

    def items(self, key: str) -> list[Any] | None:
        if isinstance(self._data.get(key), dict):
            self._data[key] = [self._data[key]]
        return super().items(key)


def plain_base64(data: str) -> str:
    """``data`` in the alphabet, and with the padding, that every other API wants."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4) if len(data) % 4 else data
