"""JSON Schema in Gemini's words: only those, and what they cannot say is declared."""

import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omni_translator.domain.codecs.gemini_generate.schema import to_gemini
from omni_translator.domain.codecs.gemini_generate.schema_back import from_gemini
from omni_translator.domain.codecs.gemini_generate.schema_words import ALLOWED, FORMATS, TYPES
from omni_translator.domain.losses import Losses
from omni_wire.errors import WireError

from tests.codecs import strategies

OBJECT: dict[str, Any] = {"type": "OBJECT", "properties": {}}


def narrow(schema: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    losses = Losses("Gemini")
    written = to_gemini(schema, losses, "s")
    return written, {loss.field.removeprefix("s."): loss.kind for loss in losses.all()}


def obey(schema: Any) -> None:
    """That a schema is what Gemini's message can hold, down to its last leaf."""
    assert isinstance(schema, dict)
    assert set(schema) <= ALLOWED
    if "anyOf" in schema:
        assert set(schema) <= {"anyOf", "title", "description", "default", "example"}
        assert schema["anyOf"]
        for branch in schema["anyOf"]:
            obey(branch)
        return
    kind = schema["type"]
    assert kind.lower() in TYPES
    assert kind.isupper()
    for choice in schema.get("enum", ()):
        assert (kind, isinstance(choice, str), bool(choice)) == ("STRING", True, True)
    assert "format" not in schema or schema["format"] in FORMATS[kind.lower()]
    assert ("items" in schema) == (kind == "ARRAY")
    if "items" in schema:
        obey(schema["items"])
    for member in schema.get("properties", {}).values():
        obey(member)
    assert set(schema.get("required", ())) <= set(schema.get("properties", ()))
    assert set(schema.get("propertyOrdering", ())) <= set(schema.get("properties", ()))


@pytest.mark.parametrize(
    ("schema", "written", "losses"),
    [
        ({"type": "string"}, {"type": "STRING"}, {}),
        ({"$schema": "x", "$id": "y", "type": "object", "properties": {}}, OBJECT, {}),
        ({"type": ["string", "null"], "maxLength": 3}, {"type": "STRING", "maxLength": 3, "nullable": True}, {}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"type": "INTEGER", "nullable": True}, {}),
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}, {}),
        ({"const": 5}, {"type": "INTEGER", "minimum": 5, "maximum": 5}, {}),
        ({"enum": [1, 2, 3]}, {"type": "INTEGER", "minimum": 1, "maximum": 3}, {}),
        (
            {"type": "integer", "enum": [1, 5], "description": "Pick."},
            {"type": "INTEGER", "minimum": 1, "maximum": 5, "description": "Pick. One of: 1, 5."},
            {"enum": "approximated"},
        ),
        ({"enum": ["a", "", None]}, {"type": "STRING", "enum": ["a"], "nullable": True}, {"enum": "dropped"}),
        ({"enum": [True, False]}, {"type": "BOOLEAN"}, {}),
        (
            {"enum": ["a", 1]},
            {"anyOf": [{"type": "STRING", "enum": ["a"]}, {"type": "INTEGER", "minimum": 1, "maximum": 1}]},
            {},
        ),
        ({"type": "integer", "exclusiveMinimum": 0}, {"type": "INTEGER", "minimum": 1}, {}),
        (
            {"type": "number", "exclusiveMaximum": 1},
            {"type": "NUMBER", "maximum": 1},
            {"exclusiveMaximum": "approximated"},
        ),
        ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}, {}),
        ({"type": "string", "format": "uri"}, {"type": "STRING"}, {"format": "dropped"}),
        ({"type": "string", "minimum": 3, "uniqueItems": True}, {"type": "STRING"}, {}),  # they say nothing of strings
        (
            {"type": "array", "items": {"type": "string"}, "uniqueItems": False},
            {"type": "ARRAY", "items": {"type": "STRING"}},
            {},
        ),
        (
            {"type": "object", "properties": {}, "additionalProperties": False},
            OBJECT,
            {"additionalProperties": "approximated"},
        ),
        ({"type": "object", "properties": {}, "additionalProperties": True}, OBJECT, {}),
        ({"type": "object", "properties": {}, "required": ["a"]}, OBJECT, {"required": "dropped"}),
        ({"type": "object", "properties": {}, "patternProperties": {}}, OBJECT, {"patternProperties": "dropped"}),
        (
            {"oneOf": [{"type": "string"}, {"type": "boolean"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "BOOLEAN"}]},
            {},
        ),
        (
            {"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 2}]},
            {"anyOf": [{"type": "STRING"}, {"type": "STRING", "maxLength": 2}]},
            {"oneOf": "approximated"},
        ),
        (
            {"anyOf": [{"maxLength": 2}, {"minLength": 4}], "type": "string", "description": "d"},
            {"anyOf": [{"type": "STRING", "maxLength": 2}, {"type": "STRING", "minLength": 4}], "description": "d"},
            {},
        ),
        (
            {"allOf": [{"type": "integer", "minimum": 1}, {"minimum": 3, "maximum": 9}]},
            {"type": "INTEGER", "minimum": 3, "maximum": 9},
            {},
        ),
        (
            {"$ref": "#/$defs/a~1b", "description": "near", "$defs": {"a/b": {"type": "string", "description": "far"}}},
            {"type": "STRING", "description": "near"},
            {},
        ),
        ({"type": "string", "not": {"const": "a"}}, {"type": "STRING"}, {"not": "dropped"}),
        ({"type": "string", "examples": ["a"], "default": "b"}, {"type": "STRING", "example": "a", "default": "b"}, {}),
    ],
)
def test_a_schema_in_geminis_words(schema: dict[str, Any], written: dict[str, Any], losses: dict[str, str]) -> None:
    assert narrow(schema) == (written, losses)
    obey(written)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"description": "anything"},
        {"type": "array"},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
        {"properties": {"a": {"type": "string"}}},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/$defs/gone"},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": True, "b": False}},
        {"type": "string", "if": {}, "then": {}, "contentEncoding": "base64"},
        {"type": "tuple"},
        {"type": "number", "multipleOf": 2},
        {"enum": []},
        {"type": "object", "enum": [{"a": 1}]},
        {"type": "string", "examples": ["a", "b"]},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ],
)
def test_what_gemini_cannot_say_is_declared(schema: dict[str, Any]) -> None:
    written, losses = narrow(schema)
    obey(written)
    assert losses


