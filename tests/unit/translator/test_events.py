"""The grammar of an answer's events."""

import pytest
from omni_translator.domain.events import (
    GRAMMAR,
    Event,
    Failed,
    Finished,
    KeepAlive,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    check,
    fold,
)
from omni_translator.domain.model import FinishReason, Text
from omni_wire.errors import WireError
from omni_wire.formats import WireFormat
from omni_wire.usage import Usage

START = Started(WireFormat.OPENAI_CHAT, "i", "m")
END = Finished(FinishReason.STOP)


@pytest.mark.parametrize(
    "events",
    [
        [PartStarted(0, Text(""))],
        [START, START],
        [START, PartDelta(0, "x")],
        [START, PartStarted(1, Text(""))],
        [START, PartStarted(0, Text("")), PartStarted(1, Text(""))],
        [START, PartStarted(0, Text("")), END],
        [START, PartStarted(0, Text("")), PartEnded(0), PartDelta(0, "x")],
        [START, PartStarted(0, Text("")), PartDelta(1, "x")],
        [START, END, KeepAlive()],
        [Failed("x"), START],
        [UsageReported(Usage())],
    ],
)
def test_what_may_not_come_is_refused(events: list[Event]) -> None:
    with pytest.raises(WireError):
        check(events)


def test_every_state_the_grammar_leads_to_has_a_row() -> None:
    assert {state for row in GRAMMAR.values() for state in row.values()} <= GRAMMAR.keys()


def test_usage_is_cumulative_so_the_larger_count_holds() -> None:
    usage = [UsageReported(Usage(10, 0, 0, 1)), UsageReported(Usage(0, 0, 0, 7))]
    assert fold([START, usage[0], usage[1], END]).usage == Usage(10, 0, 0, 7)


def test_an_interrupted_answer_is_kept_as_far_as_it_came() -> None:
    answer = fold([START, PartStarted(0, Text("")), PartDelta(0, "half")])
    assert answer.parts == (Text("half"),)
    assert answer.finish is None
