"""What the requests and answers of every format are made of."""

import base64
from typing import Any

import msgspec
from hypothesis import strategies as st

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ids = st.text("abcXYZ019_-", min_size=1, max_size=12)
names = st.text("abc_", min_size=1, max_size=8)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**40), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | words
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=6
)
unknown = st.dictionaries(names.map("x_{}".format), values, max_size=2)
payloads = st.binary(min_size=1, max_size=12).map(lambda data: base64.b64encode(data).decode())
media = st.sampled_from(["image/png", "image/jpeg", "image/webp"])
urls = names.map("https://example.com/{}".format)
schemas = st.fixed_dictionaries(
    {"type": st.just("object"), "properties": st.dictionaries(names, st.just({"type": "string"}), max_size=2)}
)
arguments = st.dictionaries(words, scalars | st.lists(scalars, max_size=2), max_size=3)
markers = st.just({"type": "ephemeral"})


def obj(
    required: dict[str, Any], optional: dict[str, Any] | None = None, strange: bool = True
) -> st.SearchStrategy[dict[str, Any]]:
    """An object with the keys given, some of the optional ones and, when ``strange``, some nobody knows."""
    base = st.fixed_dictionaries(required, optional=optional or {})
    return st.builds(lambda known, other: other | known, base, unknown) if strange else base


def json_text(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return strategy.map(lambda value: msgspec.json.encode(value).decode())
