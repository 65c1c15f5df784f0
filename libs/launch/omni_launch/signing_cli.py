"""``omniroute signing-key``: the pair by which a published configuration is known to be auth's."""

import os
from pathlib import Path

import click

from omni_launch.data_dir import write_private
from omni_launch.options import PATH, data_dir, prepared
from omni_launch.problems import CannotStart
from omni_launch.tokens import service_token

# As the secrets of compose and Kubernetes are called.
PRIVATE_FILE, PUBLIC_FILE = "config_signing_key", "config_public_keys"


@click.group(
    "signing-key",
    short_help="The key by which a published configuration is known to be auth's.",
    epilog="""\b
Start here:
  omniroute signing-key create --out signing
  OMNIROUTE_CONFIG_SIGNING_KEY_FILE=signing/config_signing_key omniroute run auth
  OMNIROUTE_CONFIG_PUBLIC_KEYS_FILE=signing/config_public_keys omniroute run router

\b
A new key, while all goes on:
  omniroute signing-key create --out new
  cat new/config_public_keys >> signing/config_public_keys      everywhere; nobody need be restarted
  cp new/config_signing_key signing/config_signing_key          where auth runs: then restart auth
  and take the older key out of config_public_keys


Where none is configured the pair is made from the service token, which every service has: enough for one machine.""",
)
def signing_key() -> None:
    """Make and show the key that auth signs published configurations with."""


@signing_key.command(epilog="Example: omniroute signing-key create --out deploy/docker/secrets")
@click.option("--out", type=PATH, metavar="DIR", help="The folder. [signing in the data directory]")
@data_dir
def create(out: Path | None, data_dir: Path | None) -> None:
    """Make a pair: config_signing_key for auth alone, config_public_keys for all others.

    Refuses to touch one that is there: nobody would believe the other half.
    """
    from omni_core.signatures import SigningKey

    folder = out.expanduser().absolute() if out is not None else prepared(data_dir)[0] / "signing"
    for name in (PRIVATE_FILE, PUBLIC_FILE):
        if (folder / name).exists():
            raise CannotStart(
                f"{folder / name} is there already, and left as it is", "Choose another folder with --out"
            )
    key = SigningKey.new()
    try:
        write_private(folder / PRIVATE_FILE, key.pem().decode())
        write_private(folder / PUBLIC_FILE, key.public_pem().decode())
        os.chmod(folder / PUBLIC_FILE, 0o644)
    except OSError as error:
        raise CannotStart(f"cannot write to {folder}: {error.strerror}", "Choose another folder with --out") from error
    click.echo(f"{folder}: the key {key.id}")
    click.echo(f"{PRIVATE_FILE} is for auth alone; each other service needs {PUBLIC_FILE}.", err=True)


@signing_key.command(epilog="Example: omniroute signing-key show >> config_public_keys")
@data_dir
def show(data_dir: Path | None) -> None:
    """The public half of what auth signs with, in this environment and data directory."""
    from omni_core.settings import CoreSettings
    from omni_core.signatures import SigningKey
    from omni_core.tls import CannotUse

    place, env = prepared(data_dir)
    settings = CoreSettings.from_env(env, redis_url="", nats_url="", token=service_token(env, place))
    try:
        key = SigningKey.of(settings)
    except CannotUse as error:
        raise CannotStart(str(error), "'omniroute signing-key create' makes a pair") from error
    click.echo(key.public_pem().decode(), nl=False)
    click.echo(f"This is the key {key.id}.", err=True)
