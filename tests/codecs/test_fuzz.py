"""The short form of ``make fuzz``."""

import pytest

from tests.fuzz import campaign
from tests.fuzz.mutate import inputs
from tests.fuzz.targets import TARGETS, Target


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_no_damaged_bytes_break_a_decoder(target: Target) -> None:
    line = campaign.run(target, seed=1, count=1000)
    assert line["pass"], line["figures"]["findings"]
    assert line["figures"]["taken"] >= target.enough / 2, "which is of 2,000"


def test_a_seed_gives_the_same_inputs_every_time() -> None:
    target = next(iter(TARGETS.values()))
    assert list(inputs(target.seeds, 7, 300)) == list(inputs(target.seeds, 7, 300))
    assert list(inputs(target.seeds, 7, 300)) != list(inputs(target.seeds, 8, 300))


def test_whatever_escapes_is_a_finding_with_its_input() -> None:
    def fails(data: bytes) -> bool:
        if data == b"b":
            raise KeyError("x")
        return True

    line = campaign.run(Target("t", fails, (b"a", b"b")), seed=1, count=2)
    assert not line["pass"]
    assert line["figures"]["findings"] == [{"error": "KeyError: 'x'", "input": "Yg=="}]
