"""Rules of a key that no file has: what may be written, what is kept of it, and that it can be written again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_auth.domain.key_rules import MAX_CHARACTERS, read, written
from omni_catalogue.rules import KEEP_ALIVE_OFF, Rules, ThinkingRule
from omni_wire.errors import InvalidRequest


def test_yaml_is_read_as_the_file_reads_it() -> None:
    text = "sanitize: on\nthinking: {effort: low}\nsystem_prompt: {prefix: Be nice., skippable: on}\nkeep_alive: off"
    assert read(text) == Rules(
        sanitize=True, thinking=ThinkingRule(mode="custom", effort="low"), prompt_prefix="Be nice.",
        prompt_skippable=True, keep_alive=KEEP_ALIVE_OFF,
    )  # fmt: skip


def test_json_is_read_too() -> None:
    assert read('{"clamp": "off", "stream_on_accept": true}') == Rules(clamp="off", stream_on_accept=True)


@pytest.mark.parametrize("text", ["", "  ", "{}", "null"])
def test_nothing_said_is_nothing_kept(text: str) -> None:
    assert read(text) == Rules()
    assert written(read(text)) == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sanitise: on", "rules.sanitise: unknown key; did you mean 'sanitize'?"),
        ("clamp: 5\nprogress: sometimes", "rules.clamp: must be auto, on or off; rules.progress: must be asked"),
        ("on", "rules: must be a mapping of keys to values"),
        ("{clamp: on", "rules: not YAML"),
        ("clamp: !!python/object:x {}", "clamp: a YAML tag that is not known here"),
        ("clamp: on\nclamp: off", "clamp: the key is here twice"),
        ("x" * (MAX_CHARACTERS + 1), "rules: must have at most"),
    ],
)
def test_what_is_wrong_is_told_by_its_place(text: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(text)
    assert told in refused.value.message
    assert refused.value.param == "rules"


SWITCHES = st.none() | st.sampled_from(["auto", "on", "off"])
FLAGS = st.none() | st.booleans()
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
THINKING = st.one_of(
    st.none(),
    st.sampled_from(["passthrough", "auto", "adaptive"]).map(lambda mode: ThinkingRule(mode=mode)),
    st.sampled_from(["none", "low", "max"]).map(lambda effort: ThinkingRule(mode="custom", effort=effort)),
    st.integers(0, 1_000_000).map(lambda budget: ThinkingRule(mode="custom", budget=budget)),
    st.integers(1, 1_000_000).map(lambda budget: ThinkingRule(mode="adaptive", budget=budget)),
)
RULES = st.builds(
    Rules,
    developer_to_system=SWITCHES, system_to_user=SWITCHES, sanitize=FLAGS, think_tags=SWITCHES, thinking=THINKING,
    prompt_prefix=TEXTS, prompt_suffix=TEXTS, prompt_skippable=FLAGS, clamp=SWITCHES, stream_on_accept=FLAGS,
    cache=st.none() | st.sampled_from(["asked", "deterministic", "any", "off"]),
    semantic_cache=st.none() | st.sampled_from(["asked", "deterministic", "any", "off"]),
    progress=st.none() | st.sampled_from(["asked", "on", "off"]),
    keep_alive=st.none() | st.just(KEEP_ALIVE_OFF) | st.integers(1, 600).map(float),
)  # fmt: skip


@given(RULES)
def test_what_is_listed_can_be_written_again(rules: Rules) -> None:
    told = written(rules)
    assert read(told) == rules
    assert "\n" not in told
    assert not told or isinstance(json.loads(told), dict)
