"""``omniroute audit``: what was done to keys and configuration, and that nobody has changed what is written of it."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from omni_launch.options import data_dir, prepared

if TYPE_CHECKING:
    from omni_auth.adapters.store.audit import AuditLog


@click.group(short_help="Who did what, and that the log of it is whole.")
def audit() -> None:
    """Who did what to keys and configuration, and that nobody has changed the log of it."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: an object a line, with what changed.")
@data_dir
def list_entries(limit: int, as_json: bool, data_dir: Path | None) -> None:
    """What was done, newest first."""
    with _log(data_dir) as log:
        entries = log.newest(limit)
    for entry in entries:
        if as_json:
            import msgspec

            told = msgspec.structs.asdict(entry) | {"previous": entry.previous.hex(), "hash": entry.hash.hex()}
            told |= {"before": msgspec.Raw(entry.before.encode()), "after": msgspec.Raw(entry.after.encode())}
            click.echo(msgspec.json.encode(told).decode())
        else:
            at = datetime.fromtimestamp(entry.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            click.echo(f"{entry.seq:>6}  {at}  {entry.actor}  {entry.action}  {entry.target}")


@audit.command("verify")
@click.option("--head", default="", metavar="SEQ:HASH", help="What this command said before: it must still be there.")
@data_dir
def verify(head: str, data_dir: Path | None) -> None:
    """Look for changes to the log itself, and name the first entry that is not as it was. Exit code 1 when one is.

    Keep what it says at the end somewhere else and give it back with --head: only so is it seen when the newest entries
    were cut off, or all were written anew.
    """
    with _log(data_dir) as log:
        found = log.verify(head)
    if found.bad is not None:
        click.echo(f"entry {found.bad}: {found.why}; the {found.entries} before it are good", err=True)
        raise click.exceptions.Exit(1)
    click.echo(f"{found.entries} entries are as they were written; the last is {found.head or 'none'}")


def _log(data_dir: Path | None) -> "AbstractContextManager[AuditLog]":
    from omni_auth.adapters.offline import open_audit

    return open_audit(*prepared(data_dir))
