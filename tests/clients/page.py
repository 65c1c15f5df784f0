"""docs/client-matrix.md and docs/client-agents.md, out of a run's outcomes."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

_DOCS = Path(__file__).parents[2] / "docs"
PAGE, AGENTS = _DOCS / "client-matrix.md", _DOCS / "client-agents.md"

_HEAD = """# Which clients work, over which upstreams

Written by `make matrix` from a run of it; do not edit. Every row is a real SDK against the whole gateway (all services,
Redis, NATS) in front of a simulated provider of that upstream format. A cell is green when everything below held, as
far as the upstream's format can say it; none is skipped. "–": the format or the client has no such thing; which, and
what held instead, stands below the table.

| column | what the client's own parsed result must show |
|---|---|
| text | every word and the right end, whole |
| stream | every word and the right end from a stream of several events; also with characters cut between packets |
| tools | name and parsed arguments of a call, whole and streamed; a second turn in which the result answered its call |
| parallel | three calls of two tools at once, whole and streamed; three results, in order, each to its own call |
| thinking | the thoughts, where the client can show them; in a second turn the signature is back at its provider |
| image | the provider saw the image's very bytes |
| structured | output parsed to the schema, with nested objects and arrays |
| usage | input, cached, written, output, reasoning tokens as the provider counted, in the dialect's accounting |
| errors | 400, 401, 403, 404, 429, 500, a wrong key, an unknown provider: the SDK's own classes, `retry-after` kept |
| | an error event, a cut, an early end and garbage after the first byte raise |

"""


_LIMITS = ("What an upstream's format cannot say is not expected of it:", "")
_NOTES = ("What a client has no place for is not asked of it:", "")


def write(
    outcomes: Iterable[tuple[str, str, Mapping[str, list[str]], Collection[str]]],
    limits: Mapping[str, Iterable[str]],
    notes: Iterable[str],
    versions: Mapping[str, str],
) -> None:
    """``outcomes``: client, upstream format, what went wrong by column, and the columns that the client or the format
    has no place for. ``limits``: all that a format cannot say."""
    found = list(outcomes)
    columns = list(found[0][2])
    lines = [f"| client (SDK/language/dialect) | upstream | {' | '.join(columns)} |"]
    lines.append(f"|---|---|{':-:|' * len(columns)}")
    for client, upstream, cells, absent in found:
        marks = " | ".join(_mark(cells[column], column in absent) for column in columns)
        lines.append(f"| {client} | {upstream} | {marks} |")
    red = sum(1 for _, _, cells, _ in found for wrong in cells.values() if wrong)
    blank = sum(1 for _, _, cells, absent in found for column in set(absent) if not cells[column])
    total = len(found) * len(columns) - blank
    counted = f"{total - red} of {total} cells are green; {blank} stand for what a format or a client has not."
    tried = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    body = [counted, "", *lines, "", *_LIMITS]
    body += [f"- {upstream}: {'; '.join(said)}" for upstream, said in limits.items() if said]
    body += ["", *_NOTES, *(f"- {note}" for note in notes), ""]
    body += [f"Tried with {tried}.", ""]
    PAGE.write_text(_HEAD + "\n".join(body), encoding="utf-8")


def _mark(wrong: list[str], lacking: bool) -> str:
    return "✗" if wrong else "–" if lacking else "✓"


_AGENTS_HEAD = """# Which command-line agents work, over which upstreams

Written by `make clients` from a run of it; do not edit. Each agent, fresh from npm and in an empty HOME, was asked to
write a file, over a simulated model that thinks, calls the agent's own tool and reads its result. ✓: it ended with 0,
the file held the content, no request got an error from the gateway, and every token was accounted for (over Kiro and
Cursor, which tell none, every answer).

"""


def write_agents(outcomes: Mapping[tuple[str, str, str], Mapping[str, bool]]) -> None:
    """``outcomes`` maps agent, version and dialect to what came of each upstream format."""
    columns = list(dict.fromkeys(upstream for passed in outcomes.values() for upstream in passed))
    lines = [f"| agent | version | speaks | {' | '.join(columns)} |", f"|---|---|---|{':-:|' * len(columns)}"]
    for (name, version, dialect), passed in outcomes.items():
        marks = " | ".join({True: "✓", False: "✗", None: ""}[passed.get(column)] for column in columns)
        lines.append(f"| {name} | {version} | {dialect} | {marks} |")
    AGENTS.write_text(_AGENTS_HEAD + "\n".join([*lines, ""]), encoding="utf-8")
