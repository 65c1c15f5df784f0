"""The nine columns of the matrix: what a client does, and what it must then have understood.

A scenario yields jobs, each with the check of its report. What is expected follows from the simulator's script in the
model's name (``pydoc omni_simulator``) and from what the client's dialect and the upstream's format can say.
"""

import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tests.clients.clients import Row
from tests.clients.jobs import Call, Job, Report, Tool, Turn, Used
from tests.clients.upstreams import Upstream

WORDS = "the gateway takes each request and finds a model"
THOUGHTS = "first I read the question then"
# One red pixel.
IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)  # fmt: skip
FORECAST: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "description": "A city"},
        "days": {"type": "integer"},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "hours": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["city", "days", "unit", "hours"],
    "additionalProperties": False,
}
FILLED = {"city": "simulated city", "days": 1, "unit": "C", "hours": [1]}
WEATHER = Tool("get_weather", "The weather of a city", FORECAST)
TIDES = Tool(
    "get_tides", "The tides at a place",
    {
        "type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"],
        "additionalProperties": False,
    },
)  # fmt: skip
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "home": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "age", "tags", "home"],
    "additionalProperties": False,
}
SOMEBODY = {"name": "simulated name", "age": 1, "tags": ["simulated tags"], "home": {"city": "simulated city"}}

Check = Callable[[Report], None]
Step = tuple[str, Job, Check]
Scenario = Callable[[Row, Upstream], Iterator[Step]]


class Wrong(AssertionError):
    """What a client understood is not what was said."""


