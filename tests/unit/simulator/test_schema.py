"""Values made from schemas."""

import pytest
from omni_simulator.reading import compact
from omni_simulator.schema import example


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "simulated value"),
        ({"type": ["null", "integer"], "minimum": 3}, 3),
        ({"type": "BOOLEAN"}, True),
        ({"type": "null"}, None),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "array", "items": {"type": "number"}, "minItems": 2}]}, [1, 1]),
        ({"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a"]}, {"a": "simulated a"}),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, 1),
        ({"$ref": "#/nowhere"}, "simulated value"),
        (None, "simulated value"),
    ],
)
def test_the_value_fits_the_schema(schema: object, value: object):
    assert example(schema) == value


def test_a_schema_that_contains_itself_many_times_stays_small():
    inner = {"$ref": "#"}
    schema = {"type": "object", "properties": dict.fromkeys("abcdefgh", inner)}
    assert len(compact(example(schema))) < 200_000
