"""``omniroute vault``: the keys that providers' credentials are sealed with."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from omni_launch.options import data_dir, prepared

if TYPE_CHECKING:
    from omni_auth.adapters.vault_keys import VaultKeys


@click.group(short_help="The keys that providers' credentials are sealed with.")
def vault() -> None:
    """The keys that providers' credentials are sealed with.

    Each credential has a data key of its own, and that is wrapped by a key of the vault: of OMNIROUTE_VAULT_KEYS
    ("id:base64,…", the first is the primary) or the file OMNIROUTE_VAULT_KEYS_FILE names, of the key service
    OMNIROUTE_VAULT_KMS names, else of vault.keys in the data directory. Keep a copy of that file apart from the
    backups: without it nothing that is sealed can be opened again.
    """


@vault.command("status")
@data_dir
def status(data_dir: Path | None) -> None:
    """The keys, and how many credentials each wraps."""
    with _vault(data_dir) as keys:
        found = keys.status()
    for key in found:
        marks = [*(["primary"] if key.is_primary else []), *([] if key.is_here else ["NOT HERE"])]
        click.echo(f"{key.id}  {key.credentials} credentials{'  ' + ', '.join(marks) if marks else ''}")


@vault.command("rotate")
@data_dir
def rotate(data_dir: Path | None) -> None:
    """Bring all credentials under a new key, while the gateway goes on serving.

    A new primary is made in vault.keys; where keys come from elsewhere, put the new one first there, beside the old
    ones, and then run this. It can be stopped at any time and run again: it ends what was begun.
    """
    with _vault(data_dir) as keys:
        primary, moved = keys.rotate(lambda done: click.echo(f"{done} credentials", err=True))
    click.echo(f"the primary key is {primary}; {moved} credentials came under it")


@vault.command("retire")
@click.argument("key")
@data_dir
def retire(key: str, data_dir: Path | None) -> None:
    """Take an old key out of vault.keys, when it wraps no credential any more.

    Backups of before still need it.
    """
    with _vault(data_dir) as keys:
        keys.retire(key)
    click.echo(f"the key {key} is taken out")


def _vault(data_dir: Path | None) -> "AbstractContextManager[VaultKeys]":
    from omni_auth.adapters.vault_keys import open_vault

    return open_vault(*prepared(data_dir))
