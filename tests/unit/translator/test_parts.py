"""Vendors' lanes become ordered parts."""

import pytest
from omni_translator.domain.events import Event, PartDelta, PartEnded, PartStarted
from omni_translator.domain.model import Text, ToolCall
from omni_translator.domain.parts import Assembler
from omni_wire.errors import WireError

ONE, TWO = ToolCall(id="1", name="f"), ToolCall(id="2", name="g")


def test_text_gives_way_to_a_call_at_once() -> None:
    parts, events = Assembler(explicit_ends=False), list[Event]()
    parts.open("text", Text(""), events)
    parts.delta("text", "hi", events)
    parts.open(0, ONE, events)
    assert events == [PartStarted(0, Text("")), PartDelta(0, "hi"), PartEnded(0), PartStarted(1, ONE)]


def test_a_call_gives_way_when_its_arguments_are_whole() -> None:
    parts, events = Assembler(explicit_ends=False), list[Event]()
    parts.open(0, ONE, events)
    parts.delta(0, '{"a":', events)
    parts.open(1, TWO, events)
    parts.delta(1, "{}", events)
    assert events[-1] == PartDelta(0, '{"a":')
    parts.delta(0, "1}", events)
    assert events[-4:] == [PartDelta(0, "1}"), PartEnded(0), PartStarted(1, TWO), PartDelta(1, "{}")]


def test_a_brace_inside_a_string_does_not_end_a_call() -> None:
    parts, events = Assembler(explicit_ends=False), list[Event]()
    parts.open(0, ONE, events)
    parts.delta(0, '{"a":"}', events)
    parts.open(1, TWO, events)
    assert PartEnded(0) not in events


def test_finish_ends_everything_in_order() -> None:
    parts, events = Assembler(explicit_ends=False), list[Event]()
    parts.open(0, ONE, events)
    parts.open(1, TWO, events)
    parts.delta(1, "{}", events)
    parts.finish(events)
    assert events == [PartStarted(0, ONE), PartEnded(0), PartStarted(1, TWO), PartDelta(1, "{}"), PartEnded(1)]


def test_with_explicit_ends_nothing_else_ends_a_part() -> None:
    parts, events = Assembler(explicit_ends=True), list[Event]()
    parts.open(0, Text(""), events)
    parts.open(1, Text(""), events)
    parts.delta(1, "b", events)
    parts.close(1, "", events)
    assert events == [PartStarted(0, Text(""))]
    parts.close(0, "sig", events)
    assert events[1:] == [PartEnded(0, "sig"), PartStarted(1, Text("")), PartDelta(1, "b"), PartEnded(1)]


def test_a_part_neither_begins_twice_nor_grows_after_its_end() -> None:
    parts, events = Assembler(explicit_ends=True), list[Event]()
    parts.open(0, Text(""), events)
    with pytest.raises(WireError):
        parts.open(0, Text(""), events)
    parts.close(0, "", events)
    with pytest.raises(WireError):
        parts.delta(0, "x", events)
