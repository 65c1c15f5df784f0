"""Between equal formats: the model, the limit under a budget, and not a byte more."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue.snapshot import Account, Model, Provider
from omni_router.domain.edits import relayed
from omni_router.domain.request import read
from omni_wire.formats import CLIENT_FORMATS, WireFormat

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
MESSAGES, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
OLLAMA = WireFormat.OLLAMA_CHAT
SAID: dict[WireFormat, dict[str, Any]] = {
    CHAT: {"model": "p/m", "messages": [{"role": "user", "content": "x"}]},
    RESPONSES: {"model": "p/m", "input": "x"},
    MESSAGES: {"model": "p/m", "messages": [{"role": "user", "content": "x"}]},
    GEMINI: {"contents": [{"parts": [{"text": "x"}]}]},
    OLLAMA: {"model": "p/m", "messages": [{"role": "user", "content": "x"}]},
}
LIMITS = {CHAT: "max_tokens", RESPONSES: "max_output_tokens", MESSAGES: "max_tokens"}
NESTED: dict[WireFormat, dict[str, Any]] = {
    GEMINI: {"generationConfig": {"maxOutputTokens": 77}},
    OLLAMA: {"options": {"num_predict": 77}},
}


def edited(wire_format: WireFormat, raw: bytes, clamp: int = 0, *, stream: bool = False) -> bytes:
    account = Account(id="p/a", name="a", secret_version="1")
    model = Model(id="m")
    provider = Provider(id="p", format=wire_format, base_url="http://x", accounts=(account,), models=(model,))
    return relayed(read(wire_format, raw, model="p/m", stream=stream), provider, model, clamp)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(CLIENT_FORMATS), st.dictionaries(st.text().map("x_".__add__), json_values, max_size=4))
def test_unknown_fields_stay_whatever_they_are(wire_format: WireFormat, unknown: dict[str, Any]) -> None:
    fields = SAID[wire_format] | unknown
    named = {"model": "m"} if wire_format is not GEMINI else {}
    assert json.loads(edited(wire_format, json.dumps(fields).encode())) == fields | named
    limited = json.loads(edited(wire_format, json.dumps(fields).encode(), 77))
    limit = NESTED.get(wire_format) or {LIMITS[wire_format]: 77}
    assert limited == fields | named | limit


@pytest.mark.parametrize(
    ("wire_format", "field"),
    [
        (CHAT, "Model"),
        (CHAT, "MAX_TOKENS"),
        (CHAT, "max_to\u212aens"),
        (CHAT, "N"),
        (OLLAMA, "MODEL"),
        (OLLAMA, "Optionſ"),
    ],
)
def test_a_field_that_a_provider_in_go_takes_for_one_of_ours_does_not_reach_it(
    wire_format: WireFormat, field: str
) -> None:
    raw = json.dumps(SAID[wire_format] | {field: "the client's", "Other": 1}).encode()
    told = json.loads(edited(wire_format, raw, 77))
    assert field not in told
    assert told["Other"] == 1


def test_a_request_that_only_fills_the_prompt_cache_keeps_its_limit_of_nothing_under_a_budget() -> None:
    raw = json.dumps(SAID[MESSAGES] | {"max_tokens": 0}).encode()
    assert json.loads(edited(MESSAGES, raw, 1))["max_tokens"] == 0


def test_ollamas_other_options_keep_their_bytes_beside_the_limit() -> None:
    raw = b'{"model":"m","messages":[{}],"options":{"temperature": 1.10,"num_predict":-1,"num_predict":5}}'
    assert b'"temperature":1.10' in edited(OLLAMA, raw, 77)
    assert json.loads(edited(OLLAMA, raw, 77))["options"] == {"temperature": 1.1, "num_predict": 77}
    assert edited(OLLAMA, raw) is raw


@pytest.mark.parametrize("wire_format", [RESPONSES, MESSAGES])
def test_a_stream_needs_no_word_about_usage(wire_format: WireFormat) -> None:
    raw = json.dumps(SAID[wire_format] | {"model": "m", "stream": True}).encode()
    assert edited(wire_format, raw) is raw


def test_a_gemini_body_without_a_limit_to_set_is_its_very_bytes() -> None:
    raw = b'{ "contents":[ {"parts":[]} ], "generationConfig" : {"temperature":1.10} }'
    assert edited(GEMINI, raw, stream=True) is raw


def test_a_gemini_model_in_the_body_is_the_providers() -> None:
    raw = json.dumps(SAID[GEMINI] | {"model": "models/p/m"}).encode()
    assert json.loads(edited(GEMINI, raw))["model"] == "models/m"


@given(
    st.dictionaries(st.text(max_size=4).map("x".__add__), json_values, max_size=3),
    st.sampled_from(["generationConfig", "generation_config"]),
    st.sampled_from(["maxOutputTokens", "max_output_tokens", ""]),
)
def test_geminis_limit_keeps_its_spelling_and_its_neighbours(config: dict[str, Any], name: str, field: str) -> None:
    given_config = config | ({field: 900} if field else {})
    raw = json.dumps(SAID[GEMINI] | {name: given_config}).encode()
    expected = SAID[GEMINI] | {name: config | {field or "maxOutputTokens": 7}}
    assert json.loads(edited(GEMINI, raw, 7)) == expected


def test_a_gemini_limit_that_comes_twice_or_in_two_spellings_is_sent_as_one() -> None:
    raw = (
        b'{"contents":[{}],"generationConfig":{"maxOutputTokens":5,"max_output_tokens":6,"maxOutputTokens":99999},'
        b'"generation_config":{"maxOutputTokens":"88"}}'
    )
    sent = edited(GEMINI, raw, 5)
    assert b"99999" not in sent
    assert json.loads(sent)["generationConfig"] == {"maxOutputTokens": 5, "max_output_tokens": 5}
    assert json.loads(sent)["generation_config"] == {"maxOutputTokens": 5}


@pytest.mark.parametrize("nothing", ["null", "{}"])
def test_an_empty_gemini_config_gets_the_limit(nothing: str) -> None:
    raw = b'{"contents":[{}],"generationConfig":' + nothing.encode() + b"}"
    assert json.loads(edited(GEMINI, raw, 5))["generationConfig"] == {"maxOutputTokens": 5}


def test_numbers_and_schemas_inside_a_gemini_config_keep_their_bytes() -> None:
    schema = b'{"type":"OBJECT","x":1.10,"big":12345678901234567890123}'
    raw = b'{"contents":[{}],"generationConfig":{"responseSchema":' + schema + b',"maxOutputTokens":9}}'
    assert schema in edited(GEMINI, raw, 5)


@pytest.mark.parametrize("name", ["Stream", "STREAM", "Models", "Service_Tier", "Web_Search_Options", "servicetier"])
def test_what_is_gone_by_is_left_out_in_any_other_case(name: str) -> None:
    """For a provider that finds a field in any case, of which the last counts."""
    raw = json.dumps({**SAID[CHAT], "stream": True, name: "x"}).encode()
    sent = json.loads(edited(CHAT, raw))
    assert name not in sent
    assert sent["stream"] is True
