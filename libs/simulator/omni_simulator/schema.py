"""A small value that a JSON schema accepts, for tool arguments and structured output.

Reads Gemini's upper-case types too. What it does not understand becomes a string: the schema is the client's, and a
simulated model owes it good will, not proof. A schema may refer to itself, so depth and size are bounded.
"""

from typing import Any

_DEPTH = 12
_NODES = 2000


def example(schema: object) -> Any:
    """A value for ``schema``, the same one each time."""
    return _Filler(schema).fill(schema, "value", 0)


class _Filler:
    def __init__(self, root: object) -> None:
        self._root = root
        self._left = _NODES

    def fill(self, schema: object, name: str, depth: int) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or depth > _DEPTH or self._left < 0:
            return f"simulated {name}"
        for key in ("const", "default"):
            if schema.get(key) is not None:
                return schema[key]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        if isinstance(schema.get("$ref"), str):
            return self.fill(self._resolve(schema["$ref"]), name, depth + 1)
        for key in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self.fill(schema[key][0], name, depth + 1)
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            least = schema.get("minItems")
            count = min(max(least, 1), 8) if isinstance(least, int) else 1
            return [self.fill(schema.get("items"), name, depth + 1) for _ in range(count)]
        if kind in ("integer", "number"):
            least = schema.get("minimum")
            return least if isinstance(least, int | float) else 1
        if kind in ("boolean", "null"):
            return True if kind == "boolean" else None
        return f"simulated {name}"

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        wanted = [key for key in required if isinstance(key, str)] if isinstance(required, list) else list(properties)
        return {key: self.fill(properties.get(key), key, depth + 1) for key in wanted}

    def _resolve(self, reference: str) -> object:
        node = self._root
        for step in reference.removeprefix("#/").split("/"):
            node = node.get(step) if isinstance(node, dict) else None
        return node


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in schema else "string"
