"""JSON in and out of codecs: bytes to checked fields, and what nobody asked for kept.

``Fields`` hands out the keys a codec understands, each checked for its type, and keeps the rest: ``rest()`` is the
residue, a tree of the node's own shape. ``overlay`` lays a residue back over what a codec wrote.
"""

from typing import Any, Final, Self

import msgspec
from omni_wire.errors import WireError

from omni_translator.domain.model import Json

_ENCODE: Final = msgspec.json.Encoder().encode
_DECODE: Final = msgspec.json.Decoder().decode


def to_json(value: object) -> bytes:
    """Raises ``WireError`` when ``value`` (read from someone's JSON) is nested too deep to be written again."""
    try:
        return _ENCODE(value)
    except RecursionError as error:
        raise WireError("nested too deep") from error


def from_json(data: bytes | str) -> Any:
    """Raises ``WireError`` on whatever is not JSON."""
    try:
        return _DECODE(data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise WireError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise WireError("not JSON: nested too deep") from error


def json_object(text: str) -> Json | None:
    """The object that ``text`` holds, or None when it holds anything else."""
    try:
        value = from_json(text)
    except WireError:
        return None
    return value if isinstance(value, dict) else None


class Fields:
    """The keys of one JSON object, taken one by one. A null counts as absent.

    ``path`` is dotted and names the object in messages. The getters raise ``WireError`` on a wrong type.
    """

    __slots__ = ("_children", "_data", "path")

    def __init__(self, data: object, path: str) -> None:
        if not isinstance(data, dict):
            raise WireError(f"{path or 'the body'} must be an object", path or None)
        self._data: Json = dict(data)
        self._children: list[tuple[str, Fields]] = []
        self.path = path

    @classmethod
    def of_body(cls, body: bytes) -> Self:
        return cls(from_json(body), "")

    def at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str) -> Any:
        """The value as it came, unchecked."""
        return self._data.pop(key, None)

    def peek(self, key: str) -> Any:
        return self._data.get(key)

    def put_back(self, key: str, value: object) -> None:
        """Count ``key`` as not understood after all."""
        self._data[key] = value

    def wrong(self, key: str, wanted: str) -> WireError:
        return WireError(f"{self.at(key)} must be {wanted}", self.at(key))

    def text(self, key: str) -> str | None:
        value = self._data.pop(key, None)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def need_text(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise self.wrong(key, "given")
        return value

    def flag(self, key: str) -> bool | None:
        value = self._data.pop(key, None)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def whole(self, key: str) -> int | None:
        value = self._data.pop(key, None)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self.wrong(key, "an integer")
        return value

    def number(self, key: str) -> float | None:
        value = self._data.pop(key, None)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise self.wrong(key, "a number")
        return value

    def plain(self, key: str) -> Json | None:
        """An object taken whole."""
        value = self._data.pop(key, None)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return value

    def child(self, key: str) -> Self | None:
        """An object to be taken apart; what is left of it stays part of this one's ``rest``."""
        value = self._data.pop(key, None)
        if value is None:
            return None
        fields = type(self)(value, self.at(key))
        self._children.append((key, fields))
        return fields

    def need_child(self, key: str) -> Self:
        child = self.child(key)
        if child is None:
            raise self.wrong(key, "given")
        return child

    def items(self, key: str) -> list[Any] | None:
        value = self._data.pop(key, None)
        if value is not None and not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value

    def each(self, key: str) -> list[Self]:
        """A list of objects; what is left of them is theirs to keep."""
        return [type(self)(item, f"{self.at(key)}[{index}]") for index, item in enumerate(self.items(key) or ())]

    def rest(self) -> Json:
        """What was not taken, here and in the children."""
        for key, child in self._children:
            left = child.rest()
            if left:
                self._data[key] = left
        return self._data


def overlay(body: Any, residue: Any) -> Any:
    """Lay a residue over ``body``: objects by key, lists by position, and what the codec wrote wins. Returns ``body``,
    changed in place where it is a container."""
    if isinstance(body, dict) and isinstance(residue, dict):
        for key, value in residue.items():
            body[key] = overlay(body[key], value) if key in body else value
    elif isinstance(body, list) and isinstance(residue, list):
        for index, value in enumerate(residue[: len(body)]):
            body[index] = overlay(body[index], value)
        body.extend(residue[len(body) :])
    return body


def gather(into: Json, more: Json, levels: int = 16) -> None:
    """Add the unknown keys of one chunk to those of chunks before: lists grow, objects merge, the last word wins.
    Objects deeper than ``levels`` are words."""
    for key, value in more.items():
        held = into.get(key)
        if levels and isinstance(held, dict) and isinstance(value, dict):
            merged = dict(held)
            gather(merged, value, levels - 1)
            into[key] = merged
        elif isinstance(held, list) and isinstance(value, list):
            into[key] = held + value
        else:
            into[key] = value
