"""JSON Schema to the subset that Gemini's ``Schema`` message can say.

By allow list: a key the message does not have makes Google refuse the whole request ("Unknown name … Cannot find
field"). Its 22 fields stand in the API's own discovery document (generativelanguage.googleapis.com, v1beta, read
2026-11-22). What the subset cannot say is left out and declared; where every loss is absent, the same values are valid.

Facts beyond the field list: ``type`` is one word and must be there; ``enum`` holds non-empty strings of type STRING
only; of string formats only "date-time" is taken; an ARRAY needs ``items``; ``required`` may name declared properties
only; a union is ``anyOf`` with no constraints beside it.
"""

import math
from typing import Any, Final

from omni_wire.errors import WireError

from omni_translator.domain.codecs.gemini_generate.schema_merge import Merger, as_enum
from omni_translator.domain.codecs.gemini_generate.schema_words import (
    APPLIES,
    FORMATS,
    KNOWN,
    NOTES,
    ORDER,
    SILENT,
    TYPES,
    disjoint,
    is_a,
    is_null,
    size_of,
    takes_null,
)
from omni_translator.domain.losses import Losses
from omni_translator.domain.model import Json

_MAX_DEPTH: Final = 32
_MAX_NODES: Final = 20_000  # keys and list items looked at, with every reference written out
_MAX_TURNS: Final = 2  # how often a definition is written out within itself
_MAX_HINT: Final = 300  # characters
_HINT: Final = "One of: "
_MAX_INT64: Final = 2**63 - 1
_MAX_NUMBER: Final = 10**300  # it becomes a double


def to_gemini(schema: Json, losses: Losses, path: str) -> Json:
    """``schema`` in Gemini's words; every loss is declared under ``path`` and the keyword. Raises ``WireError`` when it
    is nested past any sense."""
    try:
        return _Narrower(schema, losses, path).node(schema, 0, ())
    except RecursionError as error:
        raise WireError("nested too deep", path) from error


