"""``omniroute explain``: what would become of a request now. 0 is that somebody would be asked, 1 that the client would
be refused, 2 that something was wrong."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking
from omni_launch.options import PATH
from omni_launch.problems import CannotStart

if TYPE_CHECKING:
    from omni_launch.management import Access

_DIALECTS = ("openai.chat", "openai.responses", "anthropic.messages", "gemini.generate", "ollama.chat")


@click.command(
    short_help="Which way a request would take now, and why.",
    epilog="""\b
Examples:
  omniroute explain best                                 as this key, with a short request
  omniroute explain best --key laptop --stream           as another key
  omniroute explain best --body request.json             a request of yours: its size and limit count
  omniroute explain claude/claude-sonnet-4-5 --format anthropic.messages --json
  omniroute explain best --url https://gw.example.com --key-file admin.key""",
)
@click.argument("model")
@click.option("--key", metavar="NAME|ID", default="", help="Whose request it is. [that of the key that asks]")
@click.option("--organisation", metavar="NAME", default="", help="Whose key that is, of another organisation.")
@click.option("--stream", is_flag=True, help="A streamed request.")
@click.option("--body", type=PATH, metavar="FILE", help="A request (JSON) in the format; - reads stdin.")
@click.option(
    "--format", "dialect", type=click.Choice(_DIALECTS), default="openai.chat", show_default=True, metavar="DIALECT",
    help=f"Of the request: {', '.join(_DIALECTS)}.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The whole answer, for programs.")
@asking
def explain(
    model: str,
    key: str,
    organisation: str,
    stream: bool,
    body: Path | None,
    dialect: str,
    as_json: bool,
    access: "Access",
) -> None:
    """Say what would become of a request for MODEL now: who would be asked, in which order and why; who would be
    passed over; what would be reserved; or with which error it would be refused.

    The running router answers, with its own limits, budgets, breakers and counts. Nothing is sent to a provider, and
    nothing is reserved or counted. Where a strategy throws dice (weighted, random, p2c), they are thrown anew each
    time. What has become of a request is at GET /api/requests/ID.
    """
    import msgspec

    from omni_launch.explain_lines import lines
    from omni_launch.management import gateway

    asked: dict[str, Any] = {"model": model, "key": key, "format": dialect}
    if stream:
        asked["stream"] = True
    if body is not None:
        asked["body"] = _request(body)
    with gateway(access) as management:
        found = management.simulate(asked, organisation)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        for line in lines(found):
            click.echo(line)
    raise click.exceptions.Exit(1 if found.get("refused") else 0)


def _request(file: Path) -> dict[str, Any]:
    import msgspec

    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise CannotStart(f"cannot read {file}: {error.strerror}", "Name a file with a request in JSON") from error
    try:
        found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CannotStart(f"{file} is no JSON object: {error}", "It holds a request as a client sends it") from error
    return found
