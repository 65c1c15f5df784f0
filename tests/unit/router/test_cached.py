"""What the cache may answer, under which name, and what is fit for it: pure decisions."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omni_catalogue import snapshot as s
from omni_catalogue.rules import Rules
from omni_catalogue.scopes import Scopes
from omni_router.domain import cached
from omni_wire.errors import InvalidRequest
from omni_wire.formats import WireFormat

KEY = s.KeyPolicy(id="k", name="k")
CHAT = ("openai.chat", "", False, "sse")
BODY: dict[str, Any] = {
    "model": "acme/sim", "temperature": 0, "max_tokens": 5, "seed": 1, "stop": ["x"], "tools": [],
    "tool_choice": "auto", "response_format": {"type": "text"}, "messages": [{"role": "user", "content": "hi"}],
    "top_p": 1, "n": 1,
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(min_size=1, max_size=8), JSON, max_size=6)


def name(said: dict[str, Any] = BODY, key: s.KeyPolicy = KEY, request: Any = CHAT, **headers: str) -> str:
    named = {header.replace("_", "-"): value for header, value in headers.items()}
    return cached.name_of(key, b"configuration", request, said, named)


@pytest.mark.parametrize("field", [*BODY, "stream", "previous_response_id", "unknown"])
def test_every_field_of_a_body_makes_another_request(field: str) -> None:
    assert name(BODY | {field: "another"}) != name()


@pytest.mark.parametrize("field", ["user", "metadata", "safety_identifier", "prompt_cache_key"])
def test_who_asks_on_whose_behalf_does_not(field: str) -> None:
    assert name(BODY | {field: {"a": "b"}}) == name()


@given(BODIES, BODIES)
def test_a_body_is_the_same_however_it_is_written_and_no_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    spaced = json.dumps(dict(reversed(one.items())), indent=3).encode()
    read = cached.read(spaced)
    assert read == one
    assert name(read) == name(one)
    told = [{field: value for field, value in body.items() if field not in cached._IDLE} for body in (one, other)]
    assert (name(one) == name(other)) == (msgspec.json.encode(told[0], order="deterministic") == (
        msgspec.json.encode(told[1], order="deterministic")
    ))  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"key": s.KeyPolicy(id="another", name="k")},
        {"key": s.KeyPolicy(id="k", name="k", rules=Rules(sanitize=True))},
        {"key": s.KeyPolicy(id="k", name="k", scopes=Scopes(providers=("acme",)))},
        {"request": ("ollama.chat", "", False, "sse")},
        {"request": ("openai.chat", "m", False, "sse")},
        {"request": ("openai.chat", "", True, "sse")},
        {"request": ("openai.chat", "", False, "array")},
        {"anthropic_beta": "x"},
        {"x_omniroute_translation": "strict"},
        {"accept": "text/event-stream"},
    ],
)
def test_so_is_another_key_endpoint_path_or_header_that_tells(other: dict[str, Any]) -> None:
    assert name(**other) != name()


def test_other_headers_and_what_a_key_is_called_do_not_matter() -> None:
    assert name(user_agent="x", accept="application/json") == name()
    assert name(key=s.KeyPolicy(id="k", name="another", requests_per_minute=5)) == name()


def snapshot(**changes: Any) -> s.Snapshot:
    account = s.Account(id="a/x", name="x", secret_version=changes.pop("version", "1"))
    provider = s.Provider(
        id="a", format=WireFormat.OPENAI_CHAT, base_url=changes.pop("url", "https://a.example/v1"),
        accounts=(account,), models=(s.Model(id="*"),),
    )  # fmt: skip
    fields: dict[str, Any] = {"revision": 1, "combos": (), "keys": ()} | changes
    return s.Snapshot(created=0, server=s.Server(), providers=(provider,), routing=s.Routing(), **fields)


def test_a_configuration_that_may_change_an_answer_is_another_and_no_other_is() -> None:
    same = cached.configured(snapshot())
    assert same == cached.configured(snapshot(revision=2, version="2", keys=(KEY,)))
    combo = s.Combo(name="c", strategy="fill-first", targets=("a/x",))
    for change in ({"url": "https://b.example/v1"}, {"combos": (combo,)}, {"rules": Rules(sanitize=True)}):
        assert cached.configured(snapshot(**change)) != same


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_has_no_name(body: bytes) -> None:
    assert cached.read(body) is None


@pytest.mark.parametrize(
    ("said", "deterministic"),
    [
        ({"temperature": 0}, True),
        ({"temperature": 0.0}, True),
        ({}, False),
        ({"temperature": None}, False),
        ({"temperature": False}, False),
        ({"temperature": 0.1}, False),
        ({"generationConfig": {"temperature": 0}}, True),
        ({"generation_config": {"temperature": 1}}, False),
        ({"generationConfig": {"temperature": 0}, "generation_config": {"temperature": 1}}, False),
        ({"options": {"temperature": 0}}, True),
        ({"options": "x"}, False),
    ],
)
def test_a_request_is_deterministic_where_its_client_says_so(said: dict[str, Any], deterministic: bool) -> None:
    takes = [cached.takes(word, said, "") for word in ("off", "asked", "deterministic", "any")]
    assert takes == [False, False, deterministic, True]
    for word in ("asked", "deterministic", "any"):
        assert cached.takes(word, said, "on")
        assert cached.takes(word, said, "refresh")
        assert not cached.takes(word, said, "off")
    assert not any(cached.takes("off", said, asked) for asked in ("on", "off", "refresh"))


def test_the_narrowest_rule_is_heard_and_without_one_what_is_configured_for_all() -> None:
    asked, off, every = Rules(), Rules(cache="off"), Rules(cache="any")
    policy = s.Caching(requests="deterministic")
    assert cached.requests_of(policy, asked, asked, asked) == "deterministic"
    assert cached.requests_of(policy, every, asked, asked) == "any"
    assert cached.requests_of(policy, every, off, asked) == "off"
    assert cached.requests_of(policy, off, off, every) == "any"


@pytest.mark.parametrize(
    ("changes", "looks"),
    [
        ({}, False),
        ({"rules": Rules(cache="off")}, False),
        ({"rules": Rules(cache="any")}, True),
        ({"keys": (s.KeyPolicy(id="k", name="k", rules=Rules(cache="deterministic")),)}, True),
        ({"combos": (s.Combo(name="c", strategy="fill-first", targets=("a/x",), rules=Rules(cache="any")),)}, True),
    ],
)
def test_requests_that_say_nothing_are_looked_at_only_where_somebody_may_have_an_answer(
    changes: dict[str, Any], looks: bool
) -> None:
    found = snapshot(**changes)
    assert cached.looks(found) is looks
    off = msgspec.structs.replace(found, routing=msgspec.structs.replace(found.routing, caching=None))
    assert not cached.looks(off)


@pytest.mark.parametrize(
    ("requests", "asked", "temperature", "rules", "found"),
    [
        ("asked", "semantic", 1, (), True),
        ("asked", "on", 0, (), False),
        ("asked", "", 0, (), False),
        ("deterministic", "", 0, (), True),
        ("deterministic", "", 1, (), False),
        ("deterministic", "on", 0, (), True),
        ("any", "", 1, (), True),
        ("any", "refresh", 1, (), True),
        ("any", "exact", 1, (), False),
        ("off", "semantic", 0, (), False),
        ("off", "", 0, ("any",), True),
        ("any", "semantic", 0, ("any", "off"), False),
        ("any", "", 1, ("off", "deterministic"), False),
        ("asked", "", 1, (None, "any", None), True),
    ],
)
def test_what_may_be_answered_by_its_meaning_is_said_as_for_the_cache(
    requests: str, asked: str, temperature: int, rules: tuple[str | None, ...], found: bool
) -> None:
    policy = s.Semantic(embeddings="local", requests=requests)
    places = [Rules(semantic_cache=said) for said in rules]
    assert cached.means(policy, {"temperature": temperature}, asked, *places) is found


def test_a_wish_is_one_of_five_words() -> None:
    assert [cached.wish({cached.HEADER: said}) for said in ("on", " OFF ", "Refresh", "exact", "SEMANTIC", "")] == [
        "on", "off", "refresh", "exact", "semantic", "",
    ]  # fmt: skip
    assert cached.wish({}) == ""
    with pytest.raises(InvalidRequest, match="on, off, refresh, exact or semantic"):
        cached.wish({cached.HEADER: "yes"})


@pytest.mark.parametrize(
    ("client_format", "stream", "data", "fit"),
    [
        ("openai.chat", False, '{"choices": [{"finish_reason": "stop"}]}', True),
        ("openai.chat", False, '{"choices":[{"finish_reason":"stop"},{"finish_reason":"length"}]}', False),
        ("openai.chat", False, '{"choices":[{"finish_reason":null}]}', False),
        ("openai.chat", True, 'data: {"finish_reason":null}\n\ndata: {"finish_reason":"tool_calls"}\n\n', True),
        ("openai.chat", True, 'data: {"finish_reason":"content_filter"}\n\n', False),
        ("openai.chat", False, '{"content":"\\"finish_reason\\":\\"length\\"","finish_reason":"stop"}', True),
        ("anthropic.messages", True, 'data: {"stop_reason":null}\n\ndata: {"stop_reason": "end_turn"}\n\n', True),
        ("anthropic.messages", False, '{"stop_reason":"max_tokens"}', False),
        ("anthropic.messages", False, '{"stop_reason":"pause_turn"}', False),
        ("gemini.generate", False, '{"candidates":[{"finishReason":"STOP"}]}', True),
        ("gemini.generate", False, '{"candidates":[{"finishReason":"SAFETY"}]}', False),
        ("ollama.chat", True, '{"done":false}\n{"done":true,"done_reason":"stop"}\n', True),
        ("openai.responses", False, '{"status":"completed","output":[{"status":"in_progress"}]}', True),
        ("openai.responses", False, '{"status":"incomplete","output":[{"status":"completed"}]}', False),
        ("openai.responses", True, 'data: {"type":"response.completed"}\n\n', True),
        ("openai.responses", True, 'data: {"type":"response.incomplete"}\n\n', False),
        ("openai.responses", False, "not JSON", False),
    ],
)
def test_only_an_answer_that_came_to_its_own_end_is_fit(client_format: str, stream: bool, data: str, fit: bool) -> None:
    assert cached.is_fit(WireFormat(client_format), stream, data.encode()) is fit
