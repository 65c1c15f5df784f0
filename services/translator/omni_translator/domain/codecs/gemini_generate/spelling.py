"""How Google's API reads JSON, which is how protobuf does (protobuf.dev/programming-guides/json).

Keys in camelCase and in snake_case are the same; numbers may be strings; bytes are base64 of either alphabet, padded or
not (google-genai for Python writes the URL-safe one); and where a list is due, a single object will do (Google's own
documentation writes ``"system_instruction": {"parts": {"text": …}}``).
"""

import math
from typing import Any, Final

from omni_wire.formats import WireFormat

from omni_translator.domain.fields import Fields, Place
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
_SNAKES: Final = frozenset(_SNAKE)
_MAX_DIGITS: Final = 32


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

    def __init__(self, data: object, place: Place) -> None:
        Fields.__init__(self, data, place)
        if not _SNAKES.isdisjoint(self._data):
            self._data = camel(self._data)

    @staticmethod
    def as_number(value: Any) -> Any:
        if isinstance(value, str) and len(value) <= _MAX_DIGITS:
            try:
                number = int(value) if value.lstrip("-").isdigit() else float(value)
            except ValueError:
                return value
            return number if math.isfinite(number) else value
        return value

    @staticmethod
    def as_list(value: Any) -> Any:
        return [value] if isinstance(value, dict) else value
