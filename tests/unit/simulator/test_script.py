"""The grammar of scripts."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_simulator.script import read_script, without_faults
from omni_wire.errors import InvalidRequest


def test_a_plain_name_asks_for_nothing():
    script = read_script("", "any/name-of.a:model", "")
    assert script.calm
    assert not script.selective


def test_steps_follow_the_name_and_carry_values():
    script = read_script("", "sim+latency:50+cut:3+hang+say:Hello%2C%20w%2Brld", "")
    assert (script.latency, script.cut, script.hang, script.say) == (50, 3, True, "Hello, w+rld")


def test_steps_with_a_usual_value_need_none():
    script = read_script("", "sim+cut+stall+malformed+error-event+clean-cut+think", "")
    assert {script.cut, script.stall, script.malformed, script.error_event, script.clean_cut} == {3}
    assert script.think == 8


def test_the_header_wins_over_the_name_and_the_name_over_the_default():
    script = read_script("latency:1,tps:5,tokens:9", "sim+latency:2+tps:6", " latency:3 , ")
    assert (script.latency, script.tps, script.tokens) == (3, 6, 9)


@pytest.mark.parametrize(
    "step",
    [
        "bogus",
        "latency",
        "latency:",
        "latency:-1",
        "latency:x",
        "latency:٣",
        "tokens:1000000",
        "hang:1",
        "status:200",
        "say",
        "finish:never",
        "parallel:0",
        "cut:99999999999999999999",
    ],
)
def test_a_step_outside_the_grammar_is_refused_by_name(step: str):
    with pytest.raises(InvalidRequest) as caught:
        read_script("", f"sim+{step}", "")
    assert repr(step.partition(":")[0]) in caught.value.message


def test_without_its_faults_a_script_keeps_its_words_and_its_pace():
    script = without_faults(read_script("", "sim+latency:5+tokens:2+status:503+hang+cut:1+error-200+fail-first:1", ""))
    assert (script.latency, script.tokens, script.fail_first) == (5, 2, 1)
    assert (script.status, script.hang, script.cut, script.error_200) == (None, False, None, False)


@given(st.text(), st.text())
def test_no_text_raises_anything_but_a_refusal(model: str, header: str):
    with contextlib.suppress(InvalidRequest):
        assert read_script("", f"sim+{model}", header)