def test_a_definition_within_itself_is_written_out_twice_and_cut() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    written, losses = narrow({"$ref": "#/$defs/tree", "$defs": {"tree": tree}})
    obey(written)
    assert losses == {"$ref": "approximated"}
    inner = written["properties"]["kids"]["items"]["properties"]["kids"]["items"]
    assert set(inner) == {"anyOf"}
    assert narrow({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})[1]


@pytest.mark.parametrize(
    "bomb",
    [
        {
            "$defs": {
                f"d{n}": {"type": "object", "properties": {s: {"$ref": f"#/$defs/d{n + 1}"} for s in "abcd"}}
                for n in range(40)
            },
            "$ref": "#/$defs/d0",
        },
        {"allOf": [{"properties": {f"p{n}-{m}": {} for m in range(50)}} for n in range(2000)]},
        {"allOf": [{"enum": list(range(5000))} for _ in range(200)]},
        {"anyOf": [{"type": "string"}] * 5000, "properties": {f"p{n}": {} for n in range(5000)}},
        {
            "$defs": {"big": {"enum": [f"v{n}" for n in range(15000)]}},
            "properties": {f"p{n}": {"$ref": "#/$defs/big"} for n in range(2000)},
        },
        {
            "items": {"$ref": "#"},
            "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}},
            "anyOf": [{"$ref": "#"}, {"$ref": "#"}],
        },
    ],
    ids=["tree", "wide", "enums", "union", "repeated", "itself"],
)
def test_a_schema_made_to_burst_is_bounded_in_time_and_size(bomb: dict[str, Any]) -> None:
    begun = time.perf_counter()
    written, losses = narrow(bomb)
    assert time.perf_counter() - begun < 10
    assert losses
    assert len(msgspec.json.encode(written)) < 5_000_000


