"""``omniroute bodies``: what is kept of what a request said and was answered."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking

if TYPE_CHECKING:
    from omni_launch.management import Access

_STAGES = ("client_request", "provider_request", "provider_response", "client_response")


@click.command(
    short_help="What is kept of what a request said and was answered.",
    epilog="""\b
Examples:
  omniroute bodies 0mk2x9c1f8                          all that is kept, as it went by
  omniroute bodies 0mk2x9c1f8 --stage provider_request what its provider was sent, alone
  omniroute bodies 0mk2x9c1f8 --forget                 remove it for good""",
)
@click.argument("id_", metavar="ID")
@click.option("--stage", type=click.Choice(_STAGES), help="Only that, without a heading.")
@click.option("--json", "as_json", is_flag=True, help="The whole answer, for programs.")
@click.option("--forget", is_flag=True, help="Remove it.")
@asking
def bodies(id_: str, stage: str | None, as_json: bool, forget: bool, access: "Access") -> None:
    """Print what is kept of the request ID (its own id, or what its client was told): what the client asked, what each
    provider was sent and answered, what the client was answered.

    Nothing is kept unless the configuration says so under bodies:. Each look is in the audit log.
    """
    import msgspec

    from omni_launch.management import gateway

    with gateway(access) as management:
        if forget:
            click.echo(f"{management.forget_bodies(id_)} bodies are gone")
            return
        found = management.bodies(id_)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    for body in found["items"]:
        if stage is None:
            click.echo(click.style(_heading(body), bold=True))
        if stage in (None, body["stage"]):
            click.echo(_printable(body["text"]))


def _heading(body: dict[str, Any]) -> str:
    words = body["stage"].replace("_", " ")
    whose = f" of attempt {body['attempt']}, {body['provider']}/{body['model']}" if body["attempt"] else ""
    notes = [f"{body['bytes']} bytes", body["format"]]
    notes += ["cut"] if body["cut"] else []
    notes += ["masked"] if body["redacted"] else []
    until = datetime.fromtimestamp(body["until_ms"] / 1000, UTC).strftime("%Y-%m-%d %H:%MZ")
    return f"--- {words}{whose} ({', '.join(notes)}; kept until {until})"


def _printable(text: str) -> str:
    """A model's text may not speak to the terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else "�" for each in text)
