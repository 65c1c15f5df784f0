"""The words of JSON Schema and of Gemini's subset of it, and what can be told of a schema without writing it."""

from typing import Any, Final

from omni_translator.domain.codecs.gemini_generate.schema_merge import as_enum
from omni_translator.domain.model import Json

# The fields of Gemini's ``Schema``.
ALLOWED: Final = frozenset(
    {
        "anyOf",
        "default",
        "description",
        "enum",
        "example",
        "format",
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "nullable",
        "pattern",
        "properties",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)
TYPES: Final = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
FORMATS: Final = {
    "string": frozenset({"date-time"}),
    "number": frozenset({"float", "double"}),
    "integer": frozenset({"int32", "int64"}),
}
# They say nothing of which values are valid, and no model reads them.
SILENT: Final = frozenset(
    {
        "$schema",
        "$id",
        "$anchor",
        "$comment",
        "$defs",
        "definitions",
        "$vocabulary",
        "id",
        "deprecated",
        "readOnly",
        "writeOnly",
    }
)
NOTES: Final = ("title", "description", "default", "propertyOrdering")
# keyword -> the types it says something of; of values of other types it says nothing
APPLIES: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("minLength", "maxLength", "pattern"), ("string",)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), ("number", "integer")),
    "multipleOf": ("number", "integer"),
    **dict.fromkeys(("items", "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems"), ("array",)),
    **dict.fromkeys(("contains", "minContains", "maxContains", "unevaluatedItems"), ("array",)),
    **dict.fromkeys(("properties", "required", "additionalProperties", "minProperties", "maxProperties"), ("object",)),
    **dict.fromkeys(("patternProperties", "propertyNames", "unevaluatedProperties", "dependencies"), ("object",)),
    **dict.fromkeys(("dependentRequired", "dependentSchemas"), ("object",)),
}
KNOWN: Final = frozenset({*NOTES, "type", "enum", "format", "nullable", "example", "examples"})
ORDER: Final = ("string", "integer", "number", "boolean", "array", "object")


def size_of(schema: Json) -> int:
    return 1 + len(schema) + sum(len(item) for item in schema.values() if isinstance(item, dict | list))


def is_a(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, int):
        return name in ("integer", "number")
    if isinstance(value, float):
        return name == "number" or (name == "integer" and value.is_integer())
    return name == {str: "string", list: "array", dict: "object", type(None): "null"}.get(type(value))


def is_null(branch: Any) -> bool:
    if not isinstance(branch, dict):
        return False
    said = {key: value for key, value in as_enum(branch).items() if key not in NOTES and key not in SILENT}
    return said in ({"type": "null"}, {"enum": [None]}, {"type": "null", "enum": [None]}, {"type": ["null"]})


def takes_null(schema: Json) -> bool:
    given, values = schema.get("type"), schema.get("enum")
    names = given if isinstance(given, list) else [given]
    return (given is None or "null" in names) and (not isinstance(values, list) or None in values)


def disjoint(branches: list[Any]) -> bool:
    """Whether no value can meet two of the branches, as far as their types tell."""
    names = [branch.get("type") if isinstance(branch, dict) else None for branch in branches]
    words = {"number" if name == "integer" else name for name in names if isinstance(name, str)}
    return len(branches) < 2 or len(words) == len(branches)
