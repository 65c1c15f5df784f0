"""``omniroute backup``: sealed copies of auth's database, and the way back from them."""

from datetime import UTC, datetime
from pathlib import Path

import click

from omni_launch.options import PATH, data_dir, prepared


@click.group(
    short_help="Sealed copies of keys and configuration.",
    epilog="""\b
Examples:
  omniroute backup create
  omniroute backup export 20261129T021500123Z-manual.backup /mnt/elsewhere/
  omniroute backup restore 20261129T021500123Z-manual.backup""",
)
def backup() -> None:
    """Sealed copies of auth's database: keys, what is configured through auth, the audit log.

    One is made before every migration too. They open with the key of OMNIROUTE_BACKUP_KEY_FILE, else with backup.key in
    the data directory: keep a copy of that somewhere else. The newest 10 are kept (OMNIROUTE_BACKUP_KEEP).

    Credentials of accounts are in a backup as the vault sealed them, and the vault's keys are not in it: keep them
    (vault.keys in the data directory, see 'omniroute vault') beside the backup key too.
    """


@backup.command("create")
@data_dir
def create(data_dir: Path | None) -> None:
    """Make a backup, whether or not omniroute is running."""
    from omni_auth.adapters.backup import Backups
    from omni_auth.adapters.offline import actor, open_database

    place, env = prepared(data_dir)
    with open_database(place, env) as database:
        click.echo(Backups(place, env).create(database, "manual", actor()).name)


@backup.command("list")
@data_dir
def list_backups(data_dir: Path | None) -> None:
    """The backups there are, newest first."""
    from omni_auth.adapters.backup import Backups

    for name, header in Backups(*prepared(data_dir)).list():
        if header is None:
            click.echo(f"{name}  damaged")
            continue
        at = datetime.fromtimestamp(header.created / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        click.echo(f"{name}  {at}  schema {header.schema}  {header.rows.get('keys', 0)} keys  sealed with {header.key}")


@backup.command("restore")
@click.argument("name")
@click.option(
    "--without-vault-keys",
    is_flag=True,
    help="Also where credentials in it do not open with the vault's keys that are here: their accounts are left out.",
)
@data_dir
def restore(name: str, without_vault_keys: bool, data_dir: Path | None) -> None:
    """Put backup NAME in force, in a running omniroute within a second. What was there is backed up first.

    One with credentials that no key of the vault here opens is refused.
    """
    from omni_auth.adapters.backup import Backups
    from omni_auth.adapters.offline import actor, open_database

    place, env = prepared(data_dir)
    with open_database(place, env) as database:
        kept = Backups(place, env).restore(name, database, actor(), without_keys=without_vault_keys)
    click.echo(f"{name} is in force; what was there before is {kept.name}")


@backup.command("export")
@click.argument("name")
@click.argument("to", type=PATH)
@data_dir
def export(name: str, to: Path, data_dir: Path | None) -> None:
    """Check backup NAME and copy it to the file or folder TO, as sealed as it is."""
    from omni_auth.adapters.backup import Backups

    to = to / name if to.is_dir() else to
    Backups(*prepared(data_dir)).export(name, to)
    click.echo(f"{name} is in {to}")


@backup.command("import")
@click.argument("file", type=PATH)
@data_dir
def take_in(file: Path, data_dir: Path | None) -> None:
    """Check the backup FILE and put it among those here. 'restore' then puts it in force."""
    from omni_auth.adapters.backup import Backups

    click.echo(Backups(*prepared(data_dir)).take_in(file))
