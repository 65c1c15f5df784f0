"""What of an answer is kept for later, and where it is put back."""

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from omni_translator.domain.codec import Reply
from omni_translator.domain.codecs import CODECS
from omni_translator.domain.codecs.gemini_generate.calls import made_id
from omni_translator.domain.events import PartDelta, PartEnded, PartStarted, Started, unfold
from omni_translator.domain.fields import to_json
from omni_translator.domain.keeper import Keeper
from omni_translator.domain.model import (
    Conversation,
    FinishReason,
    Message,
    Opaque,
    Part,
    Reasoning,
    Response,
    Role,
    Text,
    Thinking,
    ToolCall,
)
from omni_translator.domain.vault import (
    MAX_CHARS,
    SIGNING,
    Entry,
    Thought,
    family,
    keep,
    origin,
    pack,
    restore,
    unpack,
    wanted,
)
from omni_wire.formats import CLIENT_FORMATS, WireFormat

from tests.codecs import strategies
from tests.support.echo import next_request

CHAT, RESPONSES = WireFormat.OPENAI_CHAT, WireFormat.OPENAI_RESPONSES
ANTHROPIC, GEMINI = WireFormat.ANTHROPIC_MESSAGES, WireFormat.GEMINI_GENERATE
CLOUDCODE, CURSOR = WireFormat.CLOUDCODE_GENERATE, WireFormat.CURSOR_CHAT
CLAUDE, GPT = origin(ANTHROPIC, "claude", "a1", "claude-x"), origin(RESPONSES, "openai", "a2", "gpt-x")
MADE_BY = {wire_format: origin(wire_format, "p", "a", "model") for wire_format in SIGNING}
REDACTED = Opaque(origin=ANTHROPIC, data={"type": "redacted_thinking", "data": "EmwK"})


def thought(text: str = "Hm.", signature: str = "sig", wire_format: WireFormat = ANTHROPIC, **more: Any) -> Reasoning:
    return Reasoning(text=text, origin=wire_format, signature=signature, **more)


def call(name: str = "look", call_id: str = "toolu_1", arguments: str = '{"a":1}', **more: Any) -> ToolCall:
    return ToolCall(id=call_id, name=name, arguments=arguments, **more)


def kept(*parts: Part, wire_format: WireFormat = ANTHROPIC, answer_id: str = "msg_1") -> Entry | None:
    return keep(MADE_BY[wire_format], wire_format, answer_id, parts)


def conversation(*turns: Message, **more: Any) -> Conversation:
    asked = Message(role=Role.USER, parts=(Text("?"),))
    told = Message(role=Role.USER, parts=(Text("!"),))
    messages = [message for turn in turns for message in (turn, told)]
    fields: dict[str, Any] = {
        "origin": CHAT, "model": "model", "messages": (asked, *messages), "thinking": Thinking(effort="low"),
    }  # fmt: skip
    return Conversation(**(fields | more))


def said(*parts: Part) -> Message:
    return Message(role=Role.ASSISTANT, parts=parts)


def back(
    given: Conversation, entry: Entry | None, wire_format: WireFormat = ANTHROPIC, made_by: str = ""
) -> tuple[Conversation, int]:
    assert entry is not None
    return restore(given, made_by or entry.origin, wire_format, {entry.calls[0].id: entry})


