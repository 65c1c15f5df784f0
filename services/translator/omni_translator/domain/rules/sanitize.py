"""Chat answers for clients that accept nothing beyond OpenAI's own fields.

What is not in the lists is left out, and what other vendors call otherwise gets OpenAI's name; nothing is made up.
"""

from typing import Any, Final

from omni_translator.domain.model import Json

_TOP: Final = ("id", "object", "created", "model", "choices", "usage", "system_fingerprint")
_CHOICE: Final = ("index", "message", "delta", "finish_reason", "logprobs")
_MESSAGE: Final = (
    "role", "content", "refusal", "tool_calls", "function_call", "reasoning_content", "annotations", "audio",
)  # fmt: skip
_USAGE: Final = (
    "prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details",
)  # fmt: skip
_OTHER_USAGE: Final = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
_ID: Final = "chatcmpl-"
# Ends that say more than that there are calls.
_TELLING: Final = ("length", "content_filter", "tool_calls", "function_call")


def sanitized(answer: Json, calling: set[int]) -> Json:
    """A whole answer or a chunk of one; the very one where nothing is to change, an error too.

    ``calling`` holds the choices that have called a tool so far.
    """
    if not isinstance(answer.get("choices"), list):
        return answer
    clean = _only(answer, _TOP)
    clean["choices"] = [_choice(choice, at, calling) for at, choice in enumerate(answer["choices"])]
    name = clean.get("id")
    if isinstance(name, str) and name and not name.startswith(_ID):
        clean["id"] = _ID + name
    if isinstance(clean.get("usage"), dict):
        clean["usage"] = _usage(clean["usage"])
    return answer if clean == answer else clean


def _choice(choice: Any, at: int, calling: set[int]) -> Any:
    if not isinstance(choice, dict):
        return choice
    clean = _only(choice, _CHOICE)
    index = choice.get("index", at)
    for field in ("message", "delta"):
        said = clean.get(field)
        if isinstance(said, dict):
            clean[field] = _message(said)
            if said.get("tool_calls") and isinstance(index, int):
                calling.add(index)
    end = clean.get("finish_reason")
    if isinstance(end, str) and end not in _TELLING and index in calling:
        clean["finish_reason"] = "tool_calls"
    return clean


def _message(said: Json) -> Json:
    clean = _only(said, _MESSAGE)
    if isinstance(said.get("reasoning"), str) and not clean.get("reasoning_content"):
        clean["reasoning_content"] = said["reasoning"]
    return clean


def _usage(usage: Json) -> Json:
    clean = _only(usage, _USAGE)
    for theirs, ours in _OTHER_USAGE.items():
        if ours not in clean and isinstance(usage.get(theirs), int):
            clean[ours] = usage[theirs]
    return clean


def _only(data: Json, names: tuple[str, ...]) -> Json:
    return {name: value for name, value in data.items() if name in names}
