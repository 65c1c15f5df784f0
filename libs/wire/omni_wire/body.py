"""A JSON request body opened at its top level only: read a few fields, replace a few, keep the rest byte for byte."""

from collections.abc import KeysView
from typing import Any

import msgspec

from omni_wire.errors import WireError
from omni_wire.surrogates import mended

# No client writes an empty list with more blanks than this; one that does is taken for a filled one.
_BLANKS = 1024

# A body of two bytes an item is many times as large once it is read: no conversation has as many of them, and those
# that are not large have not the room.
MOST_ITEMS = 2_000_000
_LARGE = 1024 * 1024

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Body:
    """``raw`` parsed once. Nested values stay as the bytes they came in; only edited fields change, and half a
    surrogate pair, which is no text (see ``omni_wire.surrogates``).

    Raises ``WireError`` when the body is not one JSON object, is nested deeper than the parser goes (some hundred
    levels), or has more than ``MOST_ITEMS`` items (commas are counted). Of a field that comes twice the last counts.
    """

    __slots__ = ("_fields", "_raw")

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        if len(raw) > _LARGE and raw.count(b",") > MOST_ITEMS:
            raise WireError(f"the body has more than {MOST_ITEMS} items")
        try:
            self._fields = self._opened()
        except RecursionError as error:
            raise WireError("the body is nested too deeply") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireError(f"the body is not a JSON object: {error}") from error

    def _opened(self) -> dict[str, msgspec.Raw]:
        try:
            return _FIELDS.decode(self._raw)
        except msgspec.DecodeError:
            whole = mended(self._raw)
            if whole == self._raw:
                raise
            self._raw = whole
            return _FIELDS.decode(whole)

    def get(self, field: str) -> Any:
        """The decoded value, or None when the field is absent (or null)."""
        value = self._fields.get(field)
        if value is None:
            return None
        try:
            return _decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise WireError(f"{field}: {error}", field) from error

    @property
    def size(self) -> int:
        """Bytes of the whole body."""
        return len(self._raw)

    @property
    def whole(self) -> bytes:
        """The whole body as it came."""
        return self._raw

    @property
    def names(self) -> KeysView[str]:
        """Of its fields."""
        return self._fields.keys()

    def has(self, field: str) -> bool:
        return field in self._fields

    def raw(self, field: str) -> bytes:
        """The field's value as it was written; empty when it is absent."""
        value = self._fields.get(field)
        return bytes(value) if value is not None else b""

    def pick(self, names: frozenset[str]) -> dict[str, Any]:
        """The decoded values of those of ``names`` that are there."""
        return {} if names.isdisjoint(self._fields) else {name: self.get(name) for name in names & self._fields.keys()}

    def is_filled_list(self, field: str) -> bool:
        """Whether the field is a list with something in it, without reading what."""
        value = self._fields.get(field)
        if value is None or memoryview(value)[0] != ord("["):
            return False
        return len(value) > _BLANKS or bytes(value)[1:].strip() != b"]"

    def with_fields(self, changes: dict[str, Any], *, rewrite: bool = False) -> bytes:
        """The body with ``changes`` applied, a None removing its field; the very bytes when nothing differs.

        With ``rewrite`` it is written anew in any case: a field that came twice then stands once, and the reader
        cannot take the other one. A ``msgspec.Raw`` is put in as it is.
        """
        fields = dict(self._fields)
        edited = rewrite
        for field, value in changes.items():
            if value is None:
                edited |= fields.pop(field, None) is not None
            elif isinstance(value, msgspec.Raw):
                edited |= bytes(fields.get(field, b"")) != bytes(value)
                fields[field] = value
            elif field not in fields or _decode(fields[field]) != value:
                fields[field] = msgspec.Raw(_encode(value))
                edited = True
        return _encode(fields) if edited else self._raw