# ---- who may have it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((ANTHROPIC, "claude", "a1", "claude-x"), (ANTHROPIC, "claude", "a2", "claude-x-20260101")),
        ((ANTHROPIC, "vertex", "a", "claude-x@20260101"), (ANTHROPIC, "vertex", "a", "claude-x")),
        ((RESPONSES, "openai", "a", "gpt-x-2026-08-01"), (RESPONSES, "openai", "a", "gpt-x")),
        ((GEMINI, "google", "a", "models/gemini-x"), (GEMINI, "google", "a", "gemini-x")),
    ],
)
def test_a_models_dated_versions_are_one_model(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert origin(*one) == origin(*other) != ""


@pytest.mark.parametrize(
    "other",
    [
        (RESPONSES, "openai", "a1", "gpt-x-mini"),
        (RESPONSES, "openai", "a2", "gpt-x"),  # another account may be of another organisation
        (RESPONSES, "azure", "a1", "gpt-x"),
        (GEMINI, "openai", "a1", "gpt-x"),
    ],
)
def test_another_model_account_provider_or_format_is_somebody_else(other: tuple[Any, ...]) -> None:
    assert origin(*other) != origin(RESPONSES, "openai", "a1", "gpt-x")


def test_nobody_is_nobodys_origin() -> None:
    assert origin(CHAT, "openai", "a", "gpt-x") == ""  # signs nothing
    assert origin(ANTHROPIC, "", "a", "m") == origin(ANTHROPIC, "p", "a", "") == origin(GEMINI, "p", "", "m") == ""
    assert family("claude-3-5-sonnet-latest") == "claude-3-5-sonnet-latest"  # may be another one tomorrow


# ---- what is kept ---------------------------------------------------------------------------------------------------


def test_thoughts_are_kept_before_everything_and_straight_before_calls() -> None:
    entry = kept(thought("1"), REDACTED, Text("So."), thought("2"), call(), thought("3"), call(call_id="toolu_2"))
    assert entry is not None
    assert entry.lead == (Thought("1", "sig"), Thought("", redacted="EmwK"))
    assert [(each.id, each.before) for each in entry.calls] == [
        ("toolu_1", (Thought("2", "sig"),)),
        ("toolu_2", (Thought("3", "sig"),)),
    ]


@pytest.mark.parametrize(
    "parts",
    [
        (thought(), Text("Done.")),  # nothing to find it by
        (call(),),  # nothing to prove
        (thought(), thought(signature=""), call()),  # one of them unsigned
        (thought(), Text("a"), thought(), Text("b"), call()),  # a client may join the two texts
        (thought(), call(), thought()),
        (thought(), Opaque(origin=ANTHROPIC, data={"type": "server_tool_use"}), call()),
        (thought(), call(call_id="")),
        (thought(), call(), call()),  # one id twice
    ],
)
def test_what_could_not_be_put_back_as_it_was_is_not_kept(parts: tuple[Part, ...]) -> None:
    assert kept(*parts) is None


def test_openais_items_are_kept_where_encrypted_and_without_full_thoughts() -> None:
    def item(text: str, signature: str = "", **more: Any) -> Reasoning:
        return thought(text, signature, RESPONSES, **more)

    entry = kept(
        item("1", item="rs_1"),
        item("2", "enc", item="rs_1"),
        item("stored", item="rs_2"),
        call(),
        wire_format=RESPONSES,
    )
    assert entry is not None
    assert entry.lead == (Thought("1"), Thought("2", "enc"))
    assert kept(item("1", "enc", full=True), call(), wire_format=RESPONSES) is None


def test_of_gemini_the_calls_own_proof_is_kept() -> None:
    parts = (thought("Summary", "", GEMINI), call(signature="proof"), call("other", "id2"))
    entry = kept(*parts, wire_format=GEMINI)
    assert entry is not None
    assert (entry.lead, [each.signature for each in entry.calls]) == ((), ["proof", ""])


def test_cursors_turn_has_room_for_one_thought() -> None:
    def hm(text: str) -> Reasoning:
        return thought(text, wire_format=CURSOR)

    entry = kept(hm("1"), Text("So."), call(), wire_format=CURSOR)
    assert entry is not None
    assert entry.lead == (Thought("1", "sig"),)
    assert kept(hm("1"), hm("2"), call(), wire_format=CURSOR) is None
    assert kept(hm("1"), call(), hm("2"), call(call_id="c2"), wire_format=CURSOR) is None


def test_an_id_made_of_what_the_call_says_is_nobodys() -> None:
    nameless = call(call_id=made_id("[look,{}]", 0), signature="proof")
    assert kept(nameless, wire_format=GEMINI, answer_id="") is None
    assert kept(nameless, wire_format=GEMINI, answer_id="mAIT") is not None


# ---- where it is put back -------------------------------------------------------------------------------------------


def test_a_turn_gets_back_its_thoughts_where_they_stood_for_the_clients_own_words_for_them() -> None:
    entry = kept(thought("1"), REDACTED, Text("So."), thought("2"), call())
    theirs = said(Reasoning(text="1 2", origin=CHAT), Text("So."), call(arguments=' {"a": 1.0} '))
    found, count = back(conversation(theirs), entry)
    assert count == 1
    assert found.messages[1].parts == (
        *(thought("1"), REDACTED, Text("So."), thought("2")),
        call(arguments=' {"a": 1.0} '),
    )


def test_the_items_of_one_turn_are_one_turn() -> None:
    entry = kept(thought(), call(), call(call_id="toolu_2"))
    found, count = back(conversation(origin=RESPONSES, messages=(said(call()), said(call(call_id="toolu_2")))), entry)
    assert count == 1
    assert found.messages == (said(thought(), call(), call(call_id="toolu_2")),)


@pytest.mark.parametrize(
    "turn",
    [
        said(call(arguments='{"a":2}')),
        said(call("peek")),
        said(call(), call(call_id="toolu_2")),
        said(Text("no call")),
        Message(role=Role.USER, parts=(call(),)),
    ],
)
def test_a_turn_that_is_not_the_one_is_left_alone(turn: Message) -> None:
    given = conversation(turn)
    assert back(given, kept(thought(), call())) == (given, 0)


def test_nothing_goes_to_anybody_else() -> None:
    given, entry = conversation(said(call())), kept(thought(), call())
    assert back(given, entry, made_by=CLAUDE) == (given, 0)
    assert back(given, entry, RESPONSES, GPT) == (given, 0)
    assert restore(given, "", ANTHROPIC, {"toolu_1": entry} if entry else {}) == (given, 0)


@pytest.mark.parametrize(
    "more",
    [
        {"thinking": None},
        {"thinking": Thinking(mode="disabled")},
        {"max_output": 1000},  # no room to think
    ],
)
def test_anthropic_gets_thoughts_only_when_it_is_to_think(more: dict[str, Any]) -> None:
    given = conversation(said(call()), **more)
    assert back(given, kept(thought(), call())) == (given, 0)


def test_an_unsigned_last_turn_of_another_provider_keeps_all_thoughts_out() -> None:
    given = conversation(said(call()), said(call(call_id="call_2")))
    assert back(given, kept(thought(), call())) == (given, 0)


# ---- for any answer -------------------------------------------------------------------------------------------------


@st.composite
def thoughtful(draw: st.DrawFn, sure: bool = False) -> Response:
    """An answer of a format that signs; ``sure`` that it has a thought and a call, and little that is strange."""
    wire_format = draw(st.sampled_from(sorted(SIGNING - {CLOUDCODE})))  # whose answers are Gemini's
    response = draw(strategies.answers(wire_format, strange=not sure))
    proof = "proof" if wire_format is GEMINI else ""
    head = [thought(draw(strategies.words), "sig", wire_format)] if sure or draw(st.booleans()) else []
    tail = [call(call_id="toolu_last", signature=proof)] if sure or draw(st.booleans()) else []
    return msgspec.structs.replace(response, parts=(*head, *response.parts, *tail), finish=FinishReason.TOOL_CALLS)


def entry_of(response: Response) -> Entry | None:
    return keep(MADE_BY[response.origin], response.origin, response.id, response.parts)


@given(thoughtful())
def test_a_stream_gives_what_the_whole_answer_gives(response: Response) -> None:
    keeper = Keeper()
    for event in unfold(response):
        keeper.see(event)
    assert keeper.parts is not None
    assert keep(MADE_BY[response.origin], response.origin, keeper.answer_id, keeper.parts) == entry_of(response)


@given(thoughtful() | thoughtful(sure=True))
def test_an_entry_survives_its_bytes(response: Response) -> None:
    entry = entry_of(response)
    if entry is None:
        return  # nothing of it is kept, which is seldom so where it has a thought and a call for sure
    packed = pack(entry)
    assert packed is not None
    assert unpack(packed) == entry


@given(st.binary(max_size=200))
def test_no_bytes_break_the_vault(data: bytes) -> None:
    assert unpack(data) is None


def test_a_bomb_is_not_unpacked_and_half_a_character_not_packed() -> None:
    import zlib

    assert unpack(zlib.compress(bytes(50_000_000))) is None
    assert pack(Entry("o", (Thought("\ud800", "s"),), ())) is None


@given(thoughtful(sure=True), st.data())
def test_any_client_that_echoes_nothing_gets_its_provider_its_proofs_back(
    response: Response, data: st.DataObject
) -> None:
    """Into the very request that would have been sent, and into no other one's."""
    entry = entry_of(response)
    assume(entry is not None)
    assert entry is not None
    home = response.origin
    client = data.draw(st.sampled_from(sorted(set(CLIENT_FORMATS) - {home})))
    answer = CODECS[client].encode_response(response, Reply("id", "m")).body
    request = CODECS[client].decode_request(next_request(client, [answer]))
    model = "anthropic.claude-x" if home is WireFormat.BEDROCK_CONVERSE else "model"  # its other models do not sign
    request = msgspec.structs.replace(request, model=model, thinking=Thinking(effort="low"), max_output=None)
    found, count = restore(request, MADE_BY[home], home, {entry.calls[0].id: entry})
    assert restore(request, MADE_BY[home] + "x", home, {entry.calls[0].id: entry}) == (request, 0)
    if not count:
        assert found == request
        return
    assert wanted(request) == [entry.calls[0].id]
    sent = CODECS[home].decode_request(CODECS[home].encode_request(found).body)
    proofs = [
        part.signature
        for message in sent.messages
        for part in message.parts
        if isinstance(part, Reasoning | ToolCall) and part.signature
    ]
    told = [thought for each in entry.calls for thought in each.before]
    assert proofs == [
        proof
        for proof in (*(one.signature for one in (*entry.lead, *told)), *(one.signature for one in entry.calls))
        if proof
    ]
    bare = CODECS[home].decode_request(CODECS[home].encode_request(request).body)
    assert _without_proofs(sent) == _without_proofs(bare)


HIDDEN = ("redacted_thinking", "reasoningContent")


def _without_proofs(request: Conversation) -> list[tuple[Role, list[Part]]]:
    turns: list[tuple[Role, list[Part]]] = []
    for message in request.messages:
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, Reasoning) or (
                isinstance(part, Opaque) and part.kind in ("redacted_thinking", "reasoningContent")
            ):
                continue
            parts.append(msgspec.structs.replace(part, signature="") if isinstance(part, ToolCall) else part)
        if parts:
            turns.append((message.role, parts))
    return turns


