"""What the simulated model says: a pure function of the request and its script."""

import re
from itertools import islice, pairwise
from math import ceil

from omni_wire.usage import Usage

from omni_simulator import agent
from omni_simulator.reading import compact
from omni_simulator.schema import example
from omni_simulator.script import Script
from omni_simulator.values import Answer, Ask, Call, Finish, Source, Tool

_WORDS = (
    "the gateway takes each request and finds a model that can answer it within budget while every counter stays "
    "exact so that nobody pays twice and nobody waits for a provider which has stopped talking"
)
_WIDE_WORDS = "naïve café über 東京 привет 🚀 déjà 모델 ½ 👩‍💻 straße Ω"
_THOUGHTS = "first I read the question then I weigh what is known and settle on a plan"

_MEDIA_TOKENS = 100
_PIECE_CHARS = 12
_ECHOED_WORDS = 40
_QUOTED_CHARS = 200
_PIECES = re.compile(r"\s*\S+|\s+$")


def answer(ask: Ask, script: Script) -> Answer:
    """The whole answer, already within the request's output limit."""
    left = 1 << 62 if ask.max_output is None else ask.max_output
    thinking, left, cut_thinking = _within(_cycle(_THOUGHTS, script.think or 0), left)
    planned = _plan_calls(ask, script)
    stop_sequence = None
    said = _text(ask, script, calling=bool(planned))
    for stop in ask.stops:
        if stop and stop in said:
            said, stop_sequence = said[: said.index(stop)], stop
    text, left, cut_text = _within(_split(said, script, ask), left)
    calls: list[Call] = []
    for call in planned:
        if call.tokens > left:
            break
        left -= call.tokens
        calls.append(call)
    cut = cut_thinking or cut_text or len(calls) < len(planned)
    finish: Finish = "length" if cut or script.finish == "length" else "tool_calls" if calls else "stop"
    if script.finish == "filter":
        finish = "filter"
    return Answer(
        seed=ask.seed,
        thinking=thinking,
        text=text,
        calls=tuple(calls),
        finish=finish,
        stop_sequence=stop_sequence if finish == "stop" else None,
        usage=_usage(ask, script, len(thinking), len(text) + sum(call.tokens for call in calls)),
        show_usage=not script.no_usage,
        cited=_sources("".join(text), script.cite or 0),
    )


def _sources(said: str, count: int) -> tuple[Source, ...]:
    """As many addresses, each for its share of the text."""
    places = [len(said) * at // count for at in range(count + 1)] if count and said else []
    return tuple(
        Source(f"https://example.com/{at}", f"Source {at}", start, end)
        for at, (start, end) in enumerate(pairwise(places))
    )


def input_tokens(ask: Ask) -> int:
    """⌈text bytes ÷ 4⌉, and 100 for each image or document."""
    size = sum(len(words.encode("utf-8", "surrogatepass")) for words in ask.texts)
    return max(1, ceil(size / 4) + _MEDIA_TOKENS * ask.media)


def _usage(ask: Ask, script: Script, reasoning: int, rest: int) -> Usage:
    given = input_tokens(ask) if script.input is None else script.input
    cached = min(script.cached or 0, given)
    return Usage(
        input_tokens=given,
        cached_input_tokens=cached,
        cache_write_tokens=min(script.cache_write or 0, given - cached),
        output_tokens=(reasoning + rest) * ask.choices,
        reasoning_tokens=reasoning * ask.choices,
    )


def _within(pieces: tuple[str, ...], left: int) -> tuple[tuple[str, ...], int, bool]:
    kept = pieces[:left]
    return kept, left - len(kept), len(kept) < len(pieces)


def _cycle(words: str, count: int) -> tuple[str, ...]:
    spaced = [f" {word}" for word in words.split()]
    pieces = (spaced * (count // len(spaced) + 1))[:count]
    if pieces:
        pieces[0] = pieces[0][1:]
    return tuple(pieces)


def _split(said: str, script: Script, ask: Ask) -> tuple[str, ...]:
    if script.say is None and ask.schema is not None:
        return _chars(said)
    return tuple(_PIECES.findall(said))


def _chars(words: str) -> tuple[str, ...]:
    cuts = [*range(0, len(words), _PIECE_CHARS), len(words)]
    return tuple(words[start:end] for start, end in pairwise(cuts))


def _text(ask: Ask, script: Script, *, calling: bool) -> str:
    if script.say is not None:
        return script.say
    if calling:
        return ""
    if script.recount:
        return _recount(ask)
    if ask.schema is not None:
        return compact(example(ask.schema))
    if script.tokens is not None:
        return "".join(_cycle(_WIDE_WORDS if script.split_utf8 else _WORDS, script.tokens))
    if ask.results:
        return _quote_results(ask)
    if script.agent and ask.tools and ask.choice != "none":
        return f"No tool offered can write a file: {', '.join(tool.name for tool in ask.tools)}."
    heard = " ".join(islice((found.group().strip() for found in _PIECES.finditer(ask.last_user)), _ECHOED_WORDS))
    wide = f" {_WIDE_WORDS}" if script.split_utf8 else ""
    return f"This is a simulated answer. You said: {heard}{wide}"


def _recount(ask: Ask) -> str:
    return compact({"media": ask.shown, "signed": ask.signed, "results": [result.text for result in ask.results]})


def _quote_results(ask: Ask) -> str:
    quotes = " ".join(f'"{result.text[:_QUOTED_CHARS].strip()}"' for result in ask.results)
    if any(result.failed for result in ask.results):
        return f"The tool failed, it said: {quotes}"
    return f"Done. The tool said: {quotes}"


def _plan_calls(ask: Ask, script: Script) -> list[Call]:
    """The calls the model would like to make. A required or named choice is obeyed even after results."""
    forced = ask.choice == "required" or ask.choice.startswith("=")
    if not ask.tools or ask.choice == "none" or (ask.results and not forced):
        return []
    if script.agent and ask.choice in ("auto", "required"):
        chosen = agent.choose(ask, script)
        if chosen is not None:
            return [_call(ask, *chosen, 0)]
        if not forced:
            return []
    if not (forced or script.tools or script.parallel):
        return []
    named = [tool for tool in ask.tools if ask.choice in ("auto", "required", f"={tool.name}")]
    count = (script.parallel or 1) if ask.parallel else 1
    return [_call(ask, tool, _arguments(tool), index) for index, tool in enumerate(_around(named, count))]


def _around(tools: list[Tool], count: int) -> list[Tool]:
    return (tools * count)[:count]


def _arguments(tool: Tool) -> str:
    if tool.custom:
        return "simulated input"
    filled = example({"type": "object", **tool.schema})
    return compact(filled if isinstance(filled, dict) else {})


def _call(ask: Ask, tool: Tool, arguments: str, index: int) -> Call:
    return Call(
        id=f"{ask.seed}{index:02d}",
        name=tool.name,
        arguments=arguments,
        pieces=_chars(arguments),
        custom=tool.custom,
        namespace=tool.namespace,
    )
