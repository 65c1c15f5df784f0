"""``omniroute apply``, ``diff``, ``export`` and ``import``: the configuration as a file. Each verb imports what it
needs.

0 is done, or no difference; 1 a difference; 2 that something was wrong.
"""

import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from omni_launch.options import PATH, Command, config, data_dir
from omni_launch.problems import CannotStart, told

if TYPE_CHECKING:
    from omni_core.ports.configuration import Applied

    from omni_launch.management import Access, Management

WRONG = 2

_WHERE = """
    It goes to the gateway that runs on the data directory; to another one with --url and a key; and where none runs,
    to the store in the data directory, which the next one starts with. Secret files that FILE names are relative to
    the gateway's own configuration file, or else to its data directory; of what is read from stdin (FILE is -), to
    the working directory."""


def reaching(where: str) -> Callable[[Command], Command]:
    """Options of which gateway or store it is; the function gets them as one ``access``. ``where`` ends its help."""

    def access(command: Command) -> Command:
        @wraps(command)
        def inner(
            url: str | None, key_file: Path | None, data_dir: Path | None, config: Path | None, **given: Any
        ) -> None:
            from omni_launch.management import Access

            with _telling():
                command(access=Access(url, key_file, data_dir, config), **given)

        inner.__doc__ = (command.__doc__ or "").rstrip() + "\n" + where
        found: Callable[..., Any] = config(data_dir(inner))
        found = click.option(
            "--key-file", type=PATH, metavar="FILE",
            help="Holds an admin's key. [OMNIROUTE_MANAGEMENT_KEY, OMNIROUTE_MANAGEMENT_KEY_FILE]",
        )(found)  # fmt: skip
        return click.option(  # type: ignore[return-value] # click's own decorators are of any function
            "--url", metavar="URL", help="Of a gateway elsewhere, as http://10.0.0.7:20128. [OMNIROUTE_MANAGEMENT_URL]"
        )(found)

    return access


access = reaching(_WHERE)
asking = reaching("""
    It asks the gateway that runs on the data directory; another one with --url and a key.""")
_FILE = click.argument("file", type=PATH)
_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_TAKE_OVER = click.option(
    "--take-over", is_flag=True, help="Also take objects of the same name that the API or another file manages."
)
_SOURCE = click.option("--source", metavar="NAME", help="Whose objects they are. [the file's path, or stdin]")


@click.command(
    short_help="Make the configuration what a file says.",
    epilog="""\b
Examples:
  omniroute apply gateway.yaml --dry-run
  omniroute apply gateway.yaml
  omniroute apply gateway.yaml --source gateway.yaml          the same in every checkout
  sops -d gateway.yaml | omniroute apply - --source gateway.yaml
  omniroute apply gateway.yaml --url https://gw.example.com --key-file admin.key""",
)
@_FILE
@_DRY_RUN
@_TAKE_OVER
@_SOURCE
@access
def apply(file: Path, dry_run: bool, take_over: bool, source: str | None, access: "Access") -> None:
    """Make the configuration what FILE says: all of it, or nothing and a list of what is wrong.

    Its objects are managed by that file then: the API refuses to change them, and those that it says no more at the
    next apply are deleted. What others manage stays as it is. A secret given as {value: …} is sealed; {vault: keep}
    keeps what is sealed already. Its keys are made and changed, by name, but none is revoked that it says no more: see
    'omniroute keys revoke'.
    """
    _apply(file, source, access, mode="apply", dry_run=dry_run, take_over=take_over)


@click.command(
    "import",
    short_help="Give what a file says into the API's hands.",
    epilog="""\b
Examples:
  omniroute import gateway.yaml --dry-run
  omniroute import omniroute.yaml --take-over                 what the gateway's own file said, too""",
)
@_FILE
@_DRY_RUN
@_TAKE_OVER
@access
def take_in(file: Path, dry_run: bool, take_over: bool, access: "Access") -> None:
    """Make and change what FILE says, as if each had been put through the API, which manages it then.

    Nothing is deleted. All of it is taken, or nothing and a list of what is wrong.
    """
    _apply(file, None, access, mode="import", dry_run=dry_run, take_over=take_over)


