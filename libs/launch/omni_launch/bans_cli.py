"""``omniroute bans``: who is kept out of the gateway for a while, or for good."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from omni_launch.config_cli import asking

if TYPE_CHECKING:
    from omni_launch.management import Access


@click.group(
    invoke_without_command=True,
    short_help="Keep addresses out, for a while or for good.",
    epilog="""\b
Examples:
  omniroute bans list                                       who is kept out, until when, and why
  omniroute bans add 203.0.113.9 --for 1h --reason scanner  an address, for an hour
  omniroute bans add 2001:db8:7::/48                        a network, until it is let in again
  omniroute bans remove 203.0.113.9
""",
)
@click.pass_context
def bans(context: click.Context) -> None:
    """Keep addresses and networks out of everything but the probes. It holds on all edges and dashboards in seconds,
    and over restarts: bans are among the settings (server.bans). Where a file manages those, write them there."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@bans.command("list")
@asking
def list_(access: "Access") -> None:
    """Say who is kept out; those whose time is over are left out."""
    from omni_launch.management import gateway

    with gateway(access) as management:
        document, _ = management.settings()
    for ban in _running(document):
        until = f"until {ban['until']}" if ban.get("until") else "for good"
        click.echo(f"{ban['network']}  {until}  {ban.get('reason', '')}".rstrip())


@bans.command()
@click.argument("network")
@click.option("--for", "span", metavar="SPAN", help="30d, 12h, 90m. [for good]")
@click.option("--reason", default="", help="For whoever reads the list; never told to whoever is banned.")
@asking
def add(network: str, span: str | None, reason: str, access: "Access") -> None:
    """Keep NETWORK out, an address or one in CIDR. One that is banned already is banned anew."""
    from omni_auth.domain.scalars import span as seconds_of

    from omni_launch.management import gateway

    seconds = seconds_of(span) if span else 0
    if span and not seconds:
        raise click.BadParameter("say how long, such as 30d, 12h or 90m", param_hint="--for")
    ban = {"network": network}
    if seconds:
        ban["until"] = datetime.fromtimestamp(int(time.time()) + seconds, UTC).isoformat().replace("+00:00", "Z")
    if reason:
        ban["reason"] = reason
    with gateway(access) as management:
        document, etag = management.settings()
        kept = [one for one in _running(document) if not _is_same(one["network"], network)]
        management.put_settings(_with(document, [*kept, ban]), etag)
    click.echo(f"{network} is kept out")


@bans.command()
@click.argument("network")
@asking
def remove(network: str, access: "Access") -> None:
    """Let NETWORK in again. Exit code 1 where it was not banned."""
    from omni_launch.management import gateway

    with gateway(access) as management:
        document, etag = management.settings()
        running = _running(document)
        kept = [one for one in running if not _is_same(one["network"], network)]
        if len(kept) == len(running):
            click.echo(f"{network} is not banned", err=True)
            raise click.exceptions.Exit(1)
        management.put_settings(_with(document, kept), etag)
    click.echo(f"{network} is let in")


def _running(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that have not ended."""
    now = datetime.now(UTC)
    found = (document.get("server") or {}).get("bans") or []
    return [ban for ban in found if not ban.get("until") or _moment(str(ban["until"])) > now]


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _is_same(one: str, other: str) -> bool:
    from omni_catalogue.networks import networks

    try:
        return networks((one,)) == networks((other,))
    except ValueError:
        return one == other


def _with(document: dict[str, Any], kept: list[dict[str, Any]]) -> dict[str, Any]:
    server = {key: value for key, value in (document.get("server") or {}).items() if key != "bans"}
    if kept:
        server["bans"] = kept
    return {
        **{key: value for key, value in document.items() if key != "server"},
        **({"server": server} if server else {}),
    }
