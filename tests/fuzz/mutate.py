"""Honest bytes, damaged: JSON by its structure, anything by its bytes. The same seed gives the same inputs."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import msgspec

_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**53,
    10**30,
    -1e308,
    "",
    " ",
    "a",
    "\ud800",
    "\x00",
    "é" * 300,
    "data:image/png;base64,",
    "data:;base64,!!",
    '{"a":1}',
    "[" * 200,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    {"type": None},
    {"type": "text"},
    {"type": []},
)
_TOKENS: Final = (
    b"\n\n",
    b"\r\n\r\n",
    b"data: ",
    b"data: [DONE]\n\n",
    b"event: error\n",
    b": comment\n\n",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b'"',
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"1e999",
    b"-0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x00",
)
_MAX_BYTES: Final = 20_000  # of an input; a repeated repeat would grow it without end


def inputs(seeds: tuple[bytes, ...], seed: int, count: int) -> Iterator[bytes]:
    """``count`` inputs, the seeds themselves first."""
    chance = Random(seed)
    yield from seeds[:count]
    for _ in range(count - len(seeds)):
        data = chance.choice(seeds)
        for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
            data = _damaged(data, seeds, chance)
        yield data[:_MAX_BYTES]


def _damaged(data: bytes, seeds: tuple[bytes, ...], chance: Random) -> bytes:
    if chance.random() < 0.7:
        start, end = _some_object(data, chance)
        try:
            value = msgspec.json.decode(data[start:end])
        except (msgspec.DecodeError, ValueError, RecursionError):
            return _bytes(data, seeds, chance)
        return data[:start] + _json(_value(value, chance)) + data[end:]
    return _bytes(data, seeds, chance)


def _some_object(data: bytes, chance: Random) -> tuple[int, int]:
    """Where a JSON text stands in ``data``: all of it, or after one of its ``data:`` marks."""
    places = []
    at = data.find(b"data: {")
    while at >= 0:
        places.append(at + 6)
        at = data.find(b"data: {", at + 6)
    if not places:
        return 0, len(data)
    start = chance.choice(places)
    end = data.find(b"\n", start)
    return start, len(data) if end < 0 else end


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError, RecursionError, msgspec.MsgspecError):
        return b'"\\ud800"'


def _value(value: Any, chance: Random) -> Any:
    """``value`` with one thing in it changed: descends at random, and changes what it comes to."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        act = chance.random()
        if act < 0.12:
            return {name: held for name, held in value.items() if name != key}
        if act < 0.2:
            return value | {chance.choice(list(value)): value[key]}
        if act < 0.27:
            return value | {chance.choice(("x_new", "type", "id", "index", "")): chance.choice(_VALUES)}
        return value | {key: _value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        act = chance.random()
        if act < 0.1:
            return value[:at] + value[at + 1 :]
        if act < 0.2:
            return value * chance.choice((2, 3, 20))
        if act < 0.3:
            return chance.sample(value, len(value))
        return [*value[:at], _value(value[at], chance), *value[at + 1 :]]
    act = chance.random()
    if act < 0.1:
        return _nested(value, chance.choice((3, 50, 400)), chance)
    if isinstance(value, str) and act < 0.4:
        at = chance.randint(0, len(value))
        return value[:at] + chance.choice(("\ud800", "\x00", "é", '"', "}", " ", value)) + value[at:]
    if isinstance(value, int | float) and not isinstance(value, bool) and act < 0.4:
        return chance.choice((-value, value + 1, value * 1.5, str(value), 10**18))
    return chance.choice(_VALUES)


def _nested(value: Any, levels: int, chance: Random) -> Any:
    for _ in range(levels):
        value = {"x": value} if chance.random() < 0.5 else [value]
    return value


def _bytes(data: bytes, seeds: tuple[bytes, ...], chance: Random) -> bytes:
    at, to = chance.randint(0, len(data)), chance.randint(0, len(data))
    act = chance.random()
    if act < 0.2:
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if act < 0.4:
        return data[:at] + chance.choice(_TOKENS) + data[at:]
    if act < 0.5:
        return data[:at]
    if act < 0.65:
        return data[: min(at, to)] + data[max(at, to) :]
    if act < 0.8:
        return data[: max(at, to)] + data[min(at, to) :]
    if act < 0.9:  # a frame twice, or elsewhere
        frames = data.split(b"\n\n")
        frames.insert(chance.randint(0, len(frames)), chance.choice(frames))
        return b"\n\n".join(frames)
    other = chance.choice(seeds)
    return data[:at] + other[chance.randint(0, len(other)) :]
