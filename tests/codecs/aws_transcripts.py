"""The streams of Bedrock and of Kiro under ``tests/transcripts``, told readably: their files are binary.

python -m tests.codecs.aws_transcripts    write them again

The frames are made by the simulator's writer, which shares no code with the gateway's reader.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omni_simulator.formats.aws_frames import frame
from omni_wire.formats import WireFormat

from tests.codecs.support import TRANSCRIPTS

BEDROCK, KIRO = WireFormat.BEDROCK_CONVERSE, WireFormat.KIRO_CONVERSATION
PAIRS = TRANSCRIPTS / "pairs" / "sources"
NOT_JSON = b'{"contentBlockIndex":0,"delta":{"te'
_JSON = {":content-type": "application/json"}

Told = list[tuple[str, Any]]


def exception(kind: str, message: str) -> tuple[str, Any]:
    return f"!{kind}", {"message": message}


# ---- Bedrock --------------------------------------------------------------------------------------------------------

START = ("messageStart", {"role": "assistant", "p": "abcdefghijklmnopqrstu"})


def block(index: int, *deltas: Any, start: Any = None) -> Told:
    opened = [("contentBlockStart", {"contentBlockIndex": index, "start": start, "p": "abc"})] if start else []
    told = [("contentBlockDelta", {"contentBlockIndex": index, "delta": delta, "p": "abcdef"}) for delta in deltas]
    return [*opened, *told, ("contentBlockStop", {"contentBlockIndex": index, "p": "abcdefghij"})]


def said(index: int, *pieces: str) -> Told:
    return block(index, *({"text": piece} for piece in pieces))


def thought(index: int, signature: str, *pieces: str) -> Told:
    texts = [{"reasoningContent": {"text": piece}} for piece in pieces]
    return block(index, *texts, {"reasoningContent": {"signature": signature}})


def call(index: int, call_id: str, name: str, *pieces: str) -> Told:
    start = {"toolUse": {"toolUseId": call_id, "name": name}}
    return block(index, *({"toolUse": {"input": piece}} for piece in pieces), start=start)


def ended(reason: str, given: int, made: int, cached: int = 0, written: int = 0, **more: Any) -> Told:
    usage = {
        "inputTokens": given,
        "outputTokens": made,
        "totalTokens": given + made + cached + written,
        "cacheReadInputTokens": cached,
        "cacheWriteInputTokens": written,
    }
    metadata = {"usage": usage, "metrics": {"latencyMs": 1275}, "p": "abcdefgh"} | more
    return [("messageStop", {"stopReason": reason, "p": "abcd"}), ("metadata", metadata)]


HIDDEN = {"reasoningContent": {"redactedContent": "Y2xhdWRlIHRoaW5rcw=="}}
CITATION = {
    "title": "Almanac",
    "sourceContent": [{"text": "Bern has 130,000 inhabitants."}],
    "location": {"documentPage": {"documentIndex": 0, "start": 3, "end": 4}},
}

BEDROCK_STREAMS: dict[str, Told] = {
    "text": [START, *said(0, "Hel", "lo ", "Zürich."), *ended("end_turn", 10, 4)],
    "parallel_tools": [
        START,
        *said(0, "Let me ", "look."),
        *call(1, "tooluse_k8Jd", "get_weather", '{"city": ', '"Zürich"}'),
        *call(2, "tooluse_Qm2x", "list_files"),
        *ended("tool_use", 12, 61),
    ],
    "thinking": [START, *thought(0, "EsYBCmMIBhgC", "Two ", "steps."), *said(1, "Done."), *ended("end_turn", 20, 30)],
    "redacted": [START, *block(0, HIDDEN), *said(1, "Done."), *ended("end_turn", 20, 30)],
    "cached": [START, *said(0, "Yes."), *ended("end_turn", 8, 3, 1900, 100)],
    "cited": [
        START,
        *block(0, {"text": "About 130,000."}, {"citation": CITATION}),
        *ended("end_turn", 500, 9),
    ],
    "refusal": [START, *said(0, "I can"), *ended("content_filtered", 9, 2)],
    "guardrail": [
        START,
        *said(0, "Sorry, that is not allowed."),
        *ended("guardrail_intervened", 0, 0, trace={"guardrail": {"actionReason": "Guardrail blocked."}}),
    ],
    "cut": [START, *said(0, "Once upon", " a ti")[:2]],
    "error": [
        START,
        *said(0, "Once", " upon")[:2],
        exception("modelStreamErrorException", "The model has encountered an unexpected error"),
    ],
    "malformed": [START, *said(0, "Once")[:1], ("contentBlockDelta", NOT_JSON)],
}

# ---- Kiro -----------------------------------------------------------------------------------------------------------

OPENED = ("messageMetadataEvent", {"conversationId": "2f1c7a52-8d5e-4c0e-9a63-0d6a1f4f1b7e", "utteranceId": "u-1"})
LAST: Told = [
    ("contextUsageEvent", {"contextUsagePercentage": 2.5}),
    ("meteringEvent", {"unit": "credit", "unitPlural": "credits", "usage": 0.03}),
]


def spoken(*pieces: str) -> Told:
    return [("assistantResponseEvent", {"content": piece, "modelId": "claude-sonnet-4.5"}) for piece in pieces]


def used(call_id: str, name: str, *pieces: str) -> Told:
    head = {"toolUseId": call_id, "name": name}
    told = [("toolUseEvent", head | {"input": piece}) for piece in pieces]
    return [("toolUseEvent", head), *told, ("toolUseEvent", head | {"stop": True})]


def mused(signature: str, *pieces: str) -> Told:
    told = [("reasoningContentEvent", {"text": piece}) for piece in pieces]
    return [*told, ("reasoningContentEvent", {"signature": signature})]


def closed(reason: str, **usage: int) -> Told:
    counts = {"tokenUsage": usage} if usage else {}
    return [("metadataEvent", counts | {"stopReason": reason}), *LAST]


KIRO_STREAMS: dict[str, Told] = {
    "text": [OPENED, *spoken("Hel", "lo ", "Zürich."), *closed("END_TURN")],
    "parallel_tools": [
        OPENED,
        *spoken("Let me ", "look."),
        *used("tooluse_k8Jd", "get_weather", '{"city": ', '"Zürich"}'),
        *used("tooluse_Qm2x", "list_files"),
        *closed("TOOL_USE"),
    ],
    "without_a_reason": [*spoken("Hel", "lo."), *LAST],
    "message_stop": [*spoken("Hel", "lo."), ("messageStopEvent", {})],
    "thinking": [OPENED, *mused("a1JvX3NpZw==", "Two ", "steps."), *spoken("Done."), *closed("END_TURN")],
    "cached": [
        OPENED,
        *spoken("Yes."),
        *closed(
            "END_TURN",
            uncachedInputTokens=8,
            outputTokens=3,
            totalTokens=2011,
            cacheReadInputTokens=1900,
            cacheWriteInputTokens=100,
        ),
    ],
    "refusal": [OPENED, *spoken("I can"), *closed("CONTENT_FILTERED")],
    "cut": [OPENED, *spoken("Once upon", " a ti")],
    "cut_call": [OPENED, *used("tooluse_k8Jd", "get_weather", '{"city": ')[:-1], *LAST],
    "error": [OPENED, *spoken("Once", " upon"), exception("ThrottlingException", "Too many requests, please wait")],
    "invalid_state": [
        OPENED,
        ("invalidStateEvent", {"reason": "INVALID_TASK_ASSIST_PLAN", "message": "The plan is gone"}),
    ],
    "malformed": [OPENED, *spoken("Once"), ("assistantResponseEvent", NOT_JSON)],
}

# ---- one conversation in every format -------------------------------------------------------------------------------

WEATHER, TIME = '{"city":"Zürich","unit":"celsius"}', '{"zone":"Europe/Zurich"}'
RICH: dict[WireFormat, Told] = {
    BEDROCK: [
        START,
        *thought(0, "EsYBCmMIBhgC", "Two tools", " will do."),
        *said(1, "Let me ", "look."),
        *call(2, "tooluse_1", "get_weather", WEATHER[:12], WEATHER[12:]),
        *call(3, "tooluse_2", "get_time", TIME[:9], TIME[9:]),
        *ended("tool_use", 20, 60, 100),
    ],
    KIRO: [
        *mused("a1JvX3NpZw==", "Two tools", " will do."),
        *spoken("Let me ", "look."),
        *used("tooluse_1", "get_weather", WEATHER[:12], WEATHER[12:]),
        *used("tooluse_2", "get_time", TIME[:9], TIME[9:]),
        *closed(
            "TOOL_USE",
            uncachedInputTokens=20,
            outputTokens=60,
            totalTokens=180,
            cacheReadInputTokens=100,
            cacheWriteInputTokens=0,
        ),
    ],
}


def framed(told: Told) -> bytes:
    return b"".join(_frame(name, payload) for name, payload in told)


def _frame(name: str, payload: Any) -> bytes:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload, separators=(",", ":")).encode()
    if name.startswith("!"):
        return frame({":exception-type": name[1:], **_JSON, ":message-type": "exception"}, raw)
    return frame({":event-type": name, **_JSON, ":message-type": "event"}, raw)


def listed(told: Told) -> bytes:
    """A stream of Kiro's as AWS's SDKs hold it."""
    whole = {"generateAssistantResponseResponse": [{name: payload} for name, payload in told]}
    return (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode()


def files() -> Iterator[tuple[Path, bytes]]:
    for wire_format, streams in ((BEDROCK, BEDROCK_STREAMS), (KIRO, KIRO_STREAMS)):
        for case, told in streams.items():
            yield TRANSCRIPTS / wire_format / f"{case}.events", framed(told)
        yield PAIRS / f"{wire_format}.answer.events", framed(RICH[wire_format])
    for case in ("text", "parallel_tools", "without_a_reason", "message_stop", "thinking", "cached", "refusal"):
        yield TRANSCRIPTS / KIRO / f"{case}.json", listed(KIRO_STREAMS[case])
    yield PAIRS / f"{KIRO}.answer.json", listed(RICH[KIRO])


def write() -> None:
    for path, data in files():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    write()