# ---- bounds ---------------------------------------------------------------------------------------------------------


def test_an_answer_that_thinks_for_too_long_is_let_go() -> None:
    keeper = Keeper()
    keeper.see(Started(ANTHROPIC, "msg_1", "m"))
    keeper.see(PartStarted(0, thought("", "")))
    for _ in range(MAX_CHARS // 1024 + 1):
        keeper.see(PartDelta(0, "x" * 1024))
    keeper.see(PartEnded(0, "sig"))
    keeper.see(PartStarted(1, call(arguments="")))
    keeper.see(PartEnded(1))
    assert keeper.parts is None


def test_cloud_code_gets_the_proofs_of_its_calls_back_as_gemini_does() -> None:
    made_by = origin(CLOUDCODE, "cloud", "a", "gemini-3-pro")
    call = ToolCall(id="c1", name="look", arguments="{}", signature="cHJvb2Y")
    entry = keep(made_by, CLOUDCODE, "answer-1", [call])
    assert entry is not None
    messages = [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
    ]
    asked = CODECS[WireFormat.OPENAI_CHAT].decode_request(to_json({"model": "gemini-3-pro", "messages": messages}))
    found, count = restore(asked, made_by, CLOUDCODE, {"c1": entry})
    assert count == 1
    assert b'"thoughtSignature":"cHJvb2Y"' in CODECS[CLOUDCODE].encode_request(found).body
    assert b"cHJvb2Y" not in CODECS[CLOUDCODE].encode_request(asked).body