@click.command(
    short_help="What applying a file would change.",
    epilog="""\b
Examples:
  omniroute diff gateway.yaml
  omniroute export -o now.yaml && omniroute diff now.yaml     nothing, and exit code 0""",
)
@_FILE
@_SOURCE
@access
def diff(file: Path, source: str | None, access: "Access") -> None:
    """Say in what the configuration would be another after 'apply FILE'; nothing is written.

    Exit code 0 when it would be the same, 1 when it would not, 2 when something is wrong. Who manages an object is no
    difference.
    """
    from omni_launch import config_input, plan_lines

    text, name = config_input.read(file)
    with _reached(access) as management:
        applied = management.apply(text, source or name, mode="apply", dry_run=True, take_over=True)
    found = plan_lines.differences(applied)
    for line in plan_lines.plan(found):
        click.echo(line)
    if taken := len(applied.changes) - len(found):
        click.echo(f"{taken} objects say the same and are managed elsewhere: 'apply --take-over' takes them.", err=True)
    raise click.exceptions.Exit(1 if found else 0)


@click.command(
    short_help="The configuration as a file.",
    epilog="""\b
Examples:
  omniroute export
  omniroute export -o gateway.yaml""",
)
@click.option("-o", "--output", type=PATH, metavar="FILE", help="Where to; only its owner can read it. [stdout]")
@click.option("--force", is_flag=True, help="Replace FILE where there is one.")
@access
def export(output: Path | None, force: bool, access: "Access") -> None:
    """Write all of the configuration in force as YAML that 'apply' takes, whoever manages it.

    No secret is in it: those that are sealed, or stand in the gateway's own file, are {vault: keep}. Keys are
    left out, for their secrets are nowhere to be had; applying a file without them changes none.
    """
    from omni_launch.data_dir import write_private

    if output is not None and output.exists() and not force:
        raise CannotStart(f"{output} is there already, and left as it is", "Choose another file, or add --force")
    with _reached(access) as management:
        text = management.export()
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        write_private(output, text)
    except OSError as error:
        raise CannotStart(f"cannot write {output}: {error.strerror}", "Choose another file") from error
    click.echo(f"{output} has it", err=True)


def _apply(file: Path, source: str | None, access: "Access", *, mode: str, dry_run: bool, take_over: bool) -> None:
    from omni_launch import config_input, plan_lines

    text, name = config_input.read(file)
    with _reached(access) as management:
        applied = management.apply(text, source or name, mode=mode, dry_run=dry_run, take_over=take_over)
        is_offline = management.is_offline
    for line in plan_lines.plan(applied.changes):
        click.echo(line)
    if applied.unchanged:
        click.echo(f"= unchanged {applied.unchanged}")
    _warn(applied)
    click.echo(f"{plan_lines.summary(applied)}: {_end(applied, dry_run, is_offline)}")


def _end(applied: "Applied", dry_run: bool, is_offline: bool) -> str:
    if is_offline:
        last = f"the last revision in force was {applied.revision}"
        if dry_run or not applied.changes:
            return f"nothing is written; {last}"
        return f"written to the store; {last}, and a gateway that runs on it has the next within a second"
    if dry_run:
        return f"nothing is written; revision {applied.revision} stays in force"
    return f"revision {applied.revision} is in force"


def _warn(applied: "Applied") -> None:
    for line in applied.warnings:
        click.echo(f"warning: {line}" if "warning:" not in line else line, err=True)


@contextmanager
def _reached(access: "Access") -> "Iterator[Management]":
    from omni_launch.management import reached

    with reached(access) as management:
        yield management


@contextmanager
def _telling() -> Iterator[None]:
    """What is wrong, and what to do about it; exit code 2, for 1 says that there is a difference."""
    from omni_core.redaction import redact_shapes
    from omni_wire.errors import GatewayError

    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except GatewayError as error:  # its lines name keys of a configuration
        click.echo(redact_shapes(error.message), err=True)
        if hint := _HINTS.get(error.code or ""):
            click.echo(f"→ {hint}", err=True)
        raise click.exceptions.Exit(WRONG) from error
    except Exception as error:
        if os.environ.get("OMNIROUTE_LOG_LEVEL", "").upper() == "DEBUG":
            traceback.print_exc()
        click.echo(f"omniroute: {told(error)}", err=True)
        raise click.exceptions.Exit(WRONG) from error


_HINTS = {
    "conflict": "add --take-over to take them; where this is the same file as before, name it as then: --source NAME",
    "in_use": "delete what belongs to it as well, or keep it in the file",
}
