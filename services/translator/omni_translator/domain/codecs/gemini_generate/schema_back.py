"""Gemini's ``Schema`` message as JSON Schema."""

from typing import Any, Final

from omni_translator.domain.model import Json

_MAX_LEVELS: Final = 128
_SNAKE: Final = {
    "any_of": "anyOf",
    "max_items": "maxItems",
    "max_length": "maxLength",
    "max_properties": "maxProperties",
    "min_items": "minItems",
    "min_length": "minLength",
    "min_properties": "minProperties",
    "property_ordering": "propertyOrdering",
}
_COUNTS: Final = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
# What is not the same in JSON Schema.
_OWN: Final = _COUNTS | {"type", "properties", "items", "anyOf", "example", "format", "nullable"}


def from_gemini(schema: Json, levels: int = _MAX_LEVELS) -> Json:
    """Gemini's schema as JSON Schema. What the message does not have is kept as it is; beyond ``levels`` all is."""
    if levels == 0:
        return schema
    if not _SNAKE.keys().isdisjoint(schema):
        schema = {_SNAKE.get(key, key): value for key, value in schema.items()}
    out: Json = {}
    nullable = False
    for key, value in schema.items():
        if key not in _OWN:
            out[key] = value
            continue
        match key:
            case "type":
                name = value.lower() if isinstance(value, str) else value
                if name != "type_unspecified":
                    out["type"] = name
            case "properties" if isinstance(value, dict):
                out[key] = {name: _back(item, levels) for name, item in value.items()}
            case "items":
                out[key] = _back(value, levels)
            case "anyOf" if isinstance(value, list):
                out[key] = [_back(item, levels) for item in value]
            case "example":
                out["examples"] = [value]
            case "format" if value == "enum":
                pass
            case "nullable":
                nullable = value is True
            case _:
                # int64 is a string in protobuf's JSON
                number = key in _COUNTS and isinstance(value, str) and value.isascii() and value.isdigit()
                out[key] = int(value[:20]) if number else value
    return _with_null(out) if nullable else out


def _back(value: Any, levels: int) -> Any:
    return from_gemini(value, levels - 1) if isinstance(value, dict) else value


def _with_null(out: Json) -> Json:
    if isinstance(out.get("enum"), list) and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]
    name = out.get("type")
    if isinstance(name, str) and name != "null":
        out["type"] = [name, "null"]
    elif isinstance(out.get("anyOf"), list) and "type" not in out:
        out["anyOf"] = [*out["anyOf"], {"type": "null"}]
    return out
