"""JSON in and out of codecs: bytes to checked fields, and what nobody asked for kept.

``Fields`` hands out the keys a codec understands, each checked for its type, and keeps the rest: ``rest()`` is the
residue, a tree of the node's own shape. ``overlay`` lays a residue back over what a codec wrote.
"""

from typing import Any, Final, Self, TypeVar

import msgspec
from omni_wire.errors import WireError
from omni_wire.surrogates import decode

from omni_translator.domain.model import Json

T = TypeVar("T")

_ENCODE: Final = msgspec.json.Encoder().encode
_ANY: Final = msgspec.json.Decoder()


quoted: Final = msgspec.json.Encoder().encode  # of a text


def to_json(value: object) -> bytes:
    """Raises ``WireError`` when ``value`` (read from someone's JSON) is nested too deep to be written again."""
    try:
        return _ENCODE(value)
    except RecursionError as error:
        raise WireError("nested too deep") from error


def from_json(data: bytes | str) -> Any:
    """Raises ``WireError`` on whatever is not JSON."""
    try:
        return decode(_ANY, data if isinstance(data, bytes) else data.encode())
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


# Where something stands: the path of a root, or what holds it and its key or number there. Spelt out only for errors.
Place = str | tuple["Place", str | int]


def spelt(place: Place) -> str:
    """The dotted path of a place: ``messages[2].content``."""
    if isinstance(place, str):
        return place
    within, name = spelt(place[0]), place[1]
    if isinstance(name, int):
        return f"{within}[{name}]"
    return f"{within}.{name}" if within else name


class Fields:
    """The keys of one JSON object, taken one by one. A null counts as absent.

    The object belongs to its ``Fields`` and is used up: what is left of it is the rest. ``place`` says in messages
    where it stands. The getters raise ``WireError`` on a wrong type.
    """

    __slots__ = ("_children", "_data", "place")

    def __init__(self, data: object, place: Place) -> None:
        if not isinstance(data, dict):
            path = spelt(place)
            raise WireError(f"{path or 'the body'} must be an object", path or None)
        self._data: Json = data
        self._children: list[tuple[str, Fields]] | None = None
        self.place = place

    @classmethod
    def of_body(cls, body: bytes) -> Self:
        return cls(from_json(body), "")

    @classmethod
    def of_copy(cls, data: object, place: Place) -> Self:
        """For an object that is still wanted whole."""
        return cls(dict(data) if isinstance(data, dict) else data, place)

    def at(self, key: str) -> str:
        return spelt((self.place, key))

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

    @staticmethod
    def as_number(value: Any) -> Any:
        """What a value stands for that is no number where one is due: in plain JSON nothing but itself."""
        return value

    @staticmethod
    def as_list(value: Any) -> Any:
        """The same where a list is due."""
        return value

    def text(self, key: str) -> str | None:
        value = self._data.pop(key, None)
        if value is None or type(value) is str:
            return value
        raise self.wrong(key, "a string")

    def need_text(self, key: str) -> str:
        value = self.text(key)
        if value is None:
            raise self.wrong(key, "given")
        return value

    def flag(self, key: str) -> bool | None:
        value = self._data.pop(key, None)
        if value is None or type(value) is bool:
            return value
        raise self.wrong(key, "true or false")

    def whole(self, key: str) -> int | None:
        value = self._data.pop(key, None)
        if value is None or type(value) is int:
            return value
        value = self.as_number(value)
        if type(value) is int:
            return value
        if type(value) is float and value.is_integer():
            return int(value)
        raise self.wrong(key, "an integer")

    def number(self, key: str) -> float | None:
        value = self._data.pop(key, None)
        if value is None or type(value) is float or type(value) is int:
            return value
        value = self.as_number(value)
        if type(value) is float or type(value) is int:
            return value
        raise self.wrong(key, "a number")

    def plain(self, key: str) -> Json | None:
        """An object taken whole."""
        value = self._data.pop(key, None)
        if value is None or type(value) is dict:
            return value
        raise self.wrong(key, "an object")

    def child(self, key: str) -> Self | None:
        """An object to be taken apart; what is left of it stays part of this one's ``rest``."""
        value = self._data.pop(key, None)
        if value is None:
            return None
        fields = type(self)(value, (self.place, key))
        if self._children is None:
            self._children = [(key, fields)]
        else:
            self._children.append((key, fields))
        return fields

    def need_child(self, key: str) -> Self:
        child = self.child(key)
        if child is None:
            raise self.wrong(key, "given")
        return child

    def items(self, key: str) -> list[Any] | None:
        value = self._data.pop(key, None)
        if value is None or type(value) is list:
            return value
        value = self.as_list(value)
        if type(value) is list:
            return value
        raise self.wrong(key, "a list")

    def texts(self, key: str, *, lone: bool = False) -> tuple[str, ...]:
        """A list of strings, or with ``lone`` one string for a list of it; empty where it is absent."""
        value = self._data.pop(key, None)
        if value is None:
            return ()
        if lone and type(value) is str:
            return (value,)
        if type(value) is list and all(type(item) is str for item in value):
            return tuple(value)
        raise self.wrong(key, "a string or a list of strings" if lone else "a list of strings")

    def each(self, key: str) -> list[Self]:
        """A list of objects; what is left of them is theirs to keep."""
        items = self.items(key)
        if not items:
            return []
        of, place = type(self), (self.place, key)
        return [of(item, (place, index)) for index, item in enumerate(items)]

    def rest(self) -> Json:
        """What was not taken, here and in the children."""
        if self._children is not None:
            for key, child in self._children:
                left = child.rest()
                if left:
                    self._data[key] = left
        return self._data


def overlay(body: T, residue: Any) -> T:
    """Lay a residue over ``body``: objects by key, lists by position, and what the codec wrote wins. Returns ``body``,
    changed in place where it is a container."""
    _lay(body, residue)
    return body


def _lay(body: Any, residue: Any) -> None:
    if isinstance(body, dict) and isinstance(residue, dict):
        for key, value in residue.items():
            if key in body:
                _lay(body[key], value)
            else:
                body[key] = value
    elif isinstance(body, list) and isinstance(residue, list):
        for kept, value in zip(body, residue, strict=False):
            _lay(kept, value)
        body.extend(residue[len(body) :])


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
