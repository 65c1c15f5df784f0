"""Requests of Cursor, as documented, with unknown keys strewn in."""

import struct

from hypothesis import strategies as st
from omni_simulator.formats.cursor import field

from tests.codecs.strategies.base import arguments, ids, json_text, names, payloads, schemas, words


def cursor_request(strange: bool = True) -> st.SearchStrategy[bytes]:
    """Frames of protobuf, written by the simulator's own writer, some with fields that nobody knows."""
    odd = (
        st.sampled_from([b"", field(90, 7), field(91, "x"), field(92, field(1, b"\xff"))]) if strange else st.just(b"")
    )
    png = st.binary(min_size=1, max_size=9).map(lambda data: b"\x89PNG\r\n\x1a\n" + data)
    images = st.lists(png | (st.binary(min_size=1, max_size=9) if strange else st.nothing()), max_size=2)
    thought = st.builds(lambda said, proof: field(1, said) + field(2, proof), words, ids)
    hidden = payloads.map(lambda data: field(3, data))

    def image_fields(number: int, data: list[bytes]) -> bytes:
        return b"".join(field(number, field(1, item)) for item in data)

    user = st.builds(
        lambda said, shown, rest: field(1, said) + field(2, 1) + image_fields(10, shown) + field(13, "id") + rest,
        words,
        images,
        odd,
    )

    def exchange(call_id: str, name: str, given: str, said: str, kind: str, shown: list[bytes]) -> bytes:
        tool = field(1, name) + field(3, given) + field(4, "custom")
        call = field(1, 19) + field(3, call_id) + field(9, f"mcp_custom_{name}") + field(27, field(1, tool))
        outcome = field(1, 19) + field(28, field(1, name) + field(2, said)) + field(35, call_id)
        results = {"result": field(8, outcome), "error": field(9, field(2, said)), "none": b""}
        written = field(1, call_id) + field(2, f"mcp_custom_{name}") + field(11, call) + results[kind]
        return field(18, written + (image_fields(10, shown) if kind == "result" else b""))

    kinds = st.sampled_from(["result", "error", "none"] if strange else ["result"])
    calls = st.lists(st.builds(exchange, ids, names, json_text(arguments), words, kinds, images), max_size=2).map(
        b"".join
    )
    assistant = st.builds(
        lambda said, proof, called, rest: field(1, said) + field(2, 2) + proof + called + rest,
        words,
        st.just(b"") | ((thought | hidden).map(lambda data: field(45, data)) if strange else st.nothing()),
        calls,
        odd,
    )
    tool = st.builds(
        lambda name, purpose, schema: field(1, name) + purpose + field(3, schema) + field(4, "custom"),
        names,
        st.just(b"") | words.map(lambda said: field(2, said)),
        json_text(schemas),
    )
    tools = st.lists(tool, max_size=2).map(lambda found: b"".join(field(34, item) for item in found))

    def request(messages: list[bytes], system: bytes, model: str, offered: bytes, off: int, level: int) -> bytes:
        inner = b"".join(field(1, item) for item in messages) + system + field(5, field(1, model)) + offered
        message = field(1, inner + field(48, off) + field(49, level))
        return struct.pack(">BI", 0, len(message)) + message

    return st.builds(
        request,
        st.lists(user | assistant, min_size=1, max_size=4),
        st.just(b"") | words.map(lambda said: field(3, field(1, said))),
        names,
        tools,
        st.sampled_from([0, 1]),
        st.sampled_from([0, 1, 2] if strange else [0]),
    )