@pytest.mark.parametrize("key", ["properties", "items", "anyOf", "allOf", "enum", "default"])
def test_a_schema_nested_past_all_sense_is_cut_or_a_wire_error(key: str) -> None:
    node: Any = {"type": "string"}
    for _ in range(5000):
        node = {key: {"a": node} if key == "properties" else [node] if key in ("anyOf", "allOf", "enum") else node}
    try:
        narrow(node)
    except WireError:
        return


# ---- and back -------------------------------------------------------------------------------------------------------


def test_geminis_schema_as_json_schema() -> None:
    assert from_gemini(
        {
            "type": "OBJECT",
            "properties": {
                "type": {"type": "STRING", "format": "enum", "enum": ["a"], "nullable": True},
                "any_of": {"any_of": [{"type": "STRING"}, {"type": "INTEGER"}], "nullable": True},
                "n": {"type": "array", "items": {"type": "TYPE_UNSPECIFIED"}, "min_items": "2", "example": 1},
            },
            "property_ordering": ["n"],
            "x_new": 1,
        }
    ) == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["a", None]},
            "any_of": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            "n": {"type": "array", "items": {}, "minItems": 2, "examples": [1]},
        },
        "propertyOrdering": ["n"],
        "x_new": 1,
    }


# ---- laws -----------------------------------------------------------------------------------------------------------

few = st.sampled_from([-2, 0, 1, 1.5, 2, 3])
counts = st.integers(0, 3)
constants = st.sampled_from(["", "a", "ab", 1, 2, 2.5, True, False, None])
LEAVES: dict[str, Any] = {
    "type": st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array"])
    | st.lists(st.sampled_from(["string", "integer", "number", "null"]), min_size=1, max_size=3, unique=True),
    "enum": st.lists(constants, min_size=1, max_size=3),
    "const": constants,
    "minLength": counts,
    "maxLength": counts,
    "minimum": few,
    "maximum": few,
    "exclusiveMinimum": few,
    "exclusiveMaximum": few,
    "minItems": counts,
    "maxItems": counts,
    "maxProperties": counts,
    "uniqueItems": st.booleans(),
    "multipleOf": st.just(2),
    "required": st.lists(st.sampled_from("ab"), max_size=2),
    "pattern": st.just("^a"),
    "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
    "format": st.sampled_from(["date-time", "uri", "int32"]),
    "description": st.just("d"),
}


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    several = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": LEAVES["type"],
            "properties": members,
            "items": inner,
            "anyOf": several,
            "oneOf": several,
            "allOf": several,
            "not": inner,
            "additionalProperties": st.booleans() | inner,
            "required": LEAVES["required"],
            "minLength": counts,
            "maximum": few,
        },
    )


leaves = st.fixed_dictionaries({}, optional=LEAVES) | st.builds(lambda name: {"type": name}, LEAVES["type"])
schemas = st.builds(
    lambda schema, a, b: schema | {"$defs": {"a": a, "b": b}},
    st.recursive(leaves, _deeper, max_leaves=6),
    leaves.map(lambda schema: {key: value for key, value in schema.items() if key != "$ref"}),
    st.just({"type": ["string", "null"], "maxLength": 2}),
)
instances = st.recursive(
    constants | few | st.sampled_from(["abc", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)
law = settings(max_examples=400, deadline=None)


@law
@given(schema=schemas, values=st.lists(instances, min_size=8, max_size=16))
def test_without_a_loss_the_same_values_are_valid(schema: dict[str, Any], values: list[Any]) -> None:
    written, losses = narrow(schema)
    obey(written)
    if losses:
        return
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    before, after = validator(schema), validator(from_gemini(written))
    for value in values:
        assert before.is_valid(value) == after.is_valid(value), value


@law
@given(schema=strategies.damaged(schemas) | strategies.values)
def test_no_schema_at_all_breaks_the_conversion(schema: Any) -> None:
    if isinstance(schema, dict):
        obey(narrow(schema)[0])
        from_gemini(schema)


@law
@given(schema=schemas)
def test_narrowing_twice_changes_nothing_more(schema: dict[str, Any]) -> None:
    written, _ = narrow(schema)
    again, losses = narrow(from_gemini(written))
    assert narrow(from_gemini(again))[0] == again
    assert not losses or "type" in losses
