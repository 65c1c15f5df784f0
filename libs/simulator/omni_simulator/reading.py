"""Reading a request that may be anything: typed access to decoded JSON, and the notes a format's reader takes.

Every function raises ``InvalidRequest`` naming the field, never anything else.
"""

import zlib
from base64 import urlsafe_b64encode
from typing import Any

import msgspec
from omni_wire.errors import InvalidRequest

from omni_simulator.values import Ask, Framing, Result, Shown, Tool, is_signature, unbase64


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


def limit(value: object, where: str, least: int = 1) -> int | None:
    """An output limit: a whole number, at least ``least``, or absent."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InvalidRequest(f"{where}: expected a whole number, at least {least}", param=where)
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


_SKIPS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
# As they are, and as an SDK writes them that takes a signature for bytes.
_NONE = (None, "", *_SKIPS, *(urlsafe_b64encode(words.encode()).decode() for words in _SKIPS))


class Notes:
    """What a reader takes down while it walks through a conversation, in order."""

    __slots__ = ("_calls", "_last_user", "_results", "_shown", "_signed", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._last_user = ""
        self._shown: list[Shown] = []
        self._signed = 0
        self._calls: set[str] = set()
        self._results: list[Result] = []

    def said(self, words: str, *, by_user: bool = False) -> None:
        self._texts.append(words)
        if by_user and words:
            self._last_user = words

    def shown(self, kind: str = "", data: object = None, where: str = "messages") -> None:
        """An image, a document, anything that is not text: its MIME type and its base64, where it came as data."""
        if data is None:
            self._shown.append(Shown(kind))
            return
        try:
            raw = unbase64(text(data, where))
        except ValueError as error:
            raise InvalidRequest(f"{where}: expected base64", param=where) from error
        self._shown.append(Shown(kind, len(raw), f"{zlib.crc32(raw):08x}"))

    def linked(self, address: object, where: str) -> None:
        """The same, by an address that may be a ``data:`` URL."""
        kind, comma, data = (address if isinstance(address, str) else "").partition(";base64,")
        self.shown(kind.removeprefix("data:") if comma else "", data if comma else None, where)

    def vouched(self, signature: object, where: str) -> None:
        """Reasoning that came back with what vouches for it. A signature that is none of ours is refused, as by the
        vendors, but for the words that Google lets a history from elsewhere carry
        (ai.google.dev/gemini-api/docs/thought-signatures)."""
        if signature in _NONE:
            return
        if not is_signature(text(signature, where)):
            raise InvalidRequest(f"{where}: the signature is none of this provider's", param=where)
        self._signed += 1

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

    def worded_schema(self) -> dict[str, Any] | None:
        """A JSON schema in the user's last words, after the word itself, where a format has no other place for one."""
        _, found, rest = self._last_user.rpartition("schema: ")
        try:
            schema = msgspec.json.decode(rest) if found else None
        except msgspec.DecodeError:
            return None
        return schema if isinstance(schema, dict) else None

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
        framing: Framing = "sse",
        choices: int = 1,
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
            media=len(self._shown),
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
            shown=tuple(self._shown),
            signed=self._signed,
            choices=choices,
        )
