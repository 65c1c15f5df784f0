"""Two JSON Schemas that hold at once, made one: what ``$ref`` with siblings and ``allOf`` mean."""

from collections.abc import Callable
from typing import Any, Final

from omni_translator.domain.fields import to_json
from omni_translator.domain.model import Json

_HIGHER: Final = frozenset({"minimum", "minLength", "minItems", "minProperties", "exclusiveMinimum"})
_LOWER: Final = frozenset({"maximum", "maxLength", "maxItems", "maxProperties", "exclusiveMaximum"})
# Of what does not bear on which values are valid the nearer word counts.
_NOTES: Final = frozenset({"title", "description", "default", "examples", "example", "$schema", "$id", "$comment"})


def as_enum(schema: Json) -> Json:
    """A copy with ``const`` said as an ``enum`` of one."""
    out = dict(schema)
    if "const" in out:
        value, held = out.pop("const"), out.get("enum")
        out["enum"] = [value] if not isinstance(held, list) or _key(value) in map(_key, held) else []
    return out


def _key(value: Any) -> Any:
    """Something hashable that is equal for equal JSON values only: Python takes true for 1."""
    return to_json(value) if isinstance(value, bool | dict | list) else value


class Merger:
    """``lose`` is told a keyword and the reason where two constraints cannot be one."""

    __slots__ = ("_lose",)

    def __init__(self, lose: Callable[[str, str], None]) -> None:
        self._lose = lose

    def merge(self, near: Json, far: Json) -> Json:
        """Both schemas in one, shallowly: members that both constrain become an ``allOf`` of the two. ``near`` is left
        as it is."""
        out = dict(as_enum(near))
        for key, value in as_enum(far).items():
            if key not in out:
                out[key] = value
            elif key not in _NOTES and out[key] != value:
                out[key] = self._both(key, out[key], value)
        if out.get("allOf") == []:
            del out["allOf"]
        return out

    def _both(self, key: str, near: Any, far: Any) -> Any:
        if key in _HIGHER | _LOWER and _number(near) and _number(far):
            return max(near, far) if key in _HIGHER else min(near, far)
        if key == "properties" and isinstance(near, dict) and isinstance(far, dict):
            out = dict(near)
            for name, schema in far.items():
                out[name] = {"allOf": [out[name], schema]} if name in out and out[name] != schema else schema
            return out
        if key == "items" and isinstance(near, dict) and isinstance(far, dict):
            return {"allOf": [near, far]}
        if key in ("required", "allOf") and isinstance(near, list) and isinstance(far, list):
            return [*near, *far]
        if key == "enum" and isinstance(near, list) and isinstance(far, list):
            known = set(map(_key, far))
            return [value for value in near if _key(value) in known]
        if key == "type":
            return _types(near, far)
        if key == "additionalProperties":  # either way a loss is declared unless it is true
            return far if near is True else near
        self._lose(key, "of two that must both hold, one is sent")
        return near


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _types(near: Any, far: Any) -> list[Any]:
    one, other = (near if isinstance(near, list) else [near]), (far if isinstance(far, list) else [far])
    both = [name for name in one if name in other or (name == "integer" and "number" in other)]
    return both + (["integer"] if "number" in one and "integer" in other and "integer" not in both else [])
