"""Reading a request that may be anything: typed access to decoded JSON, and the notes a format's reader takes.

Every function raises ``InvalidRequest`` naming the field, never anything else.
"""

from typing import Any, Literal

import msgspec
from omni_wire.errors import InvalidRequest

from omni_simulator.values import Ask, Result, Tool


def obj(value: object, where: str) -> dict[str, Any]:
    """An object; absent or null reads as empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where}: expected an object", param=where)
    return value


def arr(value: object, where: str) -> list[Any]:
    """An array; absent or null reads as empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequest(f"{where}: expected an array", param=where)
    return value


def text(value: object, where: str) -> str:
    """A string that must be there."""
    if not isinstance(value, str):
        raise InvalidRequest(f"{where}: expected a string", param=where)
    return value


def flag(value: object, where: str) -> bool:
    """A boolean; absent or null reads as false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise InvalidRequest(f"{where}: expected true or false", param=where)
    return value


def limit(value: object, where: str) -> int | None:
    """An output limit: a positive whole number, or absent."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidRequest(f"{where}: expected a positive whole number", param=where)
    return value


def strings(value: object, where: str) -> tuple[str, ...]:
    """A string or an array of strings."""
    if isinstance(value, str):
        return (value,)
    return tuple(text(item, where) for item in arr(value, where))


def filled(value: object, where: str) -> list[Any]:
    """An array with something in it."""
    items = arr(value, where)
    if not items:
        raise InvalidRequest(f"{where}: expected at least one item", param=where)
    return items


def compact(value: object) -> str:
    """JSON text without spaces."""
    return msgspec.json.encode(value).decode()


class Notes:
    """What a reader takes down while it walks through a conversation, in order."""

    __slots__ = ("_calls", "_last_user", "_media", "_results", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._last_user = ""
        self._media = 0
        self._calls: set[str] = set()
        self._results: list[Result] = []

    def said(self, words: str, *, by_user: bool = False) -> None:
        self._texts.append(words)
        if by_user and words:
            self._last_user = words

    def shown(self) -> None:
        """An image, a document, anything that is not text."""
        self._media += 1

    def model_spoke(self) -> None:
        """A turn of the model: results before it have been read."""
        self._results.clear()

    def called(self, call_id: str, arguments: str) -> None:
        self._calls.add(call_id)
        self._texts.append(arguments)

    def returned(self, call_id: str | None, words: str, *, failed: bool = False, where: str = "messages") -> None:
        """A tool's result; ``call_id`` is None where the format has no ids, or the call is kept by the provider."""
        if call_id is not None and call_id not in self._calls:
            raise InvalidRequest(f"{where}: the tool result {call_id!r} answers no call before it", param=where)
        self._texts.append(words)
        self._results.append(Result(words, failed))

    def ask(
        self,
        *,
        model: str,
        seed: str,
        stream: bool,
        tools: tuple[Tool, ...],
        choice: str,
        parallel: bool = True,
        max_output: int | None,
        stops: tuple[str, ...] = (),
        schema: dict[str, Any] | None = None,
        include_usage: bool = True,
        encrypted_reasoning: bool = False,
        framing: Literal["sse", "array"] = "sse",
    ) -> Ask:
        """Close the notes. A choice that names a tool which is not offered is an ``InvalidRequest``."""
        names = {tool.name for tool in tools}
        if (choice == "required" and not tools) or (choice.startswith("=") and choice[1:] not in names):
            raise InvalidRequest("tool_choice: asks for a tool that is not offered", param="tool_choice")
        return Ask(
            model=model,
            seed=seed,
            stream=stream,
            texts=tuple(self._texts),
            last_user=self._last_user,
            media=self._media,
            tools=tools,
            choice=choice,
            parallel=parallel,
            results=tuple(self._results),
            max_output=max_output,
            stops=stops,
            schema=schema,
            include_usage=include_usage,
            encrypted_reasoning=encrypted_reasoning,
            framing=framing,
        )