class _Narrower:
    __slots__ = ("left", "losses", "merger", "path", "root")

    def __init__(self, root: Json, losses: Losses, path: str) -> None:
        self.root = root
        self.losses = losses
        self.path = path
        self.left = _MAX_NODES
        self.merger = Merger(self.lose)

    def lose(self, keyword: str, reason: str, *, dropped: bool = False) -> None:
        field = f"{self.path}.{keyword}"
        if dropped:
            self.losses.dropped(field, reason)
        else:
            self.losses.approximated(field, reason)

    def anything(self, keyword: str, reason: str) -> Json:
        """A schema for whatever cannot be said: Gemini wants a type."""
        self.lose(keyword, reason)
        plain: list[Json] = [{"type": name} for name in ("STRING", "NUMBER", "BOOLEAN", "OBJECT")]
        return {"anyOf": [*plain, {"type": "ARRAY", "items": {"type": "STRING"}}]}

    def node(self, value: Any, depth: int, turns: tuple[str, ...]) -> Json:
        if depth > _MAX_DEPTH or self.left <= 0:
            return self.anything("size", "the schema is too deep or too large to be written out")
        if not isinstance(value, dict):
            return self.anything("type", "Gemini wants a type; any value is sent as one of five")
        schema, turns = self.resolved(value, turns)
        if schema is None:
            unsaid = self.anything("$ref", "a recursive or foreign reference is not followed further")
            return _annotated(unsaid, value)
        branches, exclusive = schema.pop("anyOf", None), False
        one_of = schema.pop("oneOf", None)
        if isinstance(one_of, list) and one_of:
            if isinstance(branches, list) and branches:
                self.lose("oneOf", "of two unions one is kept", dropped=True)
            else:
                branches, exclusive = one_of, True
        if isinstance(branches, list) and branches:
            return self.union(schema, branches, exclusive, depth, turns)
        return self.plain(schema, depth, turns)

    # ---- references and allOf ----

    def resolved(self, value: Json, turns: tuple[str, ...]) -> tuple[Json | None, tuple[str, ...]]:
        """``value`` with its references and ``allOf`` merged in; None when that has no end or no target."""
        schema = as_enum(value)
        while True:
            self.left -= size_of(schema)
            if self.left <= 0:
                return None, turns
            if "$ref" in schema:
                ref = schema.pop("$ref")
                target = self.lookup(ref)
                if target is None or turns.count(ref) >= _MAX_TURNS:
                    return None, turns
                turns = (*turns, ref)
                schema = self.merger.merge(schema, as_enum(target))
            elif "allOf" in schema:
                parts = schema.pop("allOf")
                for part in parts if isinstance(parts, list) else ():
                    if isinstance(part, dict):
                        self.left -= size_of(part) + size_of(schema)
                        schema = self.merger.merge(schema, as_enum(part))
                    elif part is not True:
                        self.lose("allOf", "a part that no value meets", dropped=True)
                    if self.left <= 0:
                        return None, turns
            else:
                return schema, turns

    def lookup(self, ref: Any) -> Json | None:
        """The node that a pointer within the schema names."""
        if not isinstance(ref, str) or not ref.startswith("#"):
            return None
        node: Any = self.root
        for step in ref[1:].split("/")[1:]:
            if not isinstance(node, dict):
                return None
            node = node.get(step.replace("~1", "/").replace("~0", "~"))
        return node if isinstance(node, dict) else None

    # ---- unions ----

    def union(self, schema: Json, branches: list[Any], exclusive: bool, depth: int, turns: tuple[str, ...]) -> Json:
        notes: Json = {key: schema[key] for key in NOTES if key in schema}
        beside = {key: item for key, item in schema.items() if key not in NOTES and key not in SILENT}
        rest: list[Any] = []
        nullable = False
        for branch in branches:
            if is_null(branch):
                nullable = nullable or takes_null(beside)
                continue
            if branch is False:
                continue
            branch = {} if branch is True else branch
            rest.append(self.merger.merge(branch, beside) if beside and isinstance(branch, dict) else branch)
            self.left -= size_of(beside)
            if self.left <= 0:
                return self.anything("size", "the schema is too deep or too large to be written out")
        if exclusive and not disjoint(rest):
            self.lose("oneOf", "sent as anyOf: values of several branches are taken too")
        written = [self.node(branch, depth + 1, turns) for branch in rest]
        if not written:
            return {"type": "NULL"} if nullable else self.anything("anyOf", "a union of nothing")
        out: Json = written[0] if len(written) == 1 else {"anyOf": written}
        if nullable:
            _make_nullable(out)
        inner, outer = out.get("description"), notes.get("description")
        if inner and outer and isinstance(outer, str) and inner != outer:
            notes["description"] = f"{outer}\n{inner}"
        return _annotated(out, notes)

    # ---- one schema without unions ----

    def plain(self, schema: Json, depth: int, turns: tuple[str, ...]) -> Json:
        for key in schema:
            if key not in APPLIES and key not in KNOWN and key not in SILENT:
                self.lose(key, "Gemini's schema has no such key", dropped=True)
        examples = schema.get("examples")
        if isinstance(examples, list) and len(examples) > 1:
            self.lose("examples", "Gemini takes one")
        names, nullable = self.types(schema)
        values = schema.get("enum")
        if isinstance(values, list):
            nullable = nullable and None in values
            names = [name for name in names if any(is_a(name, value) for value in values)]
        if "number" in names and "integer" in names:
            names.remove("integer")
        if not names:
            if nullable:
                return _annotated({"type": "NULL"}, schema)
            return _annotated(self.anything("type", "Gemini wants a type; any value is sent as one of five"), schema)
        if len(names) == 1:
            out = self.typed(names[0], schema, depth, turns)
        else:
            out = {"anyOf": [self.typed(name, schema, depth, turns) for name in names]}
        if nullable:
            _make_nullable(out)
        return _annotated(out, schema)

    def types(self, schema: Json) -> tuple[list[str], bool]:
        """The types there may be, and whether null is one of them."""
        value = schema.get("type")
        given = [value] if isinstance(value, str) else value if isinstance(value, list) else None
        if given is None:
            values = schema.get("enum")
            if isinstance(values, list):
                return [name for name in ORDER if any(is_a(name, item) for item in values)], True
            found = [name for name in ORDER if any(name in APPLIES.get(key, ()) for key in schema)]
            found = [name for name in found if name != "integer"]
            if found:
                self.lose("type", "Gemini wants a type; it is taken from the other keys")
            return found, schema.get("nullable") is True
        names = list(dict.fromkeys(word.lower() if isinstance(word, str) else "" for word in given))
        if not TYPES.issuperset(names):
            self.lose("type", "a type that JSON Schema does not have", dropped=True)
        known = [name for name in names if name in TYPES and name != "null"]
        return known, "null" in names or schema.get("nullable") is True

    def typed(self, name: str, schema: Json, depth: int, turns: tuple[str, ...]) -> Json:
        values = schema.get("enum")
        chosen = [value for value in values if is_a(name, value)] if isinstance(values, list) else None
        if name == "number" and chosen and all(is_a("integer", value) for value in chosen):
            name = "integer"
        out: Json = {"type": name.upper()}
        form = schema.get("format")
        if form is not None:
            if isinstance(form, str) and form in FORMATS.get(name, ()):
                out["format"] = form
            else:
                self.lose("format", "a format that Gemini does not take", dropped=True)
        for key in schema:
            if name in APPLIES.get(key, ()):
                self.keyword(name, key, schema, out, depth, turns)
        if name == "array" and "items" not in out:
            out["items"] = self.anything("items", "Gemini wants to know what a list holds")
        if chosen is not None:
            self.choices(name, chosen, out)
        return out

    def keyword(self, name: str, key: str, schema: Json, out: Json, depth: int, turns: tuple[str, ...]) -> None:
        value = schema[key]
        match key:
            case "properties" | "required" if name == "object":
                if key == "properties" or "properties" not in schema:
                    self.members(schema, out, depth, turns)
            case "items" | "prefixItems":
                if key == "prefixItems" or "prefixItems" not in schema:
                    self.items(schema, out, depth, turns)
            case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties":
                count = int(value) if isinstance(value, float) and value.is_integer() else value
                if isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= _MAX_INT64:
                    out[key] = count
                else:
                    self.lose(key, "not a count", dropped=True)
            case "pattern":
                if isinstance(value, str):
                    out[key] = value
                else:
                    self.lose(key, "not a pattern", dropped=True)
            case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
                self.bound(name, key, schema, out)
            case "uniqueItems" if value is False:
                pass  # what holds anyway
            case "additionalProperties" if value is True or value == {}:
                pass
            case "additionalProperties":
                self.lose(key, "Gemini cannot say what other properties there may be")
            case "additionalItems" if "prefixItems" not in schema and not isinstance(schema.get("items"), list):
                pass  # beside one schema for all items it says nothing
            case _:
                self.lose(key, "Gemini's schema has no such key", dropped=True)

    def members(self, schema: Json, out: Json, depth: int, turns: tuple[str, ...]) -> None:
        properties, required = schema.get("properties"), schema.get("required")
        written: Json = {}
        for name, item in (properties if isinstance(properties, dict) else {}).items():
            if item is False:
                self.lose("properties", "a property that no value meets", dropped=True)
            else:
                written[name] = self.node(item, depth + 1, turns)
        if isinstance(properties, dict):
            out["properties"] = written
        elif properties is not None:
            self.lose("properties", "not an object", dropped=True)
        names = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        kept = [name for name in dict.fromkeys(names) if name in written]
        if len(kept) < len(set(names)):
            self.lose("required", "Gemini requires declared properties only", dropped=True)
        if kept:
            out["required"] = kept

    def items(self, schema: Json, out: Json, depth: int, turns: tuple[str, ...]) -> None:
        items, prefix = schema.get("items"), schema.get("prefixItems")
        listed = prefix if isinstance(prefix, list) else items if isinstance(items, list) else None
        if listed is None:
            out["items"] = self.node(items, depth + 1, turns)
            return
        self.lose("prefixItems", "Gemini tells no positions apart: every item may be any of them")
        rest = [items] if listed is prefix and isinstance(items, dict) else []
        written = [self.node(item, depth + 1, turns) for item in [*listed, *rest]]
        if written:
            out["items"] = written[0] if len(written) == 1 else {"anyOf": written}

    def bound(self, name: str, key: str, schema: Json, out: Json) -> None:
        value = schema[key]
        lower = key.endswith("inimum")
        into = "minimum" if lower else "maximum"
        exclusive = key.startswith("exclusive")
        if value is True and exclusive and into in schema:  # draft 4's way
            value = schema[into]
        elif isinstance(value, bool):
            return
        if not isinstance(value, int | float) or not abs(value) < _MAX_NUMBER:
            self.lose(key, "not a number Gemini can hold", dropped=True)
            return
        if exclusive and name == "integer":
            value = math.floor(value) + 1 if lower else math.ceil(value) - 1
        elif exclusive:
            self.lose(key, f"sent as {into}, which takes the bound itself too")
        held = out.get(into)
        out[into] = value if held is None else max(held, value) if lower else min(held, value)

    def choices(self, name: str, values: list[Any], out: Json) -> None:
        """``enum``: Gemini has it for strings; of other values what can be said is said, the rest becomes a hint."""
        if name == "string":
            words = [value for value in dict.fromkeys(values) if value]
            if len(words) < len(set(values)):
                self.lose("enum", "Gemini takes no empty string among the choices", dropped=True)
            if words:
                out["enum"] = words
            return
        if name == "boolean" and True in values and False in values:
            return
        if name == "integer":
            low, high = int(min(values)), int(max(values))
            if abs(low) < _MAX_NUMBER and abs(high) < _MAX_NUMBER:
                out["minimum"] = max(low, out.get("minimum", low))
                out["maximum"] = min(high, out.get("maximum", high))
            if high - low + 1 == len({int(value) for value in values}):
                return
        self.lose("enum", "Gemini has choices of strings only; these stand in the description")
        if name in ("boolean", "integer", "number"):
            listed = ", ".join(str(value).lower() if isinstance(value, bool) else repr(value) for value in values)
            out["description"] = f"{_HINT}{listed}."[:_MAX_HINT]


def _make_nullable(out: Json) -> None:
    for branch in out.get("anyOf", ()):
        _make_nullable(branch)
    if "anyOf" not in out:
        out["nullable"] = True


def _annotated(out: Json, notes: Json) -> Json:
    for key in ("title", "description"):
        if isinstance(notes.get(key), str):
            hint = out.get(key)
            ours = notes[key]
            out[key] = f"{ours} {hint}" if hint and hint.startswith(_HINT) else ours
    if "default" in notes:
        out["default"] = notes["default"]
    examples = notes.get("examples")
    example = notes.get("example", examples[0] if isinstance(examples, list) and examples else None)
    if example is not None:
        out["example"] = example
    ordering = notes.get("propertyOrdering")
    if isinstance(ordering, list):
        declared = out.get("properties", {})
        names = [name for name in ordering if isinstance(name, str) and name in declared]
        out |= {"propertyOrdering": names} if names else {}
    return out
