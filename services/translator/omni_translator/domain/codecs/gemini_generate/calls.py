"""The ids of function calls, which Gemini often has none of (gemini-cli gives an id to the result only)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from omni_translator.domain import call_ids
from omni_translator.domain.call_ids import Place, Step

_VENDOR: Final = "gemini"


def made_id(place: str, number: int) -> str:
    return call_ids.made_id(_VENDOR, place, number)


def is_made(call_id: str) -> bool:
    return call_ids.is_made(_VENDOR, call_id)


def pair(contents: list[Any]) -> Mapping[Place, str]:
    """(turn, part) -> id, of every call and every result in a request's ``contents``. See ``call_ids.pair``."""
    return call_ids.pair(_VENDOR, _steps(contents))


def _steps(contents: list[Any]) -> Iterator[Step]:
    for turn, content in enumerate(contents):
        for number, part in enumerate(_parts(content)):
            if not isinstance(part, dict) or (len(part) == 1 and "text" in part):
                continue
            for key, result in (("functionCall", False), ("functionResponse", True)):
                said = _member(part, key)
                if said is not None:
                    yield Step((turn, number), result, _text(said, "id"), _text(said, "name"))
                    break


def _parts(content: Any) -> list[Any]:
    parts = content.get("parts") if isinstance(content, dict) else None
    return parts if isinstance(parts, list) else [parts] if isinstance(parts, dict) else []


def _member(part: dict[str, Any], name: str) -> Any:
    snake = "function_call" if name == "functionCall" else "function_response"
    value = part.get(name, part.get(snake))
    return value if isinstance(value, dict) else None


def _text(holder: Any, key: str) -> str:
    value = holder.get(key)
    return value if isinstance(value, str) else ""
