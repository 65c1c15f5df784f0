"""``omniroute certs``: a development CA, and certificates by which the services prove to each other who they are."""

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from omni_launch.environment import Flags, merged
from omni_launch.options import PATH, Command, data_dir
from omni_launch.problems import CannotStart

if TYPE_CHECKING:
    from omni_launch.cert_folder import CertFolder, Entry

_DAYS = click.IntRange(1, 3650)
DAYS = 365
SOON = 30  # days before the end when it is time to renew


def place(command: Command) -> Command:
    return click.option("--out", type=PATH, metavar="DIR", help="The folder. [certs in the data directory]")(
        data_dir(command)
    )


def lifetime(command: Command) -> Command:
    return click.option("--days", type=_DAYS, default=DAYS, show_default=True, help="How long they are valid.")(command)


def host(command: Command) -> Command:
    return click.option(
        "--host",
        "hosts",
        multiple=True,
        metavar="NAME",
        help="A DNS name or address, besides localhost and the service's own name. May be repeated.",
    )(command)


@click.group(
    short_help="Certificates for the services, from a CA for development.",
    epilog="""\b
Start here:
  omniroute certs init                             a CA, and one certificate for each service, Redis and NATS
  export OMNIROUTE_TLS_CA=~/.omniroute/certs/ca.crt
  OMNIROUTE_TLS_CERT=~/.omniroute/certs/router.crt \\
  OMNIROUTE_TLS_KEY=~/.omniroute/certs/router.key omniroute run router

\b
Then:
  omniroute certs list                             whose they are, and when they end
  omniroute certs renew                            those that end within 30 days; nobody need be restarted
  omniroute certs issue gateway --host gw.lan      one more


A certificate names the services that its process runs (spiffe://omniroute/router), and a service answers a call only
when the caller's certificate has a name that may make it. ca.key makes new ones: keep it away from the services. For
production use a CA of your own, such as cert-manager: the names are what counts.""",
)
def certs() -> None:
    """Make, list and renew the certificates by which the services prove to each other who they are."""


@certs.command(epilog="Example: omniroute certs init --out deploy/docker/secrets/tls")
@host
@lifetime
@place
def init(hosts: tuple[str, ...], days: int, out: Path | None, data_dir: Path | None) -> None:
    """Make a CA, and a certificate for each service, the gateway, Redis and NATS.

    Refuses to touch a CA that is there: what it gave would be worth nothing.
    """
    from omni_launch.cert_folder import LOCAL_HOSTS, everyday_names

    folder, now = _folder(out, data_dir), _now()
    folder.make_ca(now)
    for name in everyday_names():
        folder.issue(name, (*LOCAL_HOSTS, *hosts), now, days)
    click.echo(f"{folder.folder}: a CA and {len(everyday_names())} certificates, valid for {days} days")
    click.echo("Keep ca.key away from the services; each needs ca.crt and its own two files.", err=True)


@certs.command(epilog="Example: omniroute certs issue gateway --host gateway.lan --host 10.0.0.7")
@click.argument("name")
@host
@lifetime
@place
def issue(name: str, hosts: tuple[str, ...], days: int, out: Path | None, data_dir: Path | None) -> None:
    """Make one certificate more, for NAME: a target of 'omniroute run', redis or nats. Overwrites nothing."""
    from omni_launch.cert_folder import LOCAL_HOSTS

    entry = _folder(out, data_dir).issue(name, (*LOCAL_HOSTS, *hosts), _now(), days)
    click.echo(str(entry.file))


@certs.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@place
def list_(as_json: bool, out: Path | None, data_dir: Path | None) -> None:
    """Every certificate: its services, its hosts, when it ends. Exit code 1 when one has ended."""
    now = _now()
    entries = _folder(out, data_dir).entries()
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode([_told(entry, now) for entry in entries]).decode())
    else:
        _table(entries, now)
    if any(entry.says.not_after <= now for entry in entries):
        raise click.exceptions.Exit(1)


@certs.command(epilog="Example: omniroute certs renew router --days 90")
@click.argument("names", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All, however long they are still valid.")
@click.option("--within", type=click.IntRange(0), default=SOON, show_default=True, help="Those that end in these days.")
@lifetime
@place
def renew(names: tuple[str, ...], every: bool, within: int, days: int, out: Path | None, data_dir: Path | None) -> None:
    """Give NAMES, or all that end soon, a new key and certificate for the same services and hosts.

    Running services take them for the next connection, without a restart. The CA itself is not renewed: when it ends,
    make another in another folder.
    """
    from omni_launch.cert_folder import CA

    folder, now = _folder(out, data_dir), _now()
    if CA in names:
        raise CannotStart("the CA is not renewed", "Make another: omniroute certs init --out DIR")
    ending = [
        entry.name for entry in folder.entries() if entry.name != CA and (every or entry.says.days_left(now) < within)
    ]
    for name in names or ending:
        entry = folder.renew(name, now, days)
        click.echo(f"{entry.file} is valid until {entry.says.not_after:%Y-%m-%d}")
    if not names and not ending:
        click.echo(f"Nothing ends within {within} days.")


def _folder(out: Path | None, data_dir: Path | None) -> "CertFolder":
    from omni_launch.cert_folder import CertFolder

    data = Path(merged(Flags(data_dir=data_dir), os.environ)["DATA_DIR"])
    return CertFolder(out.expanduser().absolute() if out is not None else data / "certs")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def _told(entry: "Entry", now: dt.datetime) -> dict[str, object]:
    says = entry.says
    return {
        "name": entry.name,
        "services": says.services,
        "hosts": says.hosts,
        "not_after": says.not_after.isoformat(),
        "days_left": says.days_left(now),
    }


def _table(entries: "list[Entry]", now: dt.datetime) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "services", "hosts", "until", ""):
        table.add_column(column, overflow="fold")
    for entry in entries:
        left = entry.says.days_left(now)
        state = "expired" if entry.says.not_after <= now else "renew it" if left < SOON else f"{left} days"
        until = f"{entry.says.not_after:%Y-%m-%d}"
        table.add_row(entry.name, " ".join(entry.says.services), " ".join(entry.says.hosts), until, state)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False, markup=False).print(table)
