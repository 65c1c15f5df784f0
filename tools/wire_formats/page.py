"""``docs/wire-formats.md``: the matrix, and the reason of whatever is not kept."""

from collections.abc import Callable, Iterable
from typing import Final

from omni_wire.formats import CLIENT_FORMATS, WireFormat

from tools.wire_formats import answers, requests
from tools.wire_formats.judge import (
    APPROXIMATED,
    KEPT,
    LOST,
    MAPPED,
    MODELS,
    OLDER,
    REFUSED,
    SILENT,
    Verdict,
    judge_answer,
    judge_request,
)
from tools.wire_formats.probe import (
    BEDROCK,
    CHAT,
    CLOUDCODE,
    COHERE,
    CURSOR,
    FORMATS,
    GEMINI,
    KIRO,
    MESSAGES,
    OLLAMA,
    PROVIDERS,
    RESPONSES,
    Row,
)

_NAMES: Final = {
    CHAT: "OpenAI Chat",
    RESPONSES: "OpenAI Responses",
    MESSAGES: "Anthropic Messages",
    GEMINI: "Gemini generateContent",
    CLOUDCODE: "Cloud Code",
    CURSOR: "Cursor",
    BEDROCK: "Bedrock Converse",
    KIRO: "Kiro's conversation",
    OLLAMA: "Ollama chat",
    COHERE: "Cohere chat",
}
_SHORT: Final = {
    CHAT: "Chat",
    RESPONSES: "Resp.",
    MESSAGES: "Anthr.",
    GEMINI: "Gemini",
    CLOUDCODE: "Cloud Code",
    CURSOR: "Cursor",
    BEDROCK: "Bedrock",
    KIRO: "Kiro",
    OLLAMA: "Ollama",
    COHERE: "Cohere",
}
_SIGNS: Final = {KEPT: "=", MAPPED: "✓", APPROXIMATED: "≈", LOST: "✗", REFUSED: "400", SILENT: "BUG"}
_Pair = tuple[WireFormat, WireFormat]  # read, and written
_ASKED: Final = tuple((one, other) for one in CLIENT_FORMATS for other in (*FORMATS, *PROVIDERS) if one is not other)
_ANSWERED: Final = tuple((other, one) for one, other in _ASKED if any(other in row.says for row in answers.ROWS))

_INTRO: Final = """\
# What a translation keeps

Written by `make wire-formats` from the codecs themselves; do not edit. Every row is a small example in each format that
can say it (`tools/wire_formats/requests` and `answers.py`). It is read by its own codec, written by the other, read
back, and compared the way the codecs' laws compare; what the codec declared lost on the way is what the tables show.
A change that is neither declared nor undone would stand here as `BUG`, and a test forbids it.

| | |
|---|---|
| `=` kept | the other format says it by the same keys |
| `✓` mapped | the other format says the same in words of its own |
| `≈` approximated | something near is said; declared |
| `✗` lost | (part of) it cannot be said; declared |
| `400` refused | without it the answer would be an answer to something else |
| blank | the format it comes from cannot say it |

Between a client and a provider of one format bytes are relayed, so such a pair keeps everything and has no column.
A format that no client speaks is written in requests and read in answers only.
Declared losses reach the caller in `x-omniroute-translation`, and `x-omniroute-translation: strict` refuses them.
"""
_MODELS_SAID: Final = """Where a vendor's models differ, codecs go by the model's name. The tables are for {models};
[older models](#older-models) stand at the end.
"""

# Said before the tables of a format; a format whose answers stand in no row says here what becomes of them.
_NOTES: Final = {
    CLOUDCODE: "Cloud Code is Gemini in an envelope, so its answers fare as Gemini's do below; to a client of Gemini\n"
    "nothing is lost, signatures and unknown keys included.\n",
    CURSOR: "Cursor takes no output limit: that is lost of every request, and not told in each row again. Of its\n"
    "answers text, thoughts and calls are mapped; citations (`web_citation`) and proofs of thoughts are lost to every\n"
    "client. It tells neither usage nor why an answer ended; none is made up.\n",
}

_Cell = tuple[str, tuple[str, ...]]  # the sign, and the reasons
_Judge = Callable[[Row, WireFormat, WireFormat], _Cell]


