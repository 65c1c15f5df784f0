"""What every pair makes of one rich request and one rich answer, byte for byte as last reviewed."""

from pathlib import Path

import pytest
from omni_translator.domain.codec import Codec
from omni_translator.domain.events import check, fold
from omni_translator.domain.model import Conversation, Image, Reasoning, Text, ToolCall, ToolResult
from omni_wire.usage import Usage

from tests.codecs import pairs
from tests.codecs.support import (
    ALL,
    BEDROCK,
    CLIENTS,
    CLOUDCODE,
    COHERE,
    CURSOR,
    GEMINI,
    KIRO,
    MESSAGES,
    OLLAMA,
    SERVED,
    addressed,
    ending,
    events_of,
    name,
    same_answer,
)

SNAPSHOTS = [pytest.param(path, text, id=f"{path.parent.name}/{path.name}") for path, text in pairs.snapshots()]
every_pair = pytest.mark.parametrize(("client", "provider"), SERVED, ids=name)


def said(conversation: Conversation) -> tuple[list[str], list[tuple[str, str]], list[str], int]:
    """Of a conversation: its texts (not those of results), its calls, its results and the number of pictures."""
    parts = [part for message in conversation.messages for part in message.parts]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    results = [part for part in parts if isinstance(part, ToolResult)]
    assert [call.id for call in calls] == [result.id for result in results]
    return (
        [part.text for part in parts if isinstance(part, Text)],
        [(call.name, call.arguments) for call in calls],
        [inner.text for result in results for inner in result.parts if isinstance(inner, Text)],
        sum(isinstance(part, Image) for part in parts),
    )


@pytest.mark.parametrize(("path", "text"), SNAPSHOTS)
def test_every_pair_still_says_what_was_reviewed(path: Path, text: str) -> None:
    assert path.read_bytes() == text.encode(), "if this is meant: python -m tests.codecs.pairs, and read the difference"


def test_there_is_no_snapshot_of_a_pair_that_is_no_more() -> None:
    found = {path for path in pairs.HOME.glob("*-to-*/*") if path.is_file()}
    assert found == {path for path, _ in pairs.snapshots()}


@pytest.mark.parametrize("codec", ALL, ids=name)
def test_the_streamed_source_says_what_the_whole_one_says(codec: Codec) -> None:
    events, error = events_of(codec, [pairs.source(codec, f"answer{ending(codec)}")])
    assert error == ""
    assert same_answer(fold(events)) == same_answer(codec.decode_response(pairs.source(codec, "answer.json")))


@every_pair
def test_a_request_arrives_with_all_that_was_asked(client: Codec, provider: Codec) -> None:
    sent = client.decode_request(pairs.source(client, "request.json"))
    arrived = provider.decode_request(pairs.request(client, provider).body)
    arrived = addressed(provider, arrived, sent)
    if provider is KIRO:  # it has no place for instructions and wishes but a turn's own words
        texts, *rest = said(sent)
        joined = [f"{texts[0]}\n\n{texts[1]}", *texts[2:]]
        told, *others = said(arrived)
        assert told[: len(joined) - 1] == joined[:-1]
        assert told[-1].startswith(f"{joined[-1]}\n\nAnswer with nothing but JSON of this schema: ")
        assert others == rest
        return
    if provider is CURSOR:  # nor Cursor for the wish
        (*texts, last), *rest = said(sent)
        (*told, wish), *others = said(arrived)
        assert (told, others) == (texts, rest)
        assert wish.startswith(f"{last}\n\nAnswer with nothing but JSON of this schema: ")
        return
    assert said(arrived) == said(sent)
    assert len(said(sent)[1]) == 2
    assert said(sent)[3] == 1
    assert [tool.name for tool in arrived.tools if hasattr(tool, "name")] == ["get_weather", "get_time"]
    if provider is CURSOR:  # it has no place for these, which is declared
        lost = {loss.field for loss in pairs.request(client, provider).losses}
        assert {"response_format", "max_tokens"} <= lost
        return
    assert arrived.output_format is not None
    assert sent.output_format is not None
    assert arrived.output_format.schema == sent.output_format.schema
    assert arrived.max_output == 2000


@every_pair
def test_an_answer_arrives_the_same_whole_and_streamed(client: Codec, provider: Codec) -> None:
    whole, streamed = pairs.answer(provider, client), pairs.stream(provider, client)
    events, error = events_of(client, [streamed.body])
    assert error == ""
    assert check(events) == "finished"
    answer = client.decode_response(whole.body)
    assert same_answer(fold(events)) == same_answer(answer)
    assert set(whole.losses) == set(streamed.losses)
    thought, text, *calls = answer.parts
    assert isinstance(thought, Reasoning)
    assert (thought.text, text) == ("Two tools will do.", Text("Let me look.", extra=text.extra, item=text.item))
    assert [call.name for call in calls if isinstance(call, ToolCall)] == ["get_weather", "get_time"]
    # these do not count thoughts apart
    told = 24 if {client, provider}.isdisjoint({MESSAGES, OLLAMA, COHERE, BEDROCK, KIRO}) else 0
    if provider is CURSOR:
        assert answer.usage in (None, Usage())
    else:
        assert answer.usage == Usage(120, 0 if OLLAMA in (client, provider) else 100, 0, 60, told)


@every_pair
def test_no_signature_reaches_another_vendor(client: Codec, provider: Codec) -> None:
    if client is provider or (client, provider) == (GEMINI, CLOUDCODE):  # one vendor's
        return
    request, answer = pairs.request(client, provider).body, pairs.answer(provider, client).body
    proofs = (b"EqQBCgIYAhIM", b"CpcBAVSoXO5k", b"gAAAAABpHn0m5cQ2", b"Q3Vyc29yU2ln", b"EsYBCmMIBhgC", b"a1JvX3NpZw")
    for signature in proofs:
        assert signature not in request + answer + pairs.stream(provider, client).body


@pytest.mark.parametrize("provider", [GEMINI, OLLAMA], ids=name)
def test_a_call_without_an_id_has_one_whole_and_streamed(provider: Codec) -> None:
    for client in CLIENTS:
        whole = pairs.answer(provider, client)
        events, _ = events_of(client, [pairs.stream(provider, client).body])
        ids = [part.id for part in client.decode_response(whole.body).parts if isinstance(part, ToolCall)]
        assert ids == [part.id for part in fold(events).parts if isinstance(part, ToolCall)]
        assert len(set(ids)) == 2
