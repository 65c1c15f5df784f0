"""Events are the records, field by field, however their bytes were put together."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from omni_core import usage_message
from omni_router.adapters.events import ProtobufEvents
from omni_router.adapters.fields import number_tag, varint
from omni_router.domain.records import AbortFacts, AttemptRecord, RequestRecord, Source
from omni_wire.usage import Apart, Usage
from omniroute_proto.events.v1 import events_pb2

counts = st.integers(0, 2**53)
words = st.text(max_size=200)
parts = st.builds(Apart, counts, counts, counts, counts, counts, tier=st.sampled_from(("", "flex", "batch"))).filter(
    lambda apart: apart != Apart()
)
usages = st.builds(Usage, *[counts] * 5, st.booleans(), st.none() | parts, words)
several = st.lists(words, max_size=3).map(tuple)
sources = st.builds(
    Source,
    **{  # type: ignore[arg-type]
        field.name: {int: counts, str: words}.get(field.type, several)  # type: ignore[call-overload]
        for field in msgspec.structs.fields(Source)
    },
)
codec = ProtobufEvents()


def fields(kind: type[msgspec.Struct], **fixed: Any) -> st.SearchStrategy[Any]:
    by_type = {
        bytes: st.binary(max_size=200),
        str: words,
        int: counts,
        bool: st.booleans(),
        Usage: usages,
        tuple[str, ...]: several,
        Source: sources,
    }
    made = {field.name: by_type[field.type] for field in msgspec.structs.fields(kind)}
    small = {name: st.integers(0, 2**31 - 1) for name in ("status", "provider_status", "attempts") if name in made}
    return st.builds(kind, **(made | small | fixed))


def said(record: AttemptRecord | RequestRecord, but: dict[str, str]) -> dict[str, Any]:
    """The record flat, under the event's names; ``but`` are names of ``Source`` that the event has others for."""
    flat = msgspec.structs.asdict(record)
    source = msgspec.structs.asdict(flat.pop("source"))
    source["charged"] = " ".join(source["charged"])
    return flat | {but.get(name, name): value for name, value in source.items() if but.get(name, name)}


def told(message: Any, names: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in names:
        value = getattr(message, field)
        if field == "usage":
            value = usage_message.read(value)
        found[field] = tuple(value) if field in ("losses", "tags") else value
    return found


@given(fields(AttemptRecord, seq=st.integers(1, 9), first_byte_ms=st.integers(-1, 10**9)))
def test_an_attempt_event_says_all_of_its_record(record: AttemptRecord) -> None:
    if not record.proxy:
        record = msgspec.structs.replace(record, proxy_level="")  # whose word nothing was
    event = events_pb2.Event.FromString(codec.attempt(record))
    expected = said(record, {"model_requested": "", "combo": ""})
    assert told(event.attempt, expected) == expected


@given(fields(RequestRecord, seq=st.integers(1, 9), first_byte_ms=st.integers(-1, 10**9)))
def test_a_request_event_says_all_of_its_record(record: RequestRecord) -> None:
    event = events_pb2.Event.FromString(codec.request(record))
    expected = said(record, {"model": "model_served", "provider_format": "", "price_version": "", "charged": ""})
    assert told(event.request, expected) == expected


def test_what_stands_when_a_router_dies_names_the_request_and_its_attempt() -> None:
    source = Source(
        key_id="key-ci",
        model_requested="always-on",
        combo="always-on",
        config_revision=7,
        router_id="router-1",
        provider="acme",
        account_id="acme/a",
        model="gpt-x",
        provider_format="openai.chat",
        pricing="priced",
    )
    facts = AbortFacts("a1", "e1", "mine", 1000, 1005, source, "openai.chat", True, 2, ("nightly", "blue"))
    attempt, request = codec.aborted(facts)
    told_attempt = events_pb2.Event.FromString(attempt).attempt
    told_request = events_pb2.Event.FromString(request).request
    assert (told_attempt.id, told_attempt.request_id, told_attempt.seq) == ("a1", "e1", 0)
    assert (told_attempt.outcome, told_attempt.account_id, told_attempt.router_id) == ("aborted", "acme/a", "router-1")
    assert (told_request.id, told_request.request_id, told_request.seq) == ("e1", "mine", 0)
    assert (told_request.status, told_request.outcome, told_request.attempts) == (500, "failed", 2)
    assert list(told_request.tags) == ["nightly", "blue"]
    assert (told_request.combo, told_request.key_id, told_request.config_revision) == ("always-on", "key-ci", 7)


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 20_000), st.sampled_from([2**14, 2**28, 2**42])))
def test_a_number_is_written_as_protobuf_writes_it(number: int) -> None:
    expected = events_pb2.AttemptEvent(started_ms=number).SerializeToString()
    tag = number_tag(events_pb2.AttemptEvent.DESCRIPTOR, "started_ms")
    assert tag + varint(number) == expected or (number == 0 and not expected)