def render() -> str:
    models = ", ".join(f"`{name}`" for name in dict.fromkeys(MODELS.values()))
    out = [_INTRO, _MODELS_SAID.format(models=models)]
    out += _section("Requests", _ASKED, requests.ROWS, _request)
    out += _section("Answers", _ANSWERED, answers.ROWS, _answer)
    out += _older()
    return "\n".join(out) + "\n"


def _request(row: Row, source: WireFormat, target: WireFormat) -> _Cell:
    return _cell(judge_request(row, source, target))


def _answer(row: Row, source: WireFormat, target: WireFormat) -> _Cell:
    """One cell of the two ways an answer comes; where they differ it says both."""
    whole, streamed = judge_answer(row, source, target)
    if whole == streamed:
        return _cell(whole)
    sign = f"{_SIGNS[whole.word]} (streamed {_SIGNS[streamed.word]})"
    said = [f"whole, {reason}" for reason in whole.reasons] + [f"streamed, {reason}" for reason in streamed.reasons]
    return sign, tuple(said)


def _cell(verdict: Verdict) -> _Cell:
    return _SIGNS[verdict.word], verdict.reasons


def _section(title: str, pairs: tuple[_Pair, ...], rows: tuple[Row, ...], judge: _Judge) -> list[str]:
    """A table for each format that is written, with a column for each that is read."""
    out = [f"\n## {title}\n"]
    judged = [(row, {pair: judge(row, *pair) for pair in pairs if pair[0] in row.says}) for row in rows]
    for target in (*FORMATS, *PROVIDERS):
        sources = [one for one, other in pairs if other is target]
        if sources:
            out += [f"### {title} to {_NAMES[target]}\n", *_note(target), *_table(target, sources, judged), ""]
    reasons = [line for row, cells in judged for line in _reasons(row, cells)]
    return [*out, f"### Why: {title.lower()}\n", "Fields are named as the declaration names them.\n", *reasons]


def _note(target: WireFormat) -> list[str]:
    return [_NOTES[target]] if target in _NOTES else []


def _table(
    target: WireFormat, sources: list[WireFormat], judged: list[tuple[Row, dict[_Pair, _Cell]]]
) -> Iterable[str]:
    yield f"| from | {' | '.join(_SHORT[source] for source in sources)} |"
    yield "|---|" + ":-:|" * len(sources)
    group = ""
    for row, cells in judged:
        signs = [cells[source, target][0] if (source, target) in cells else "" for source in sources]
        if not any(signs):
            continue
        if row.group != group:
            group = row.group
            yield f"| **{group}** |" + " |" * len(sources)
        yield f"| {row.name} | {' | '.join(signs)} |"


def _reasons(row: Row, cells: dict[tuple[WireFormat, WireFormat], _Cell]) -> list[str]:
    """One line a reason, with all pairs that give it."""
    pairs: dict[str, list[str]] = {}
    for (one, other), (_, reasons) in cells.items():
        for reason in reasons:
            pairs.setdefault(reason, []).append(f"{_SHORT[one]} → {_SHORT[other]}")
    if not pairs:
        return []
    return [f"- **{row.name}**", *(f"  - {reason} ({', '.join(named)})" for reason, named in pairs.items())]


def _older() -> list[str]:
    """Only what differs from the newest model of the same vendor."""
    out = ["\n## Older models\n", "Requests only, and only what differs from the table above.\n"]
    for target, model in OLDER:
        out += [f"### `{model}`\n", f"| to {_NAMES[target]} | from | newest | this | why |", "|---|---|:-:|:-:|---|"]
        for row in requests.ROWS:
            out += _differing(row, target, model)
        out.append("")
    return out[:-1]


def _differing(row: Row, target: WireFormat, model: str) -> Iterable[str]:
    found: dict[tuple[Verdict, str], list[str]] = {}
    for source in row.says:
        if source is target:
            continue
        newest, this = judge_request(row, source, target), judge_request(row, source, target, model)
        if this != newest:
            found.setdefault((this, _SIGNS[newest.word]), []).append(_SHORT[source])
    for (verdict, before), sources in found.items():
        why = "; ".join(verdict.reasons)
        yield f"| {row.name} | {', '.join(sources)} | {before} | {_SIGNS[verdict.word]} | {why} |"