def same(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise Wrong(f"{what}: {got!r}, expected {expected!r}")


def answered(report: Report, turns: int = 1) -> list[Turn]:
    if report.raised is not None:
        told = report.raised
        raise Wrong(f"raised {told.kind} ({told.status}): {told.message[:600]}")
    same("number of turns", len(report.turns), turns)
    return report.turns


def _model(upstream: Upstream, script: str) -> str:
    return f"{upstream.id}/{upstream.model}{script}"


def _result(row: Row, tool: Tool, said: str) -> str:
    return row.wraps_results.replace("@tool", tool.name).replace("@said", said) or said


def _both(name: str, job: Job, check: Check) -> Iterator[Step]:
    yield f"{name}, whole", job, check
    yield f"{name}, stream", msgspec.structs.replace(job, stream=True), check


# ---- what is said ----------------------------------------------------------------------------------------------------


def text(row: Row, upstream: Upstream) -> Iterator[Step]:
    def check(report: Report) -> None:
        (turn,) = answered(report)
        same("text", turn.text, WORDS)
        same("calls", turn.calls, [])
        same("end", turn.end, row.ends[0])

    yield "text", Job(model=_model(upstream, "+tokens:9")), check


def stream(row: Row, upstream: Upstream) -> Iterator[Step]:
    def check(report: Report) -> None:
        (turn,) = answered(report)
        same("text", turn.text, WORDS)
        same("end", turn.end, row.ends[0])
        if turn.events < 2:
            raise Wrong(f"a stream of {turn.events} events")

    yield "stream", Job(model=_model(upstream, "+tokens:9"), stream=True), check

    def wide(report: Report) -> None:
        (turn,) = answered(report)
        if "naïve" not in turn.text or "👩‍💻" not in turn.text:
            raise Wrong(f"characters did not arrive: {turn.text!r}")

    yield "characters cut in two", Job(model=_model(upstream, "+tokens:12+split-utf8"), stream=True), wide


# ---- tools -----------------------------------------------------------------------------------------------------------


def tools(row: Row, upstream: Upstream) -> Iterator[Step]:
    def check(report: Report) -> None:
        first, second = answered(report, 2)
        same("calls", first.calls, [Call("get_weather", FILLED)])
        same("end", first.end, row.ends[1])
        same("text after the result", second.text, f'Done. The tool said: "{_result(row, WEATHER, "sunny")}"')
        same("end after the result", second.end, row.ends[0])

    yield from _both("a call", Job(model=_model(upstream, "+tools"), tools=(WEATHER,), results=("sunny",)), check)


def parallel(row: Row, upstream: Upstream) -> Iterator[Step]:
    def check(report: Report) -> None:
        first, second = answered(report, 2)
        expected = [Call("get_weather", FILLED), Call("get_tides", {"place": "simulated place"})] * 2
        same("calls", first.calls, expected[:3])
        results = " ".join(
            f'"{_result(row, tool, said)}"'
            for tool, said in ((WEATHER, "sunny"), (TIDES, "high"), (WEATHER, "rainy"))
        )  # fmt: skip
        same("text after the results", second.text, f"Done. The tool said: {results}")

    job = Job(
        model=_model(upstream, "+parallel:3"), tools=(WEATHER, TIDES), results=("sunny", "high", "rainy")
    )  # fmt: skip
    yield from _both("three calls", job, check)


# ---- thinking, images, structure -------------------------------------------------------------------------------------


def thinking(row: Row, upstream: Upstream) -> Iterator[Step]:
    thoughts = THOUGHTS if row.shows_thinking and upstream.thinks else ""

    def check(report: Report) -> None:
        (turn,) = answered(report)
        same("thoughts", turn.thinking, thoughts)
        same("text", turn.text, WORDS)

    yield from _both("thoughts", Job(model=_model(upstream, "+think:6+tokens:9"), thinking=True), check)

    def returned(report: Report) -> None:
        first, second = answered(report, 2)
        same("thoughts before the call", first.thinking, thoughts)
        same("calls", first.calls, [Call("get_weather", FILLED)])
        same("thoughts after the result", second.thinking, thoughts)
        seen = msgspec.json.decode(second.text)
        same("signatures that came back", seen["signed"], int(upstream.signs))
        same("results", seen["results"], [_result(row, WEATHER, "sunny")])

    job = Job(
        model=_model(upstream, "+think:6+tools+recount"), thinking=True, tools=(WEATHER,), results=("sunny",)
    )  # fmt: skip
    yield from _both("thoughts given back", job, returned)


def image(row: Row, upstream: Upstream) -> Iterator[Step]:
    raw = b64decode(IMAGE)

    def check(report: Report) -> None:
        (turn,) = answered(report)
        (shown,) = msgspec.json.decode(turn.text)["media"]
        same("bytes", (shown["bytes"], shown["crc32"]), (len(raw), f"{zlib.crc32(raw):08x}"))
        if shown["type"]:
            same("type", shown["type"], "image/png")

    yield from _both("an image", Job(model=_model(upstream, "+recount"), image=IMAGE), check)


def structured(row: Row, upstream: Upstream) -> Iterator[Step]:
    def check(report: Report) -> None:
        (turn,) = answered(report)
        same("parsed", turn.parsed, SOMEBODY)

    # Of a client that demands a call for this, where a call cannot be demanded, the model must be of a mind to call.
    script = "+tools" if row.demands_calls and not upstream.demands_calls else ""
    job = Job(model=_model(upstream, script), prompt="Who is it?", schema=PERSON)
    yield from _both("by a schema", job, check)


# ---- usage -----------------------------------------------------------------------------------------------------------

_GIVEN, _CACHED, _WRITTEN, _THOUGHT, _SAID = 1000, 400, 100, 6, 9


def expected_usage(row: Row, upstream: Upstream) -> Used:
    """Anthropic's input leaves out what the cache gave and took; Google's output leaves out the thoughts. Where a
    provider tells nothing, nothing must have been invented."""
    if not upstream.counts:
        return Used(0, 0, 0, 0, 0)
    cached = _CACHED if upstream.counts_cached else 0
    written = _WRITTEN if upstream.counts_written else 0
    reasoning = _THOUGHT if upstream.counts_reasoning else 0
    output = _THOUGHT + _SAID
    messages = row.dialect == "anthropic.messages" and not row.whole_counts
    gemini = row.dialect == "gemini.generate" and not row.whole_counts
    return Used(
        input=_GIVEN - cached - written if messages else _GIVEN,
        cached=cached if row.counts_cached else None,
        written=written if row.shows_written else None,
        output=output - reasoning if gemini else output,
        reasoning=reasoning if row.counts_reasoning else None,
    )


def usage(row: Row, upstream: Upstream) -> Iterator[Step]:
    expected = expected_usage(row, upstream)

    def check(report: Report) -> None:
        (turn,) = answered(report)
        if turn.used is None and upstream.counts:
            raise Wrong("no usage")
        for name in ("input", "cached", "written", "output", "reasoning"):
            wanted, got = getattr(expected, name), getattr(turn.used, name, None)
            # None and 0 both say that there was nothing of it.
            if wanted is not None:
                same(f"usage.{name}", got or 0, wanted)

    script = f"+input:{_GIVEN}+cached:{_CACHED}+cache-write:{_WRITTEN}+think:{_THOUGHT}+tokens:{_SAID}"
    yield from _both("usage", Job(model=_model(upstream, script), thinking=True), check)


# ---- errors ----------------------------------------------------------------------------------------------------------


def errors(row: Row, upstream: Upstream) -> Iterator[Step]:
    def refused(status: int, retry_after: str | None = None) -> Check:
        def check(report: Report) -> None:
            told = _raised(report, row.errors[status])
            same("status", told.status, status)
            if retry_after is not None and row.keeps_retry_after:
                same("retry-after", told.retry_after, retry_after)

        return check

    for status in (400, 401, 403, 404, 500):
        job = Job(model=_model(upstream, f"+status:{status}"))
        yield from _both(f"the provider's {status}", job, refused(status))
    limited = Job(model=_model(upstream, "+status:429+retry-after:7"))
    yield from _both("the provider's 429", limited, refused(429, "7"))
    yield from _both("a wrong key", Job(model=_model(upstream, ""), key="or-wrong-key-0123456789"), refused(401))
    yield from _both("an unknown provider", Job(model="nowhere/sim"), refused(404))

    def broken(report: Report) -> None:
        _raised(report, row.errors[0])

    for fault in ("error-event:5", "cut:5", "clean-cut:5", "malformed:5"):
        job = Job(model=_model(upstream, f"+tokens:30+{fault}"), stream=True)
        yield f"{fault.partition(':')[0]} in a stream", job, broken


def _raised(report: Report, expected: str) -> Any:
    if report.raised is None:
        last = report.turns[-1]
        raise Wrong(f"nothing raised, expected {expected}; text {last.text!r}, end {last.end!r}")
    if expected not in report.raised.family:
        raise Wrong(f"raised {report.raised.kind} ({report.raised.message[:300]}), expected {expected}")
    return report.raised


SCENARIOS: dict[str, Scenario] = {
    "text": text,
    "stream": stream,
    "tools": tools,
    "parallel": parallel,
    "thinking": thinking,
    "image": image,
    "structured": structured,
    "usage": usage,
    "errors": errors,
}
